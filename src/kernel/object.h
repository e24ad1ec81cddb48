// Managed objects as the kernel keeps them. An object's properties are one immutable snapshot;
// a change publishes a new one. Any thread may read the snapshot; only code on the kernel executor
// may publish, so the objects' own code needs no locks.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "model/managed_object.h"

namespace virga::kernel {

using model::Any;
using model::DataPtr;
using model::MoRef;

class Inventory;
struct Session;

class Object : public std::enable_shared_from_this<Object> {
 public:
  Object(Inventory& inventory, MoRef self, DataPtr properties);
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  const MoRef& self() const { return self_; }
  Inventory& inventory() const { return inventory_; }
  virtual model::ManagedObject& interface() = 0;

  // The properties now, of the type interface().info().properties. Any thread.
  DataPtr snapshot() const;
  // The same as one session sees them: differs where a property tells a caller of himself, as
  // SessionManager.currentSession does. Any thread.
  virtual DataPtr snapshot_for(const Session*) const { return snapshot(); }

  // The entity whose permissions guard this object: itself for an entity; the root folder (an empty
  // reference) where nothing nearer is meant. Constant for the object's life. Any thread.
  virtual MoRef guard() const { return guard_; }
  void set_guard(MoRef entity) { guard_ = std::move(entity); }

  // ManagedEntity.recentTask, newest first; nothing for an object that is no entity.
  virtual void set_recent_tasks(model::Array<MoRef>) {}

  // The key of the session that made this object and alone may see it (views, filters, collectors);
  // "" for everybody's. Constant for the object's life.
  const std::string& owner() const { return owner_; }
  void set_owner(std::string session_key) { owner_ = std::move(session_key); }

 protected:
  // Makes `next` the snapshot and tells the inventory, when it differs from the present one.
  void publish(DataPtr next);

 private:
  Inventory& inventory_;
  const MoRef self_;
  MoRef guard_;
  std::string owner_;
  mutable std::mutex mutex_;    // held for the time of one reference count
  DataPtr properties_;
};

// The base of every implementation: class VirtualMachine : public Implements<vim::VirtualMachine>.
template <class Interface>
class Implements : public Interface, public Object {
 public:
  using Properties = typename Interface::Properties;

  const MoRef& ref() const final { return self(); }
  model::ManagedObject& interface() final { return *this; }

  void set_recent_tasks(model::Array<MoRef> tasks) final {
    if constexpr (requires(Properties& p) { p.recentTask; p.effectiveRole; })
      update([&](Properties& p) { p.recentTask = std::move(tasks); });
  }

  // The present properties; valid until the next change. Kernel executor only.
  const Properties& properties() const { return static_cast<const Properties&>(*current_); }

  // Changes the properties in one step: change(Properties&) edits a copy, which is then published.
  template <class Change>
  void update(Change&& change) {
    auto next = model::share(properties());
    change(next.edit());
    current_ = next.data();
    publish(current_);
  }

 protected:
  Implements(Inventory& inventory, MoRef self, Properties initial = {})
      : Implements(inventory, std::move(self), model::share(std::move(initial)).data()) {}

 private:
  Implements(Inventory& inventory, MoRef self, DataPtr initial)
      : Object(inventory, std::move(self), initial), current_(std::move(initial)) {}

  DataPtr current_;
};

}  // namespace virga::kernel
