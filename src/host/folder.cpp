#include "host/folder.h"

#include <algorithm>

#include "host/names.h"
#include "host/new_machine.h"
#include "host/virtual_machine.h"
#include "kernel/task.h"

namespace virga::host {

Folder::Folder(Host& host, MoRef self, std::string name, std::optional<MoRef> parent,
               std::vector<std::string> child_types)
    : Entity(host, std::move(self), [&] {
        auto properties = entity_properties<Properties>(std::move(name), std::move(parent));
        properties.childType = std::move(child_types);
        return properties;
      }()) {}

Async<MoRef> Folder::CreateFolder(model::Call&, const vim::CreateFolderRequestType&) {
  throw kernel::not_supported("Making folders on a host; a management server has them. A folder");
  co_return MoRef{};
}

Async<MoRef> Folder::MoveIntoFolder_Task(model::Call&, const vim::MoveIntoFolderRequestType&) {
  throw kernel::not_supported("Moving entities among the folders of a host");
  co_return MoRef{};
}

void Folder::check_placement(const std::optional<MoRef>& pool,
                             const std::optional<MoRef>& on_host) const {
  const auto& types = properties().childType;
  if (std::find(types.begin(), types.end(), "VirtualMachine") == types.end())
    throw kernel::not_supported("A virtual machine in the folder " + properties().name);
  if (pool) {
    const auto object = host().kernel.inventory.get(*pool);
    if (pool->type != "ResourcePool") throw kernel::invalid_argument("pool", pool->value + " is no resource pool");
  }
  if (on_host && on_host->value != names::host_system.value)
    throw kernel::managed_object_not_found(*on_host);
}

Async<MoRef> Folder::CreateVM_Task(model::Call& call, const vim::CreateVMRequestType& request) {
  check_placement(request.pool, request.host);
  const std::string user = kernel::context(call).user();
  const auto spec = model::share(vim::VirtualMachineConfigSpec(request.config));
  const MoRef pool = request.pool;
  kernel::TaskSpec task{"CreateVM_Task", "Folder.createVm", self(), properties().name};
  co_return host().kernel.tasks.run(
      call, std::move(task), [this, user, spec, pool](kernel::TaskHandle& handle) -> Async<Any> {
        return create_virtual_machine(host(), handle, user, spec, pool);
      });
}

Async<MoRef> Folder::RegisterVM_Task(model::Call& call, const vim::RegisterVMRequestType& request) {
  check_placement(request.pool, request.host);
  const std::string user = kernel::context(call).user();
  Registration wanted{request.path, request.name, request.asTemplate, request.pool};
  kernel::TaskSpec task{"RegisterVM_Task", "Folder.registerVm", self(), properties().name};
  co_return host().kernel.tasks.run(
      call, std::move(task), [this, user, wanted](kernel::TaskHandle& handle) -> Async<Any> {
        return register_virtual_machine(host(), handle, user, wanted);
      });
}

}  // namespace virga::host
