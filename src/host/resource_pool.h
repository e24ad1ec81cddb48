// ResourcePool: the host's root pool, which has all that the machine has, and the pools below it.
#pragma once

#include "host/entity.h"
#include "host/resource_tree.h"

namespace virga::host {

class ResourcePool final : public Entity<vim::ResourcePool> {
 public:
  ResourcePool(Host& host, MoRef self);

  // Takes name, configuration, parent and pools over from the tree.
  void show(const ResourceTree& tree);
  void show_usage(vim::ResourcePoolResourceUsage cpu, vim::ResourcePoolResourceUsage memory);

  Async<void> UpdateConfig(model::Call&, const vim::UpdateConfigRequestType&) override;
  Async<MoRef> Rename_Task(model::Call&, const vim::RenameRequestType&) override;
  Async<MoRef> Destroy_Task(model::Call&, const vim::DestroyRequestType&) override;
  Async<MoRef> CreateResourcePool(model::Call&, const vim::CreateResourcePoolRequestType&) override;
  Async<MoRef> ImportVApp(model::Call&, const vim::ImportVAppRequestType&) override;
  Async<void> MoveIntoResourcePool(model::Call&,
                                   const vim::MoveIntoResourcePoolRequestType&) override;
  Async<void> UpdateChildResourceConfiguration(
      model::Call&, const vim::UpdateChildResourceConfigurationRequestType&) override;
  Async<void> DestroyChildren(model::Call&, const vim::DestroyChildrenRequestType&) override;
  Async<MoRef> CreateChildVM_Task(model::Call&, const vim::CreateChildVMRequestType&) override;
  Async<MoRef> RegisterChildVM_Task(model::Call&, const vim::RegisterChildVMRequestType&) override;
  Async<model::Ptr<vim::ResourceConfigOption>> QueryResourceConfigOption(
      model::Call&, const vim::QueryResourceConfigOptionRequestType&) override;
  Async<void> RefreshRuntime(model::Call&, const vim::RefreshRuntimeRequestType&) override;

 private:
  void require(model::Call& call, const kernel::Object& object, const char* privilege) const;
  const std::string& id() const { return self().value; }
  void refuse_root(const char* doing) const;
  void check_host(const std::optional<MoRef>& on_host) const;
  void reconfigure(model::Call& call, const std::optional<std::string>& name,
                   const model::Ptr<vim::ResourceConfigSpec>& config);
  void destroy(model::Call& call);
  void tell_moved(const MoRef& moved, const ResourceTree& before, const std::string& user);
  template <class E>
  void post(E event, const std::string& message, const std::string& user);
};

}  // namespace virga::host
