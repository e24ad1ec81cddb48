// What a VM asks a person, and what it asks at power on when it lies elsewhere than where it last
// ran: whether it was moved or copied. The copy gets an identity of its own.
#include "host/virtual_machine.h"
#include "host/vm_identity.h"

namespace virga::host {

// --- Questions --------------------------------------------------------------------------------

// One at a time. A daemon that ends forgets it: a power on that waited has not happened, and a
// guest that still waits is asked about anew.
Async<std::optional<int>> VirtualMachine::ask(Question question) {
  if (const auto known = answer_in_advance(question, config_)) {
    log(fmt::format("{}: answered by the configuration: {}", question.message_id,
                    question.choices[static_cast<std::size_t>(*known)].text));
    co_return known;
  }
  const auto me = shared_from_this();
  const std::string id = std::to_string(host().kernel.inventory.next_number());
  const auto asked =
      std::make_shared<PendingQuestion>(host().kernel.executor, id, std::move(question));
  question_ = asked;
  const auto shown = model::share(to_api(asked->question(), id));
  show_question(shown);
  vim::VmMessageEvent event;
  event.message = shown->text;
  event.messageInfo = shown->message;
  log("Question " + id + ": " + shown->text);
  post(std::move(event), fmt::format("{} asks: {}", properties().name, shown->text));
  const auto choice = co_await PendingQuestion::wait_for_answer(asked);
  last_question_ = id;
  question_.reset();
  show_question({});
  co_return choice;
}

void VirtualMachine::show_question(const model::Ptr<vim::VirtualMachineQuestionInfo>& question) {
  update([&](Properties& p) {
    p.runtime.edit().question = question;
    p.summary.edit().runtime = *p.runtime;
  });
}

void VirtualMachine::withdraw_question() {
  if (question_) question_->withdraw();
}

void VirtualMachine::require_no_question() const {
  if (!question_) return;
  const std::string text = full_text(question_->question());
  vim::QuestionPending detail;
  detail.text = text;
  throw kernel::Fault(std::move(detail),
                      fmt::format("{} waits for an answer: {}", properties().name, text));
}

Async<void> VirtualMachine::AnswerVM(model::Call& call, const vim::AnswerVMRequestType& r) {
  if (r.questionId == last_question_) {
    throw kernel::Fault(vim::ConcurrentAccess{},
                        fmt::format("The question {} has its answer.", r.questionId));
  }
  if (!question_ || question_->id() != r.questionId)
    throw kernel::invalid_argument(
        "questionId", fmt::format("{} asks no question {}", properties().name, r.questionId));
  question_->answer(r.answerChoice);
  log(fmt::format("Question {}: answered {} by {}", r.questionId, r.answerChoice,
                  kernel::context(call).user()));
  co_return;
}

// --- Moved or copied --------------------------------------------------------------------------

namespace {

kernel::Fault not_powered_on(const std::string& reason) {
  vim::GenericVmConfigFault detail;
  detail.reason = reason;
  return kernel::Fault(std::move(detail), reason);
}

}  // namespace

Async<bool> VirtualMachine::was_copied() {
  const OnNewPlace action = on_new_place(config_);
  if (action != OnNewPlace::ask) co_return action == OnNewPlace::create;
  Question question = moved_or_copied();
  const auto choice = co_await ask(std::move(question));
  if (!choice)
    throw not_powered_on(fmt::format("The question whether {} was moved or copied was withdrawn.",
                                     properties().name));
  if (*choice == choices::cancel_power_on)
    throw not_powered_on(fmt::format("Powering on {} was cancelled.", properties().name));
  co_return *choice == choices::copied;
}

Async<void> VirtualMachine::settle_identity(std::string user) {
  const std::string here = location_uuid(context());
  if (config_.location_uuid == here) co_return;
  const vmx::MachineConfig before = config_;
  vmx::MachineConfig settled = config_;
  // One that never ran anywhere can be no copy of one that did.
  const bool copied = !config_.location_uuid.empty() && co_await was_copied();
  if (copied) become_a_copy(settled, context());
  settled.location_uuid = here;
  co_await save_config(std::move(settled));
  publish_config();
  if (copied) tell_new_identity(before, user);
}

void VirtualMachine::tell_new_identity(const vmx::MachineConfig& before, const std::string& user) {
  const std::string& name = properties().name;
  vim::VmUuidChangedEvent uuid;
  uuid.oldUuid = before.bios_uuid;
  uuid.newUuid = config_.bios_uuid;
  post(std::move(uuid), fmt::format("The BIOS UUID of {} is {} now", name, config_.bios_uuid),
       user);
  vim::VmInstanceUuidChangedEvent instance;
  instance.oldInstanceUuid = before.instance_uuid;
  instance.newInstanceUuid = config_.instance_uuid;
  post(std::move(instance),
       fmt::format("The instance UUID of {} is {} now", name, config_.instance_uuid), user);
  const auto tell_mac = [&](const std::string& adapter, const std::string& old_mac,
                            const std::string& new_mac) {
    if (new_mac == old_mac) return;
    vim::VmMacChangedEvent mac;
    mac.adapter = adapter;
    mac.oldMac = old_mac;
    mac.newMac = new_mac;
    post(std::move(mac), fmt::format("The address of {} of {} is {} now", adapter, name, new_mac),
         user);
  };
  for (std::size_t i = 0; i < config_.network_adapters.size(); ++i)
    tell_mac(fmt::format("ethernet{}", config_.network_adapters[i].number),
             before.network_adapters[i].mac, config_.network_adapters[i].mac);
  for (std::size_t i = 0; i < config_.passthrough.size(); ++i)
    if (config_.passthrough[i].sriov)
      tell_mac(fmt::format("pciPassthru{}", config_.passthrough[i].number),
               before.passthrough[i].sriov->mac, config_.passthrough[i].sriov->mac);
}

}  // namespace virga::host
