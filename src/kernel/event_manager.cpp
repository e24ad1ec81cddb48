#include "kernel/event_manager.h"

#include <algorithm>

namespace virga::kernel {
namespace {

constexpr std::int32_t kMaxCollectors = 32;

std::string category_of(const model::TypeInfo& type) {
  const std::string_view name = type.name;
  if (name.find("Failed") != std::string_view::npos || name.find("Error") != std::string_view::npos)
    return "error";
  if (name.find("Warning") != std::string_view::npos) return "warning";
  if (name == "GeneralUserEvent" || name.find("Session") != std::string_view::npos) return "user";
  return "info";
}

vim::EventDescription describe_events() {
  vim::EventDescription description;
  for (const char* category : {"info", "warning", "error", "user"}) {
    auto& element = description.category.emplace_back();
    element.key = element.label = element.summary = category;
  }
  for (const model::TypeInfo* type : model::all_types()) {
    if (!model::is_a(*type, vim::Event::static_type()) || type == &vim::Event::static_type()) continue;
    auto& detail = description.eventInfo.emplace_back();
    detail.key = type->name;
    detail.description = std::string(type->name);
    detail.category = category_of(*type);
    detail.fullFormat = "{fullFormattedMessage}";
  }
  return description;
}

// The entities an event is about.
std::vector<MoRef> entities_of(const vim::Event& event) {
  std::vector<MoRef> entities;
  if (event.vm) entities.push_back(event.vm->vm);
  if (event.host) entities.push_back(event.host->host);
  if (event.computeResource) entities.push_back(event.computeResource->computeResource);
  if (event.datacenter) entities.push_back(event.datacenter->datacenter);
  if (event.ds) entities.push_back(event.ds->datastore);
  if (event.net) entities.push_back(event.net->network);
  if (const auto* note = dynamic_cast<const vim::GeneralUserEvent*>(&event); note && note->entity)
    entities.push_back(note->entity->entity);
  return entities;
}

bool selects_type(const vim::EventFilterSpec& filter, const vim::Event& event) {
  const auto names_it = [&](const std::string& name) {
    for (const model::TypeInfo* type = &event.type_info(); type; type = type->base) {
      if (name == type->name || name == "vim.event." + std::string(type->name)) return true;
    }
    return false;
  };
  const auto any_of = [&](const auto& names) {
    return names.empty() || std::any_of(names.begin(), names.end(), names_it);
  };
  return any_of(filter.type) && any_of(filter.eventTypeId);
}

}  // namespace

bool filter_selects(const Inventory& inventory, const MoRef& filter_entity, bool self, bool children,
                    const std::optional<MoRef>& entity) {
  if (!entity) return false;
  if (entity->value == filter_entity.value) return self;
  if (!children) return false;
  for (auto object = inventory.find(*entity); object;) {
    const DataPtr snapshot = object->snapshot();
    if (!model::is_a(snapshot->type_info(), vim::ManagedEntityProperties::static_type())) return false;
    const auto parent = static_cast<const vim::ManagedEntityProperties&>(*snapshot).parent;
    if (!parent) return false;
    if (parent->value == filter_entity.value) return true;
    object = inventory.find(*parent);
  }
  return false;
}

bool selects(const Inventory& inventory, const vim::EventFilterSpec& filter,
             const model::Ptr<vim::Event>& event) {
  if (filter.time) {
    if (filter.time->beginTime && event->createdTime < *filter.time->beginTime) return false;
    if (filter.time->endTime && event->createdTime > *filter.time->endTime) return false;
  }
  if (filter.userName) {
    const auto& users = filter.userName->userList;
    const bool system = event->userName.empty();
    const bool listed = std::find(users.begin(), users.end(), event->userName) != users.end();
    if (system ? !filter.userName->systemUser : !users.empty() && !listed) return false;
  }
  if (filter.eventChainId && event->chainId != *filter.eventChainId) return false;
  if (!selects_type(filter, *event)) return false;
  if (!filter.category.empty()) {
    const std::string category = category_of(event->type_info());
    if (std::find(filter.category.begin(), filter.category.end(), category) == filter.category.end())
      return false;
  }
  if (!filter.entity) return true;
  const auto recursion = filter.entity->recursion;
  const bool self = recursion != vim::EventFilterSpecRecursionOption::children;
  const bool children = recursion != vim::EventFilterSpecRecursionOption::self;
  const auto entities = entities_of(*event);
  return std::any_of(entities.begin(), entities.end(), [&](const MoRef& entity) {
    return filter_selects(inventory, filter.entity->entity, self, children, entity);
  });
}

// --- EventManager -----------------------------------------------------------------------------

EventManager::EventManager(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self), [&] {
        Properties properties;
        properties.description = model::share(describe_events());
        properties.latestEvent = kernel.events->latest();
        properties.maxCollector = kMaxCollectors;
        return properties;
      }()),
      kernel_(kernel),
      listener_(kernel.events->add_listener([this](const model::Ptr<vim::Event>& event) {
        update([&](Properties& p) { p.latestEvent = event; });
      })) {}

EventManager::~EventManager() { kernel_.events->remove_listener(listener_); }

Async<model::List<vim::EventArgDesc>> EventManager::RetrieveArgumentDescription(
    model::Call&, const vim::RetrieveArgumentDescriptionRequestType& r) {
  std::string name = r.eventTypeId;
  if (name.starts_with("vim.event.")) name = name.substr(10);
  const model::TypeInfo* type = model::find_type(name);
  if (!type || !model::is_a(*type, vim::Event::static_type()))
    throw invalid_argument("eventTypeId", "there is no event " + r.eventTypeId);
  model::List<vim::EventArgDesc> arguments;
  type->for_each_field([&](const model::FieldInfo& field) {
    auto& argument = arguments.emplace_back();
    argument.name = field.name;
    argument.type = field.type->name;
  });
  co_return arguments;
}

Async<MoRef> EventManager::CreateCollectorForEvents(
    model::Call& c, const vim::CreateCollectorForEventsRequestType& r) {
  const auto& session = context(c).session;
  int mine = 0;
  for (const auto& object : inventory().all())
    mine += object->owner() == session->key && object->self().type == "EventHistoryCollector";
  if (mine >= kMaxCollectors)
    throw invalid_state(fmt::format("This session has {} collectors already.", mine));
  const MoRef ref{"EventHistoryCollector",
                  fmt::format("session[{}]{}", session->key, inventory().next_number())};
  auto collector = std::make_shared<EventHistoryCollector>(kernel_, ref, r.filter);
  collector->set_owner(session->key);
  inventory().add(collector);
  co_return ref;
}

Async<void> EventManager::LogUserEvent(model::Call& c, const vim::LogUserEventRequestType& r) {
  const auto& call = context(c);
  const auto object = inventory().get(r.entity);
  kernel_.authorization.check(inventory(), call.user(), *object, "Global.LogEvent");
  vim::GeneralUserEvent event;
  event.message = r.msg;
  vim::ManagedEntityEventArgument argument;
  argument.entity = r.entity;
  argument.name = static_cast<const vim::ManagedEntityProperties&>(*object->snapshot()).name;
  event.entity = model::share(std::move(argument));
  kernel_.events->post(std::move(event), "User logged event: " + r.msg, call.user());
  co_return;
}

Async<model::List<vim::Event>> EventManager::QueryEvents(model::Call&,
                                                         const vim::QueryEventsRequestType& r) {
  model::List<vim::Event> found;
  const auto& log = kernel_.events->all();
  const auto most = static_cast<std::size_t>(r.filter.maxCount.value_or(kMaxPage));
  std::vector<model::Ptr<vim::Event>> newest;
  for (auto event = log.rbegin(); event != log.rend() && newest.size() < most; ++event)
    if (selects(inventory(), r.filter, *event)) newest.push_back(*event);
  for (auto event = newest.rbegin(); event != newest.rend(); ++event) found.push_back(*event);
  co_return found;
}

Async<void> EventManager::PostEvent(model::Call& c, const vim::PostEventRequestType& r) {
  const std::string message = r.eventToPost->fullFormattedMessage.value_or(
      std::string(r.eventToPost->type_info().name));
  kernel_.events->post(r.eventToPost, message, context(c).user());
  co_return;
}

// --- EventHistoryCollector --------------------------------------------------------------------

EventHistoryCollector::EventHistoryCollector(Kernel& kernel, MoRef self, vim::EventFilterSpec filter)
    : HistoryCollector(kernel.inventory, std::move(self),
                       model::any(model::share(vim::EventFilterSpec(filter)))),
      kernel_(kernel),
      filter_(std::move(filter)),
      listener_(kernel.events->add_listener([this](const model::Ptr<vim::Event>& event) {
        if (selects(inventory(), filter_, event)) refresh_page();
      })) {
  refresh_page();
}

EventHistoryCollector::~EventHistoryCollector() { kernel_.events->remove_listener(listener_); }

std::vector<model::Ptr<vim::Event>> EventHistoryCollector::selected() const {
  std::vector<model::Ptr<vim::Event>> events;
  for (const auto& event : kernel_.events->all())
    if (selects(inventory(), filter_, event)) events.push_back(event);
  return events;
}

std::vector<std::int64_t> EventHistoryCollector::keys() const {
  std::vector<std::int64_t> keys;
  for (const auto& event : selected()) keys.push_back(event->key);
  return keys;
}

void EventHistoryCollector::refresh_page() {
  const auto events = selected();
  update([&](Properties& p) {
    p.latestPage.clear();
    for (std::size_t i = events.size(); i > 0 && p.latestPage.size() < page_; --i)
      p.latestPage.push_back(events[i - 1]);
  });
}

model::List<vim::Event> EventHistoryCollector::pick(const std::vector<std::size_t>& indexes) const {
  const auto events = selected();
  model::List<vim::Event> picked;
  for (const std::size_t index : indexes) picked.push_back(events[index]);
  return picked;
}

Async<model::List<vim::Event>> EventHistoryCollector::ReadNextEvents(
    model::Call&, const vim::ReadNextEventsRequestType& r) {
  co_return pick(cursor_.forward(keys(), page_size(r.maxCount)));
}

Async<model::List<vim::Event>> EventHistoryCollector::ReadPreviousEvents(
    model::Call&, const vim::ReadPreviousEventsRequestType& r) {
  co_return pick(cursor_.backward(keys(), page_size(r.maxCount)));
}

}  // namespace virga::kernel
