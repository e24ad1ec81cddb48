#include <fmt/format.h>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/connection.h"

namespace virga::cli {

using model::MoRef;

Async<int> list_machines(Connection& connection) {
  const std::vector<std::string> paths = {"name", "runtime.powerState", "summary.guest.ipAddress"};
  const auto machines =
      co_await connection.retrieve(connection.content().rootFolder, "VirtualMachine", paths);
  fmt::print("{:<6}{:<24}{:<14}{}\n", "id", "name", "state", "address");
  for (const auto& machine : machines) {
    const auto* name = property<std::string>(*machine, "name");
    const auto* power = property<vim::VirtualMachinePowerState>(*machine, "runtime.powerState");
    const auto* address = property<std::string>(*machine, "summary.guest.ipAddress");
    const char* word = !power                                               ? "unknown"
                       : *power == vim::VirtualMachinePowerState::poweredOn ? "on"
                       : *power == vim::VirtualMachinePowerState::suspended ? "suspended"
                                                                            : "off";
    fmt::print("{:<6}{:<24}{:<14}{}\n", machine->obj.value, name ? *name : "", word,
               address ? *address : "");
  }
  co_return 0;
}

Async<int> change_power(Connection& connection, std::string name, std::string action) {
  const MoRef ref = co_await connection.find_vm(name);
  vim::client::VirtualMachine machine(connection.channel(), ref);
  MoRef task;
  vim::PowerOnVMRequestType anywhere;
  if (action == "on") task = co_await machine.PowerOnVM_Task(anywhere);
  if (action == "off") task = co_await machine.PowerOffVM_Task();
  if (action == "reset") task = co_await machine.ResetVM_Task();
  if (action == "suspend") task = co_await machine.SuspendVM_Task();
  if (action == "shutdown") co_await machine.ShutdownGuest();
  if (action == "reboot") co_await machine.RebootGuest();
  if (!task.value.empty()) co_await connection.wait(task);
  co_return 0;
}

}  // namespace virga::cli
