#include "host/host_auto_start_manager.h"

#include "host/names.h"

namespace virga::host {

HostAutoStartManager::HostAutoStartManager(Host& host)
    : Implements(host.kernel.inventory, names::auto_start_manager, [] {
        vim::AutoStartDefaults defaults;
        defaults.enabled = false;
        defaults.startDelay = 120;
        defaults.stopDelay = 120;
        defaults.waitForHeartbeat = false;
        defaults.stopAction = "PowerOff";
        Properties properties;
        properties.config.edit().defaults = model::share(std::move(defaults));
        return properties;
      }()) {
  set_guard(names::host_system);
}

}  // namespace virga::host
