// ContainerView: all entities below one, of certain types.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/view.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// The steps from an entity to those it contains: Folder.childEntity, Datacenter's folders,
// ComputeResource.host and .resourcePool, ResourcePool.resourcePool and .vm, HostSystem.vm.
// `recursive`: and on from those.
SelectionPlan containment(const MoRef& container, bool recursive);

class ContainerView;

// The contents of a container, kept once for all views by one user that show the same.
class ContainerContents : public std::enable_shared_from_this<ContainerContents> {
 public:
  struct Key {
    std::string user;
    MoRef container;
    std::vector<std::string> types;
    bool recursive;
    auto operator<=>(const Key&) const = default;
  };

  ContainerContents(Kernel& kernel, Key key);
  ~ContainerContents();

  // The properties of a view of them.
  const DataPtr& properties() const { return properties_; }
  void add(ContainerView* view) { views_.insert(view); }
  void remove(ContainerView* view) { views_.erase(view); }

 private:
  bool wants(Object& object) const;

  Kernel& kernel_;
  const Key key_;
  std::vector<const model::ManagedInfo*> types_;
  std::set<ContainerView*> views_;
  DataPtr properties_;
  LiveMembers members_;
};

// Finds the contents that views already show.
class ContainerIndex {
 public:
  explicit ContainerIndex(Kernel& kernel) : kernel_(kernel) {}
  std::shared_ptr<ContainerContents> contents(ContainerContents::Key key);

 private:
  Kernel& kernel_;
  std::map<ContainerContents::Key, std::weak_ptr<ContainerContents>> known_;
};

// Not an Implements<>: views of the same contents share one snapshot instead of owning theirs.
class ContainerView final : public vim::ContainerView, public Object, private Watcher {
 public:
  ContainerView(Inventory& inventory, MoRef self, std::shared_ptr<ContainerContents> contents);

  const MoRef& ref() const override { return self(); }
  model::ManagedObject& interface() override { return *this; }

  // To be called once it is in the inventory.
  void open();
  void show(DataPtr properties) { publish(std::move(properties)); }

  Async<void> DestroyView(model::Call&, const vim::DestroyViewRequestType&) override;

 private:
  void object_removed(Object& self) override;

  std::shared_ptr<ContainerContents> contents_;
};

}  // namespace virga::kernel
