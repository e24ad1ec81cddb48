#include "kernel/property_services.h"

#include "kernel/property_collector.h"
#include "kernel/search_index.h"
#include "kernel/view_manager.h"

namespace virga::kernel {

void add_property_services(Kernel& kernel, const PropertyServiceNames& names) {
  kernel.inventory.add(std::make_shared<PropertyCollector>(
      kernel, MoRef{"PropertyCollector", names.property_collector}));
  kernel.inventory.add(
      std::make_shared<ViewManager>(kernel, MoRef{"ViewManager", names.view_manager}));
  kernel.inventory.add(
      std::make_shared<SearchIndex>(kernel, MoRef{"SearchIndex", names.search_index}));
}

}  // namespace virga::kernel
