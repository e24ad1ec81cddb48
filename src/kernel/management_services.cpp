#include "kernel/management_services.h"

#include "kernel/event_manager.h"
#include "kernel/option_manager.h"
#include "kernel/task_manager.h"
#include "kernel/user_directory.h"

namespace virga::kernel {

void add_management_services(Kernel& kernel, const ManagementServiceNames& names) {
  auto& inventory = kernel.inventory;
  inventory.emplace<TaskManager>(kernel, MoRef{"TaskManager", names.task_manager});
  inventory.emplace<EventManager>(kernel, MoRef{"EventManager", names.event_manager});
  inventory.emplace<UserDirectory>(kernel, MoRef{"UserDirectory", names.user_directory});
  std::vector<OptionDeclaration> settings;
  settings.push_back({"Config.HostAgent.vmacore.soap.sessionTimeout",
                      "Minutes after which an idle session ends; 0: never",
                      model::any(std::int64_t{30}), 0, 100'000, [&kernel](const Any& value) {
                        kernel.sessions.set_idle_timeout(
                            std::chrono::minutes(*value.get<std::int64_t>()));
                      }});
  inventory.emplace<OptionManager>(kernel, MoRef{"OptionManager", names.settings}, "setting",
                                   std::move(settings));
}

}  // namespace virga::kernel
