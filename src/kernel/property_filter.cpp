#include "kernel/property_filter.h"

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

using vim::ObjectUpdateKind;
using vim::PropertyChangeOp;

void add_change(vim::ObjectUpdate& update, PropertyChangeOp op, std::string name, Any value) {
  vim::PropertyChange& change = update.changeSet.emplace_back();
  change.op = op;
  change.name = std::move(name);
  change.val = std::move(value);
}

PropertyChangeOp op_of(model::Change::Op op) {
  switch (op) {
    case model::Change::Op::add:
      return PropertyChangeOp::add;
    case model::Change::Op::remove:
      return PropertyChangeOp::remove;
    case model::Change::Op::indirect_remove:
      return PropertyChangeOp::indirectRemove;
    case model::Change::Op::assign:
      break;
  }
  return PropertyChangeOp::assign;
}

// How a property that has no value any more is told: the property of an object that is still there
// is assigned nothing, one that has gone with the object around it is removed with that.
PropertyChangeOp unset_op(const RequestedProperty& property, const DataPtr& now) {
  model::PropertyPath around = property.steps();
  around.pop_back();
  return around.empty() || model::resolve(now, around) ? PropertyChangeOp::assign
                                                       : PropertyChangeOp::indirectRemove;
}

// Puts one filter's news into words.
class Renderer {
 public:
  Renderer(const Kernel& kernel, const UpdateBatch& batch)
      : batch_(batch), access_(kernel, batch.reader) {}

  model::Ptr<vim::PropertyFilterUpdate> render() {
    vim::PropertyFilterUpdate result;
    result.filter = batch_.filter;
    for (const PendingUpdate& pending : batch_.updates) add(pending, result);
    for (const MoRef& ref : batch_.missing) {
      const Fault fault = managed_object_not_found(ref);
      vim::MissingObject& missing = result.missingSet.emplace_back();
      missing.obj = ref;
      missing.fault.fault = model::Ptr<vim::MethodFault>(fault.detail());
      missing.fault.localizedMessage = fault.message();
    }
    if (result.objectSet.empty() && result.missingSet.empty()) return {};
    return model::share(std::move(result));
  }

 private:
  void add(const PendingUpdate& pending, vim::PropertyFilterUpdate& result) {
    vim::ObjectUpdate update;
    update.kind = pending.kind;
    update.obj = pending.object->self();
    if (pending.kind != ObjectUpdateKind::leave) {
      for (const RequestedProperty& property : pending.request->properties)
        add_property(pending, property, update);
    }
    const bool unchanged = update.changeSet.empty() && update.missingSet.empty();
    if (pending.kind == ObjectUpdateKind::modify && unchanged) return;
    result.objectSet.push_back(std::move(update));
  }

  void add_property(const PendingUpdate& pending, const RequestedProperty& property,
                    vim::ObjectUpdate& update) {
    Any value = property.read(pending.now);
    const bool modified = pending.kind == ObjectUpdateKind::modify;
    if (modified && value == property.read(pending.before)) return;
    if (!access_.allows(*pending.object, property.privilege())) {
      update.missingSet.push_back(
          missing_property(property, access_.refusal(*pending.object, property.privilege())));
    } else if (modified && batch_.partial_updates) {
      for (model::Change& change : model::difference(pending.before, pending.now, property.path()))
        add_change(update, op_of(change.op), std::move(change.path), std::move(change.value));
    } else if (value) {
      add_change(update, PropertyChangeOp::assign, property.path(), std::move(value));
    } else if (modified) {
      add_change(update, unset_op(property, pending.now), property.path(), {});
    }
  }

  const UpdateBatch& batch_;
  Access access_;
};

vim::PropertyFilterProperties properties_of(model::Ptr<vim::PropertyFilterSpec> spec,
                                            bool partial_updates) {
  vim::PropertyFilterProperties properties;
  properties.spec = std::move(spec);
  properties.partialUpdates = partial_updates;
  return properties;
}

}  // namespace

model::Ptr<vim::PropertyFilterUpdate> render(const Kernel& kernel, const UpdateBatch& batch) {
  return Renderer(kernel, batch).render();
}

PropertyFilter::PropertyFilter(Kernel& kernel, MoRef self, const Reader& reader,
                               model::Ptr<vim::PropertyFilterSpec> spec, bool partial_updates,
                               std::function<void()> wake)
    : Implements(kernel.inventory, std::move(self), properties_of(spec, partial_updates)),
      session_(reader.session),
      version_(reader.version),
      plan_(std::make_shared<FilterPlan>(*spec, reader.version)),
      wake_(std::move(wake)),
      selection_(kernel.inventory, reader.session->key, *this),
      missing_(missing_roots(*plan_->selection(), Access(kernel, reader))) {
  if (!missing_.empty() && !plan_->report_missing())
    throw managed_object_not_found(missing_.front());
}

void PropertyFilter::open() {
  inventory().watch(self(), this);
  selection_.follow(plan_->selection());
  wake_();
}

void PropertyFilter::object_removed(Object&) {
  selection_.clear();
  news_.clear();
  news_of_.clear();
  missing_.clear();
}

bool PropertyFilter::has_news() const {
  return !news_.empty() || selection_.is_outdated() || (!missing_told_ && !missing_.empty());
}

void PropertyFilter::restart() {
  selection_.clear();
  news_.clear();
  news_of_.clear();
  missing_told_ = false;
  selection_.follow(plan_->selection());
}

UpdateBatch PropertyFilter::take(std::size_t limit) {
  if (selection_.is_outdated()) selection_.refresh();
  UpdateBatch batch{self(), {session_.lock(), version_}, properties().partialUpdates, plan_, {},
                    {}};
  if (!std::exchange(missing_told_, true)) batch.missing = missing_;
  while (batch.updates.size() < limit && !news_.empty()) {
    if (auto update = take_oldest(batch.reader)) batch.updates.push_back(std::move(*update));
  }
  return batch;
}

std::optional<PendingUpdate> PropertyFilter::take_oldest(const Reader& reader) {
  News news = std::move(news_.front());
  news_.pop_front();
  news_of_.erase(news.object.get());
  const bool is_member = selection_.contains(*news.object);
  if (!is_member && !news.known) return std::nullopt;  // came and went unnoticed
  PendingUpdate update;
  update.object = std::move(news.object);
  if (!is_member) {
    update.kind = ObjectUpdateKind::leave;
    return update;
  }
  update.kind = news.known ? ObjectUpdateKind::modify : ObjectUpdateKind::enter;
  update.request = plan_->request(update.object->interface().info());
  update.before = std::move(news.known);
  update.now = update.object->snapshot_for(reader.session.get());
  return update;
}

bool PropertyFilter::wants(Object& object) {
  return plan_->request(object.interface().info()) != nullptr;
}

void PropertyFilter::entered(Object& object) {
  add_news(object, {});
}

void PropertyFilter::left(Object& object) {
  const auto found = news_of_.find(&object);
  if (found == news_of_.end()) {
    add_news(object, object.snapshot());
  } else if (!found->second->known) {
    news_.erase(found->second);
    news_of_.erase(found);
  }
}

void PropertyFilter::changed(Object& object, const DataPtr& before) {
  const TypeRequest* request = plan_->request(object.interface().info());
  const bool concerned = (request->touched & changed_properties(before, object.snapshot())).any();
  if (concerned) add_news(object, before);
}

// The first news of an object since the last taking say what the client knows of it.
void PropertyFilter::add_news(Object& object, DataPtr known) {
  if (news_of_.contains(&object)) return;
  news_.push_back({object.shared_from_this(), std::move(known)});
  news_of_.emplace(&object, std::prev(news_.end()));
  wake_();
}

Async<void> PropertyFilter::DestroyPropertyFilter(model::Call&,
                                                  const vim::DestroyPropertyFilterRequestType&) {
  inventory().remove(self());
  co_return;
}

}  // namespace virga::kernel
