#include "kernel/containment.h"

#include "vim/interfaces.h"

namespace virga::kernel {

SelectionPlan containment(const std::vector<MoRef>& containers, bool recursive) {
  const struct {
    const model::ManagedInfo& type;
    std::string_view path;
  } kSteps[] = {
      {vim::Folder::static_info(), "childEntity"},
      {vim::Datacenter::static_info(), "vmFolder"},
      {vim::Datacenter::static_info(), "hostFolder"},
      {vim::Datacenter::static_info(), "datastoreFolder"},
      {vim::Datacenter::static_info(), "networkFolder"},
      {vim::ComputeResource::static_info(), "host"},
      {vim::ComputeResource::static_info(), "resourcePool"},
      {vim::ResourcePool::static_info(), "resourcePool"},
      {vim::ResourcePool::static_info(), "vm"},
      {vim::HostSystem::static_info(), "vm"},
  };
  constexpr model::Version kAny{{255, 255, 255, 255}};

  SelectionPlan plan;
  std::vector<const Traversal*> all;
  for (const auto& step : kSteps)
    all.push_back(&plan.traversals.emplace_back(
        Traversal{&step.type, RequestedProperty(step.type, step.path, kAny), false, {}}));
  if (recursive) {
    for (Traversal& traversal : plan.traversals) traversal.next = all;
  }
  for (const MoRef& container : containers) plan.roots.push_back({container, true, all});
  return plan;
}

}  // namespace virga::kernel
