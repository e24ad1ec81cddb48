#include "host/vm_question.h"

#include <boost/asio/io_context.hpp>

#include "vm_config_sample.h"

namespace virga::host {
namespace {

TEST(VmQuestion, IsWordedAsClientsExpect) {
  const auto info = to_api(moved_or_copied(), "7");
  EXPECT_EQ(info.id, "7");
  EXPECT_THAT(info.text, testing::StartsWith("msg.uuid.altered:"));
  ASSERT_EQ(info.message.size(), 1u);
  EXPECT_EQ(info.message[0]->id, "msg.uuid.altered");
  EXPECT_EQ("msg.uuid.altered:" + *info.message[0]->text, info.text);
  ASSERT_EQ(info.choice.choiceInfo.size(), 3u);
  EXPECT_EQ(info.choice.choiceInfo[1]->key, "1");
  EXPECT_EQ(info.choice.choiceInfo[1]->label, "button.uuid.movedTheVM");
  EXPECT_EQ(info.choice.choiceInfo[2]->summary, "I Copied It");
  EXPECT_EQ(info.choice.defaultIndex, 2);
}

TEST(VmQuestion, TheConfigurationMayHaveTheAnswer) {
  const auto answered = [](std::vector<vmx::VmxFile::Entry> extra) {
    vmx::MachineConfig config;
    config.extra = std::move(extra);
    return answer_in_advance(moved_or_copied(), config);
  };
  EXPECT_EQ(answered({}), std::nullopt);
  EXPECT_EQ(answered({{"answer.msg.uuid.altered", "I _moved it"}}), choices::moved);
  EXPECT_EQ(answered({{"ANSWER.msg.uuid.altered", "i copied IT"}}), choices::copied);
  EXPECT_EQ(answered({{"answer.msg.uuid.altered", "perhaps"}}), std::nullopt);
  EXPECT_EQ(answered({{"answer.msg.other", "Cancel"}}), std::nullopt);
  EXPECT_EQ(answered({{"msg.autoAnswer", "true"}}), choices::copied);
  EXPECT_EQ(answered({{"msg.autoAnswer", "FALSE"}}), std::nullopt);
}

struct PendingQuestionTest : testing::Test {
  asio::io_context io;
  std::shared_ptr<PendingQuestion> asked =
      std::make_shared<PendingQuestion>(io.get_executor(), "1", moved_or_copied());
  std::vector<std::optional<int>> heard;

  void wait() {
    spawn(io.get_executor(), "test", [](PendingQuestionTest* self) -> Async<void> {
      self->heard.push_back(co_await PendingQuestion::wait_for_answer(self->asked));
    }(this));
    io.poll();
  }
};

TEST_F(PendingQuestionTest, WaitsForOneOfTheChoices) {
  wait();
  for (const char* none : {"3", "-1", "", "I Moved It", "1 "})
    expect_fault<vim::InvalidArgument>("none of the choices", [&] { asked->answer(none); });
  io.poll();
  EXPECT_THAT(heard, testing::IsEmpty());
  asked->answer("1");
  io.poll();
  EXPECT_THAT(heard, testing::ElementsAre(std::optional(1)));
  expect_fault<vim::ConcurrentAccess>("has its answer", [&] { asked->answer("2"); });
}

TEST_F(PendingQuestionTest, AnAnswerMayComeBeforeTheWait) {
  asked->answer("2");
  wait();
  EXPECT_THAT(heard, testing::ElementsAre(std::optional(2)));
}

TEST_F(PendingQuestionTest, WithdrawnItHasNone) {
  wait();
  asked->withdraw();
  io.poll();
  EXPECT_THAT(heard, testing::ElementsAre(std::nullopt));
  expect_fault<vim::ConcurrentAccess>("has its answer", [&] { asked->answer("2"); });
}

}  // namespace
}  // namespace virga::host
