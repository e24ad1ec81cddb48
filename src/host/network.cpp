#include "host/network.h"

#include "host/names.h"

namespace virga::host {
namespace {

vim::NetworkSummary summary_of(const MoRef& self, const std::string& name) {
  vim::NetworkSummary summary;
  summary.network = self;
  summary.name = name;
  summary.accessible = true;
  return summary;
}

}  // namespace

Network::Network(Host& host, const std::string& port_group)
    : Entity(host, {"Network", "HaNetwork-" + port_group}, [&] {
        auto properties = entity_properties<Properties>(port_group, names::network_folder);
        properties.host = {names::host_system};
        properties.summary = model::share(summary_of({"Network", "HaNetwork-" + port_group}, port_group));
        return properties;
      }()) {}

void Network::rename(const std::string& port_group) {
  update([&](Properties& p) {
    p.name = port_group;
    p.summary = model::share(summary_of(self(), port_group));
  });
}

}  // namespace virga::host
