#include "kernel/task.h"

#include <gtest/gtest.h>

#include "kernel/faults.h"
#include "kernel/task_manager.h"
#include "lab.h"

namespace virga::kernel {
namespace {

class Draining : public testing::Test {
 protected:
  // Work that goes on until it is told to stop, and then fails as cancelled work does.
  MoRef run_until_stopped(bool cancelable) {
    return lab.kernel.tasks.run(lab.call, {.method = "Test_Task", .cancelable = cancelable},
                                [this](TaskHandle& handle) { return until_stopped(handle); });
  }
  Async<Any> until_stopped(TaskHandle& handle) {
    while (!handle.stop_token().stop_requested() && !released) co_await changed.wait();
    if (!released) throw Fault(vim::RequestCanceled{}, "It was cancelled.");
    co_return Any();
  }
  vim::TaskInfo info(const MoRef& task) {
    return *static_cast<const vim::TaskProperties&>(*lab.kernel.inventory.get(task)->snapshot()).info;
  }
  // Begins to drain; true in `drained` when that has ended.
  void begin_to_drain() {
    asio::co_spawn(lab.io, lab.kernel.tasks.drain(), [this](std::exception_ptr) { drained = true; });
    lab.settle();
    changed.notify();
    lab.settle();
  }

  Lab lab;
  Signal changed{lab.io.get_executor()};
  bool released = false, drained = false;
};

TEST_F(Draining, CancelsWhatCanBeCancelled) {
  const MoRef first = run_until_stopped(true), second = run_until_stopped(true);
  lab.settle();
  begin_to_drain();
  EXPECT_TRUE(drained);
  for (const MoRef& task : {first, second}) {
    EXPECT_EQ(info(task).state, vim::TaskInfoState::error);
    EXPECT_EQ(info(task).error->fault->type_info().name, "RequestCanceled");
    EXPECT_TRUE(info(task).cancelled);
  }
}

TEST_F(Draining, WaitsForTheRest) {
  const MoRef task = run_until_stopped(false);
  lab.settle();
  begin_to_drain();
  EXPECT_FALSE(drained);
  EXPECT_EQ(info(task).state, vim::TaskInfoState::running);
  released = true;
  changed.notify();
  lab.settle();
  EXPECT_TRUE(drained);
  EXPECT_EQ(info(task).state, vim::TaskInfoState::success);
}

TEST_F(Draining, EndsAtOnceWhenNothingRuns) {
  begin_to_drain();
  EXPECT_TRUE(drained);
}

class History : public testing::Test {
 protected:
  void run_tasks(int count) {
    const auto work = [](TaskHandle&) -> Async<Any> { co_return Any(); };
    for (int i = 0; i < count; ++i)
      lab.kernel.tasks.run(lab.call, {.method = "Test_Task", .description_id = "Test.test"}, work);
    lab.settle();
  }

  Lab lab;
};

TEST_F(History, IsReadBeyondWhatIsListedAsRecent) {
  run_tasks(250);
  EXPECT_EQ(lab.kernel.tasks.recent().size(), 200u);
  TaskHistoryCollector collector(lab.kernel, {"TaskHistoryCollector", "c"}, {});
  vim::ReadNextTasksRequestType request;
  request.maxCount = 200;
  const auto first = lab.run(collector.ReadNextTasks(lab.call, request));
  const auto rest = lab.run(collector.ReadNextTasks(lab.call, request));
  ASSERT_EQ(first.size(), 200u);
  ASSERT_EQ(rest.size(), 50u);
  EXPECT_EQ(first[199]->eventChainId + 1, rest[0]->eventChainId);
  EXPECT_EQ(rest[49]->task, lab.kernel.tasks.recent().front());
}

}  // namespace
}  // namespace virga::kernel
