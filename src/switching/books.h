// The books of a host's switching: what switches, port groups and attached ports there are, and
// every rule about them. Pure; both backends keep them. A change that is refused leaves them
// untouched.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "switching/subnet.h"
#include "switching/switching.h"

namespace virga::switching {

class Books {
 public:
  const std::vector<VirtualSwitch>& switches() const { return switches_; }
  const std::vector<PortGroup>& port_groups() const { return port_groups_; }
  const std::map<std::string, Port>& ports() const { return ports_; }  // by Port::id

  // These throw not_found.
  const VirtualSwitch& virtual_switch(const std::string& name) const;
  const PortGroup& port_group(const std::string& name) const;
  const Port& port(const std::string& id) const;

  void add_switch(VirtualSwitch wanted);
  void update_switch(VirtualSwitch wanted);
  void remove_switch(const std::string& name);

  // `routes`: what the machine routes already, which a NAT subnet must not meet.
  const PortGroup& add_port_group(PortGroup wanted, const std::vector<Subnet>& routes);
  const PortGroup& update_port_group(const std::string& name, PortGroup wanted,
                                     const std::vector<Subnet>& routes);
  void remove_port_group(const std::string& name);

  void plug(const std::string& id, const PortRequest& request);
  void move(const std::string& id, const std::string& port_group);
  void unplug(const std::string& id);

  // Switches and port groups (ports belong to guests, not to the configuration) as the text of
  // switching.json. The reader throws damaged and names `path`.
  std::string configuration() const;
  static Books from_configuration(std::string_view text, const std::string& path);

 private:
  void check(const VirtualSwitch& wanted) const;
  void check_and_complete(PortGroup& wanted, const PortGroup* current,
                          const std::vector<Subnet>& routes) const;
  std::vector<const Port*> ports_on(const std::string& port_group) const;

  std::vector<VirtualSwitch> switches_;
  std::vector<PortGroup> port_groups_;
  std::map<std::string, Port> ports_;
};

}  // namespace virga::switching
