#include "kernel/task_manager.h"

#include <algorithm>

namespace virga::kernel {
namespace {

constexpr std::int32_t kMaxCollectors = 32;

vim::TaskDescription describe_tasks() {
  vim::TaskDescription description;
  for (const model::ManagedInfo* managed : model::all_managed()) {
    for (const auto& method : managed->own_methods) {
      if (!method.task_result && !method.name.ends_with("_Task")) continue;
      auto& element = description.methodInfo.emplace_back();
      element.key = fmt::format("{}.{}", managed->name, method.name.substr(0, method.name.find("_Task")));
      element.label = element.summary = std::string(method.name.substr(0, method.name.find("_Task")));
    }
  }
  for (const char* state : {"queued", "running", "success", "error"}) {
    auto& element = description.state.emplace_back();
    element.key = element.label = element.summary = state;
  }
  return description;
}

std::optional<model::Time> time_of(const vim::TaskInfo& info, vim::TaskFilterSpecTimeOption which) {
  switch (which) {
    case vim::TaskFilterSpecTimeOption::queuedTime: return info.queueTime;
    case vim::TaskFilterSpecTimeOption::startedTime: return info.startTime;
    case vim::TaskFilterSpecTimeOption::completedTime: return info.completeTime;
  }
  return std::nullopt;
}

bool selects(const Inventory& inventory, const vim::TaskFilterSpec& filter,
             const vim::TaskInfo& info) {
  if (filter.time) {
    const auto at = time_of(info, filter.time->timeType);
    if (!at) return false;
    if (filter.time->beginTime && *at < *filter.time->beginTime) return false;
    if (filter.time->endTime && *at > *filter.time->endTime) return false;
  }
  if (!filter.state.empty() &&
      std::find(filter.state.begin(), filter.state.end(), info.state) == filter.state.end())
    return false;
  if (!filter.eventChainId.empty() &&
      std::find(filter.eventChainId.begin(), filter.eventChainId.end(), info.eventChainId) ==
          filter.eventChainId.end())
    return false;
  if (filter.userName) {
    const auto* reason = info.reason.as<vim::TaskReasonUser>();
    const auto& users = filter.userName->userList;
    const std::string user = reason ? reason->userName : "";
    const bool listed = users.empty() || std::find(users.begin(), users.end(), user) != users.end();
    if (user.empty() ? !filter.userName->systemUser : !listed) return false;
  }
  if (!filter.entity) return true;
  const auto recursion = filter.entity->recursion;
  return filter_selects(inventory, filter.entity->entity,
                        recursion != vim::TaskFilterSpecRecursionOption::children,
                        recursion != vim::TaskFilterSpecRecursionOption::self, info.entity);
}

}  // namespace

TaskManager::TaskManager(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self), [] {
        Properties properties;
        properties.description = model::share(describe_tasks());
        properties.maxCollector = kMaxCollectors;
        return properties;
      }()), kernel_(kernel) {
  kernel_.tasks.on_change([this] {
    update([&](Properties& p) { p.recentTask = kernel_.tasks.recent(); });
  });
}

Async<MoRef> TaskManager::CreateCollectorForTasks(model::Call& c,
                                                  const vim::CreateCollectorForTasksRequestType& r) {
  const auto& session = context(c).session;
  const MoRef ref{"TaskHistoryCollector",
                  fmt::format("session[{}]{}", session->key, inventory().next_number())};
  auto collector = std::make_shared<TaskHistoryCollector>(kernel_, ref, r.filter);
  collector->set_owner(session->key);
  inventory().add(collector);
  co_return ref;
}

Async<model::Ptr<vim::TaskInfo>> TaskManager::CreateTask(model::Call& c, const vim::CreateTaskRequestType& r) {
  const auto object = inventory().get(r.obj);
  TaskSpec spec;
  spec.description_id = r.taskTypeId;
  spec.entity = r.obj;
  spec.cancelable = r.cancelable;
  const DataPtr snapshot = object->snapshot();
  if (model::is_a(snapshot->type_info(), vim::ManagedEntityProperties::static_type()))
    spec.entity_name = static_cast<const vim::ManagedEntityProperties&>(*snapshot).name;
  const MoRef task = kernel_.tasks.create(c, std::move(spec));
  const DataPtr created = inventory().get(task)->snapshot();
  co_return static_cast<const vim::TaskProperties&>(*created).info;
}

// --- TaskHistoryCollector ---------------------------------------------------------------------

TaskHistoryCollector::TaskHistoryCollector(Kernel& kernel, MoRef self, vim::TaskFilterSpec filter)
    : HistoryCollector(kernel.inventory, std::move(self),
                       model::any(model::share(vim::TaskFilterSpec(filter)))),
      kernel_(kernel),
      filter_(std::move(filter)) {
  refresh_page();
}

std::vector<model::Ptr<vim::TaskInfo>> TaskHistoryCollector::selected() const {
  auto tasks = kernel_.tasks.history();
  std::erase_if(tasks, [&](const auto& info) { return !selects(inventory(), filter_, *info); });
  return tasks;
}

std::vector<std::int64_t> TaskHistoryCollector::keys() const {
  std::vector<std::int64_t> keys;
  for (const auto& task : selected()) keys.push_back(task->eventChainId);
  return keys;
}

void TaskHistoryCollector::refresh_page() {
  const auto tasks = selected();
  update([&](Properties& p) {
    p.latestPage.clear();
    for (std::size_t i = tasks.size(); i > 0 && p.latestPage.size() < page_; --i)
      p.latestPage.push_back(tasks[i - 1]);
  });
}

model::List<vim::TaskInfo> TaskHistoryCollector::pick(const std::vector<std::size_t>& indexes) const {
  const auto tasks = selected();
  model::List<vim::TaskInfo> picked;
  for (const std::size_t index : indexes) picked.push_back(tasks[index]);
  return picked;
}

Async<model::List<vim::TaskInfo>> TaskHistoryCollector::ReadNextTasks(
    model::Call&, const vim::ReadNextTasksRequestType& r) {
  co_return pick(cursor_.forward(keys(), page_size(r.maxCount)));
}

Async<model::List<vim::TaskInfo>> TaskHistoryCollector::ReadPreviousTasks(
    model::Call&, const vim::ReadPreviousTasksRequestType& r) {
  co_return pick(cursor_.backward(keys(), page_size(r.maxCount)));
}

}  // namespace virga::kernel
