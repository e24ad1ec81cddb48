#include "host/datacenter.h"

#include "host/names.h"

namespace virga::host {

Datacenter::Datacenter(Host& host)
    : Entity(host, names::datacenter, [] {
        auto properties = entity_properties<Properties>("ha-datacenter", names::root_folder);
        properties.vmFolder = names::vm_folder;
        properties.hostFolder = names::host_folder;
        properties.datastoreFolder = names::datastore_folder;
        properties.networkFolder = names::network_folder;
        return properties;
      }()) {}

}  // namespace virga::host
