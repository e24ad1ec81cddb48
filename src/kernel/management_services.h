// The services every daemon of the API has for following what happens: tasks, events, settings.
#pragma once

#include "kernel/kernel.h"

namespace virga::kernel {

struct ManagementServiceNames {
  std::string task_manager;
  std::string event_manager;
  std::string user_directory;
  std::string settings;
};

// Adds TaskManager, EventManager, UserDirectory and the daemon's own settings. Kernel executor.
void add_management_services(Kernel& kernel, const ManagementServiceNames& names);

}  // namespace virga::kernel
