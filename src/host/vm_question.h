// What a VM has to be told by a person before it goes on: runtime.question, and AnswerVM.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "vim/types.h"
#include "vmx/machine_config.h"

namespace virga::host {

struct Question {
  struct Choice {
    std::string id;    // "button.uuid.copiedTheVM", by which scripts know it
    std::string text;  // "I Copied It"
  };
  std::string message_id;  // "msg.uuid.altered"
  std::string text;
  std::vector<Choice> choices;  // answered by their numbers from 0
  int default_choice = 0;
};

// "msg.uuid.altered:This virtual machine …", as clients show a question.
std::string full_text(const Question& question);
// `id`: what AnswerVM calls it.
vim::VirtualMachineQuestionInfo to_api(const Question& question, const std::string& id);

// The answer that the .vmx has already: answer.MESSAGE_ID = "a choice's text", or the default with
// msg.autoAnswer = "TRUE".
std::optional<int> answer_in_advance(const Question& question, const vmx::MachineConfig& config);

// A question asked, until it is answered or nobody needs the answer any more.
class PendingQuestion {
 public:
  PendingQuestion(asio::any_io_executor executor, std::string id, Question question);

  const std::string& id() const { return id_; }
  const Question& question() const { return question_; }

  // `choice`: its number as text. Throws Fault: InvalidArgument for none of the choices,
  // ConcurrentAccess when the answer is given already.
  void answer(const std::string& choice);
  void withdraw();
  // nullopt: withdrawn.
  static Async<std::optional<int>> wait_for_answer(std::shared_ptr<PendingQuestion> asked);

 private:
  const std::string id_;
  const Question question_;
  std::optional<int> answer_;
  bool over_ = false;
  Signal ended_;
};

// --- The questions -----------------------------------------------------------------------------

namespace choices {
enum Moved { cancel_power_on, moved, copied };
enum Space { retry, give_up };
}  // namespace choices

// Asked at power on, when the VM is not where it last ran.
Question moved_or_copied();
// Asked while the guest waits for room to write to a disk.
Question out_of_space(const std::string& disk);

}  // namespace virga::host
