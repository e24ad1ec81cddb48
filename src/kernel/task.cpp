#include "kernel/task.h"

#include <algorithm>
#include <vector>

#include "kernel/faults.h"
#include "model/clock.h"

namespace virga::kernel {
namespace {

// Of the tasks that are kept, those that are listed as recent.
constexpr std::size_t kRecent = 200;

// One task, and the handle its work holds on it.
class Task final : public Implements<vim::Task>, public TaskHandle {
 public:
  Task(Inventory& inventory, MoRef self, Properties initial)
      : Implements(inventory, std::move(self), std::move(initial)) {}

  MoRef task() const override { return self(); }
  std::stop_token stop_token() const override { return stop_.get_token(); }

  void report(int percent) override {
    percent = std::clamp(percent, 0, 100);
    if (reported_.exchange(percent) == percent) return;
    asio::post(inventory().executor(), [self = shared_from_this(), this, percent] {
      if (properties().info->state == vim::TaskInfoState::running)
        update([&](Properties& p) { p.info.edit().progress = percent; });
    });
  }

  void start() {
    update([](Properties& p) {
      auto& info = p.info.edit();
      info.state = vim::TaskInfoState::running;
      info.startTime = model::now();
    });
  }
  void succeed(Any result) {
    update([&](Properties& p) {
      auto& info = p.info.edit();
      info.state = vim::TaskInfoState::success;
      info.result = std::move(result);
      info.progress.reset();
      info.completeTime = model::now();
    });
  }
  void fail(const Fault& fault) {
    update([&](Properties& p) {
      auto& info = p.info.edit();
      info.state = vim::TaskInfoState::error;
      vim::LocalizedMethodFault error;
      error.fault = model::Ptr<vim::MethodFault>(fault.detail());
      error.localizedMessage = fault.message();
      info.error = model::share(std::move(error));
      info.cancelled = stop_.stop_requested();
      info.completeTime = model::now();
    });
  }

  // Asks the work to end, if it can.
  void stop() {
    if (properties().info->cancelable) stop_.request_stop();
  }

  Async<void> CancelTask(model::Call&, const vim::CancelTaskRequestType&) override {
    if (!properties().info->cancelable)
      throw not_supported("Cancelling " + properties().info->descriptionId);
    require_unfinished();
    stop_.request_stop();
    update([](Properties& p) { p.info.edit().cancelled = true; });
    co_return;
  }

  Async<void> UpdateProgress(model::Call&, const vim::UpdateProgressRequestType& r) override {
    require_unfinished();
    if (r.percentDone < 0 || r.percentDone > 100) {
      vim::OutOfBounds detail;
      detail.argumentName = "percentDone";
      throw Fault(std::move(detail), fmt::format("percentDone is {}, not 0 to 100", r.percentDone));
    }
    update([&](Properties& p) { p.info.edit().progress = r.percentDone; });
    co_return;
  }

  Async<void> SetTaskState(model::Call&, const vim::SetTaskStateRequestType& r) override {
    require_unfinished();
    if (r.state == vim::TaskInfoState::running) {
      start();
    } else if (r.state == vim::TaskInfoState::success) {
      succeed(r.result);
    } else if (r.state == vim::TaskInfoState::error) {
      if (!r.fault) throw invalid_argument("fault", "a task that failed needs its fault");
      fail(Fault(r.fault->fault.data(), r.fault->localizedMessage.value_or("")));
    } else {
      throw invalid_state("a task does not go back to the queue");
    }
    co_return;
  }

  Async<void> SetTaskDescription(model::Call&,
                                 const vim::SetTaskDescriptionRequestType& r) override {
    update([&](Properties& p) {
      p.info.edit().description = model::share(vim::LocalizableMessage(r.description));
    });
    co_return;
  }

 private:
  void require_unfinished() const {
    const auto state = properties().info->state;
    if (state == vim::TaskInfoState::success || state == vim::TaskInfoState::error)
      throw invalid_state(self().value + " has ended already");
  }

  std::stop_source stop_;
  std::atomic<int> reported_{-1};
};

}  // namespace

struct TaskTable::State : std::enable_shared_from_this<TaskTable::State> {
  State(Inventory& inventory, std::size_t keep)
      : inventory(inventory), keep(keep), idle(inventory.executor()) {}

  std::shared_ptr<Task> create(model::Ptr<vim::TaskReason> reason, const TaskSpec& spec);
  Async<void> execute(std::shared_ptr<Task> task, std::function<Async<Any>(TaskHandle&)> work);
  // Newest first.
  std::vector<std::shared_ptr<Task>> recent() const {
    return {tasks.begin(), tasks.begin() + std::min(tasks.size(), kRecent)};
  }
  void list_at(const MoRef& entity);
  void forget_oldest();
  void tell();

  Inventory& inventory;
  const std::size_t keep;
  std::deque<std::shared_ptr<Task>> tasks;  // newest first
  std::vector<std::function<void(const vim::TaskInfo&)>> on_start;
  std::vector<std::function<void()>> on_change;
  int running = 0;
  Signal idle;
};

TaskTable::TaskTable(Inventory& inventory, std::size_t keep)
    : state_(std::make_shared<State>(inventory, keep)) {}

TaskTable::~TaskTable() = default;

std::shared_ptr<Task> TaskTable::State::create(model::Ptr<vim::TaskReason> reason,
                                               const TaskSpec& spec) {
  const auto number = inventory.next_number();
  const std::string key =
      fmt::format("haTask-{}-vim.{}-{}", spec.entity.value, spec.description_id, number);
  vim::TaskProperties properties;
  vim::TaskInfo& info = properties.info.edit();
  info.key = key;
  info.task = {"Task", key};
  info.name = spec.method;
  info.descriptionId = spec.description_id;
  if (!spec.entity.value.empty()) info.entity = spec.entity;
  if (!spec.entity_name.empty()) info.entityName = spec.entity_name;
  info.state = vim::TaskInfoState::queued;
  info.cancelable = spec.cancelable;
  info.queueTime = model::now();
  info.eventChainId = static_cast<std::int32_t>(number);
  info.reason = std::move(reason);
  auto task = std::make_shared<Task>(inventory, info.task, std::move(properties));
  task->set_guard(spec.entity);
  inventory.add(task);
  tasks.push_front(task);
  list_at(spec.entity);
  if (tasks.size() > kRecent) list_at(tasks[kRecent]->guard());
  return task;
}

// An entity lists those of the recent tasks that are its own.
void TaskTable::State::list_at(const MoRef& entity) {
  const auto object = inventory.find(entity);
  if (!object) return;
  model::Array<MoRef> own;
  for (const auto& task : recent()) {
    if (task->guard() == entity) own.push_back(task->self());
  }
  object->set_recent_tasks(std::move(own));
}

void TaskTable::State::forget_oldest() {
  const auto ended = [](const std::shared_ptr<Task>& task) {
    const auto state = task->properties().info->state;
    return state == vim::TaskInfoState::success || state == vim::TaskInfoState::error;
  };
  for (auto at = tasks.end(); tasks.size() > keep && at != tasks.begin();) {
    --at;
    if (!ended(*at)) continue;
    const auto forgotten = *at;
    at = tasks.erase(at);
    inventory.remove(forgotten->self());
    list_at(forgotten->guard());
  }
}

void TaskTable::State::tell() {
  for (const auto& hook : on_change) hook();
}

Async<void> TaskTable::State::execute(std::shared_ptr<Task> task,
                                      std::function<Async<Any>(TaskHandle&)> work) {
  const auto self = shared_from_this();
  std::exception_ptr failure;
  Any result;
  task->start();
  try {
    result = co_await work(*task);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    task->fail(from_exception(failure, task->properties().info->descriptionId));
  } else {
    task->succeed(std::move(result));
  }
  if (--running == 0) idle.notify();
}

namespace {

model::Ptr<vim::TaskReason> asked_by(model::Call& call) {
  vim::TaskReasonUser reason;
  reason.userName = context(call).user();
  return model::share(std::move(reason));
}

}  // namespace

MoRef TaskTable::run(model::Call& call, TaskSpec spec,
                     std::function<Async<Any>(TaskHandle&)> work) {
  return run(asked_by(call), std::move(spec), std::move(work));
}

MoRef TaskTable::run(TaskSpec spec, std::function<Async<Any>(TaskHandle&)> work) {
  return run(model::share(vim::TaskReasonSystem{}), std::move(spec), std::move(work));
}

MoRef TaskTable::run(model::Ptr<vim::TaskReason> reason, TaskSpec spec,
                     std::function<Async<Any>(TaskHandle&)> work) {
  const auto task = state_->create(std::move(reason), spec);
  for (const auto& hook : state_->on_start) hook(*task->properties().info);
  state_->forget_oldest();
  state_->tell();
  ++state_->running;
  spawn(state_->inventory.executor(), "task", state_->execute(task, std::move(work)));
  return task->self();
}

MoRef TaskTable::create(model::Call& call, TaskSpec spec) {
  const auto task = state_->create(asked_by(call), spec);
  state_->forget_oldest();
  state_->tell();
  return task->self();
}

void TaskTable::on_start(std::function<void(const vim::TaskInfo&)> hook) {
  state_->on_start.push_back(std::move(hook));
}

void TaskTable::on_change(std::function<void()> hook) {
  state_->on_change.push_back(std::move(hook));
}

std::vector<MoRef> TaskTable::recent() const {
  std::vector<MoRef> refs;
  for (const auto& task : state_->recent()) refs.push_back(task->self());
  return refs;
}

std::vector<model::Ptr<vim::TaskInfo>> TaskTable::history() const {
  std::vector<model::Ptr<vim::TaskInfo>> infos;
  for (auto task = state_->tasks.rbegin(); task != state_->tasks.rend(); ++task)
    infos.push_back((*task)->properties().info);
  return infos;
}

Async<void> TaskTable::drain() {
  const auto state = state_;
  for (const auto& task : state->tasks) task->stop();
  while (state->running > 0) co_await state->idle.wait();
}

}  // namespace virga::kernel
