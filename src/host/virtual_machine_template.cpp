// Templates: VMs whose configuration is called .vmtx. They belong to no resource pool and never
// run.
#include "host/names.h"
#include "host/resource_pool.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"

namespace virga::host {

Async<void> VirtualMachine::complete_task(model::Call& call, const char* method,
                                          const char* description_id, Work work) {
  struct Outcome {
    explicit Outcome(asio::any_io_executor executor) : ended(std::move(executor)) {}
    Signal ended;
    bool is_over = false;
    std::exception_ptr failure;
  };
  const auto outcome = std::make_shared<Outcome>(host().kernel.executor);
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  kernel::TaskSpec spec{method, description_id, self(), properties().name};
  host().kernel.tasks.run(
      call, std::move(spec), [me, work, outcome](kernel::TaskHandle& handle) -> Async<Any> {
        return [](std::shared_ptr<VirtualMachine> vm, Work work, std::shared_ptr<Outcome> outcome,
                  kernel::TaskHandle& handle) -> Async<Any> {
          Any result;
          try {
            result = co_await exclusively(vm, work, handle);
          } catch (...) {
            outcome->failure = std::current_exception();
          }
          outcome->is_over = true;
          outcome->ended.notify();
          if (outcome->failure) std::rethrow_exception(outcome->failure);
          co_return result;
        }(me, work, outcome, handle);
      });
  while (!outcome->is_over) co_await outcome->ended.wait();
  if (outcome->failure) std::rethrow_exception(outcome->failure);
}

void VirtualMachine::refuse_template(const char* doing) const {
  if (is_template())
    throw kernel::not_supported(fmt::format("{} the template {}", doing, properties().name));
}

void VirtualMachine::require_description_only(const ConfigPlan& plan) const {
  vmx::MachineConfig described = config_;
  described.display_name = plan.config.display_name;
  described.annotation = plan.config.annotation;
  if (plan.config != described || !plan.grow.empty()) refuse_template("Changing the hardware of");
}

Async<void> VirtualMachine::become_template(bool is_template, MoRef pool) {
  const std::string stem = vmx::DatastorePath::parse(config_file_.display()).stem();
  const datastore::Location renamed = config_file_.sibling(stem + (is_template ? ".vmtx" : ".vmx"));
  co_await rename_config_file(host(), self(), config_file_, renamed);
  config_file_ = renamed;
  if (is_template) {
    host().resource_pools->remove(self());
    update([](Properties& p) { p.resourcePool.reset(); });
  } else {
    host().resource_pools->assign(self(), pool);
    host().resource_pools->add(*this);
  }
  publish_config();
}

Async<void> VirtualMachine::MarkAsTemplate(model::Call& call,
                                           const vim::MarkAsTemplateRequestType&) {
  const std::string user = kernel::context(call).user();
  const Work work = [this, user](kernel::TaskHandle&) -> Async<Any> {
    require_accessible();
    if (is_template()) throw kernel::invalid_state(properties().name + " is a template already.");
    require_power_state(vim::VirtualMachinePowerState::poweredOff);
    co_await become_template(true, names::resource_pool);
    log("Made a template by " + user);
    co_return Any();
  };
  co_await complete_task(call, "MarkAsTemplate", "VirtualMachine.markAsTemplate", work);
}

Async<void> VirtualMachine::MarkAsVirtualMachine(model::Call& call,
                                                 const vim::MarkAsVirtualMachineRequestType& r) {
  const MoRef pool = host().resource_pools->pool(r.pool)->self();
  if (r.host && *r.host != names::host_system) throw kernel::managed_object_not_found(*r.host);
  const std::string user = kernel::context(call).user();
  const Work work = [this, user, pool](kernel::TaskHandle&) -> Async<Any> {
    require_accessible();
    if (!is_template()) throw kernel::invalid_state(properties().name + " is no template.");
    co_await become_template(false, pool);
    log("Made a virtual machine by " + user);
    co_return Any();
  };
  co_await complete_task(call, "MarkAsVirtualMachine", "VirtualMachine.markAsVirtualMachine", work);
}

}  // namespace virga::host
