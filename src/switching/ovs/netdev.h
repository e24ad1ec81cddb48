// The kernel's network devices, through the calls made for them: no command is run. Everything acts
// in the calling thread's network namespace. Failures are virga::Error and name the device.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "switching/subnet.h"
#include "switching/switching.h"

namespace virga::switching::ovs {

// A tap device that ends with its descriptor: no vnet header, one queue, IPv6 off, up.
// already_exists where a device of that name is there.
Fd create_tap(const std::string& name, int mtu);

bool device_exists(const std::string& name);
bool has_ipv4_address(const std::string& name);
void set_up(const std::string& name);
void set_ipv4_address(const std::string& name, std::uint32_t address, std::uint32_t netmask);
// Makes the device hand frames up as they came: merged ones (GRO, LRO) are longer than the MTU, and
// the userspace datapath drops them. Without effect on a device that cannot merge.
void disable_receive_merging(const std::string& name);
// Without effect where the kernel has no IPv6.
void disable_ipv6(const std::string& name);
void enable_ipv4_forwarding();

std::vector<Route> machine_routes();

// Of every device, by name; counted from the guest's side: what the kernel received from a tap, a
// guest sent.
std::map<std::string, PortStatistics> device_statistics();
// The text of /proc/net/dev as above.
std::map<std::string, PortStatistics> parse_device_statistics(std::string_view text);

// Whether the kernel offers Open vSwitch's own datapath, asked of the kernel itself.
bool has_kernel_datapath();

}  // namespace virga::switching::ovs
