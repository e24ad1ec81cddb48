#include "host/vm_question.h"

#include <algorithm>

#include "kernel/faults.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

// Scripts of Workstation's days write the shortcut's underscore: "I _copied it".
std::string plain(std::string text) {
  std::erase(text, '_');
  return vmx::to_lower(text);
}

std::optional<int> choice_called(const Question& question, const std::string& text) {
  for (std::size_t i = 0; i < question.choices.size(); ++i)
    if (plain(question.choices[i].text) == plain(text)) return static_cast<int>(i);
  return std::nullopt;
}

}  // namespace

std::string full_text(const Question& question) {
  return question.message_id + ":" + question.text;
}

vim::VirtualMachineQuestionInfo to_api(const Question& question, const std::string& id) {
  vim::VirtualMachineQuestionInfo info;
  info.id = id;
  info.text = full_text(question);
  for (const Question::Choice& choice : question.choices) {
    vim::ElementDescription& element = info.choice.choiceInfo.emplace_back();
    element.key = std::to_string(info.choice.choiceInfo.size() - 1);
    element.label = choice.id;
    element.summary = choice.text;
  }
  info.choice.defaultIndex = question.default_choice;
  vim::VirtualMachineMessage& message = info.message.emplace_back();
  message.id = question.message_id;
  message.text = question.text;
  return info;
}

std::optional<int> answer_in_advance(const Question& question, const vmx::MachineConfig& config) {
  if (const auto text = vmx::find_extra(config, "answer." + question.message_id))
    if (const auto choice = choice_called(question, *text)) return choice;
  const std::string automatic = vmx::find_extra(config, "msg.autoAnswer").value_or("");
  if (vmx::equal_ignoring_case(automatic, "TRUE")) return question.default_choice;
  return std::nullopt;
}

PendingQuestion::PendingQuestion(asio::any_io_executor executor, std::string id, Question question)
    : id_(std::move(id)), question_(std::move(question)), ended_(std::move(executor)) {}

void PendingQuestion::answer(const std::string& choice) {
  const auto number = vmx::parse_unsigned(choice);
  if (!number || *number >= question_.choices.size())
    throw kernel::invalid_argument("answerChoice", choice + " is none of the choices");
  if (over_) {
    throw kernel::Fault(vim::ConcurrentAccess{},
                        fmt::format("The question {} has its answer.", id_));
  }
  answer_ = static_cast<int>(*number);
  over_ = true;
  ended_.notify();
}

void PendingQuestion::withdraw() {
  over_ = true;
  ended_.notify();
}

Async<std::optional<int>> PendingQuestion::wait_for_answer(std::shared_ptr<PendingQuestion> asked) {
  while (!asked->over_) co_await asked->ended_.wait();
  co_return asked->answer_;
}

// --- The questions -----------------------------------------------------------------------------

Question moved_or_copied() {
  return {.message_id = "msg.uuid.altered",
          .text =
              "This virtual machine is not where it last ran: it was moved or copied. A copy gets "
              "identifiers and network addresses of its own, a machine that was moved keeps "
              "them. When in doubt, answer \"I Copied It\".",
          .choices = {{"button.uuid.cancel", "Cancel"},
                      {"button.uuid.movedTheVM", "I Moved It"},
                      {"button.uuid.copiedTheVM", "I Copied It"}},
          .default_choice = choices::copied};
}

Question out_of_space(const std::string& disk) {
  return {
      .message_id = "msg.hbacommon.outofspace",
      .text = fmt::format("There is no more space for the virtual disk {}. The guest waits: free "
                          "some space and retry, or cancel, which powers the machine off.",
                          disk),
      .choices = {{"button.retry", "Retry"}, {"button.abort", "Cancel"}},
      .default_choice = choices::retry};
}

}  // namespace virga::host
