// The services every daemon of the API has for reading its objects.
#pragma once

#include "kernel/kernel.h"

namespace virga::kernel {

// Their moIds, which differ between an ESXi host and a vCenter.
struct PropertyServiceNames {
  std::string property_collector;  // "ha-property-collector", "propertyCollector"
  std::string view_manager;        // "ViewManager"
  std::string search_index;        // "ha-searchindex", "SearchIndex"
};

// Adds PropertyCollector, ViewManager and SearchIndex to the inventory. Kernel executor.
void add_property_services(Kernel& kernel, const PropertyServiceNames& names);

}  // namespace virga::kernel
