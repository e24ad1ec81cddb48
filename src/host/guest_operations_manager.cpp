#include "host/guest_operations_manager.h"

#include "host/names.h"

namespace virga::host {

GuestOperationsManager::GuestOperationsManager(Host& host)
    : Implements(host.kernel.inventory, names::guest_operations_manager, [] {
        Properties properties;
        properties.authManager = names::guest_auth_manager;
        properties.fileManager = names::guest_file_manager;
        properties.processManager = names::guest_process_manager;
        return properties;
      }()) {}

}  // namespace virga::host
