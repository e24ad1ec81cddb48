#include "switching/ovs/netdev.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/error.h"

namespace virga::switching::ovs {
namespace {

ifreq request_for(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    throw error(ErrorKind::invalid_argument, name, "\"{}\" cannot name a network device", name);
  }
  std::memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

Fd control_socket() {
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) throw system_error("socket", "cannot open");
  return fd;
}

void control(unsigned long what, ifreq& request, const char* doing) {
  if (::ioctl(control_socket().get(), what, &request) != 0)
    throw system_error(request.ifr_name, doing);
}

// False where the device does not know the command.
bool ethtool(const std::string& name, ethtool_value& value) {
  ifreq request = request_for(name);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ::ioctl(control_socket().get(), SIOCETHTOOL, &request) == 0;
}

void set_address(unsigned long what, const std::string& name, std::uint32_t address,
                 const char* doing) {
  ifreq request = request_for(name);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_addr.s_addr = htonl(address);
  std::memcpy(&request.ifr_addr, &in, sizeof in);
  control(what, request, doing);
}

void write_setting(const fs::path& path, std::string_view value) {
  write_all(open_file(path, O_WRONLY).get(), value, path);
}

// Asks generic netlink for the id of the family `name`; false where the kernel has none.
bool has_netlink_family(std::string_view name) {
  struct {
    nlmsghdr header;
    genlmsghdr generic;
    nlattr attribute;
    char name[16];
  } request{};
  const auto attribute_length = sizeof(nlattr) + name.size() + 1;
  request.header.nlmsg_len =
      static_cast<unsigned>(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(attribute_length));
  request.header.nlmsg_type = GENL_ID_CTRL;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.generic.cmd = CTRL_CMD_GETFAMILY;
  request.generic.version = 1;
  request.attribute.nla_len = static_cast<unsigned short>(attribute_length);
  request.attribute.nla_type = CTRL_ATTR_FAMILY_NAME;
  name.copy(request.name, sizeof request.name - 1);

  const Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!fd || ::send(fd.get(), &request, request.header.nlmsg_len, 0) < 0) return false;
  alignas(nlmsghdr) char reply[4096];
  const ssize_t n = ::recv(fd.get(), reply, sizeof reply, 0);
  return n >= static_cast<ssize_t>(sizeof(nlmsghdr)) &&
         reinterpret_cast<const nlmsghdr*>(reply)->nlmsg_type == GENL_ID_CTRL;
}

}  // namespace

Fd create_tap(const std::string& name, int mtu) {
  ifreq request = request_for(name);
  Fd fd = open_file("/dev/net/tun", O_RDWR | O_NONBLOCK);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    if (errno == EBUSY) throw system_error(name, "cannot make tap", EEXIST);
    throw system_error(name, "cannot make tap");
  }
  // Before the device is up, or it announces itself in the guests' network.
  disable_ipv6(name);
  request = request_for(name);
  request.ifr_mtu = mtu;
  control(SIOCSIFMTU, request, "cannot set the MTU of");
  set_up(name);
  return fd;
}

bool device_exists(const std::string& name) {
  return ::if_nametoindex(name.c_str()) != 0;
}

bool has_ipv4_address(const std::string& name) {
  ifreq request = request_for(name);
  if (::ioctl(control_socket().get(), SIOCGIFADDR, &request) == 0) return true;
  if (errno == EADDRNOTAVAIL) return false;
  throw system_error(name, "cannot ask the address of");
}

void set_up(const std::string& name) {
  ifreq request = request_for(name);
  control(SIOCGIFFLAGS, request, "cannot find network device");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  control(SIOCSIFFLAGS, request, "cannot bring up");
}

void set_ipv4_address(const std::string& name, std::uint32_t address, std::uint32_t netmask) {
  set_address(SIOCSIFADDR, name, address, "cannot set the address of");
  set_address(SIOCSIFNETMASK, name, netmask, "cannot set the netmask of");
}

void disable_receive_merging(const std::string& name) {
  ethtool_value merging{ETHTOOL_SGRO, 0};
  ethtool(name, merging);
  ethtool_value features{ETHTOOL_GFLAGS, 0};
  if (!ethtool(name, features)) return;
  features = {ETHTOOL_SFLAGS, features.data & ~static_cast<unsigned>(ETH_FLAG_LRO)};
  ethtool(name, features);
}

void disable_ipv6(const std::string& name) {
  const fs::path setting = "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6";
  if (fs::exists(setting)) write_setting(setting, "1");
}

void enable_ipv4_forwarding() {
  write_setting("/proc/sys/net/ipv4/ip_forward", "1");
}

std::vector<Route> machine_routes() {
  return parse_routes(read_file("/proc/thread-self/net/route"));
}

std::map<std::string, PortStatistics> device_statistics() {
  return parse_device_statistics(read_file("/proc/thread-self/net/dev"));
}

std::map<std::string, PortStatistics> parse_device_statistics(std::string_view text) {
  std::map<std::string, PortStatistics> all;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;  // the headings
    // bytes packets errs drop fifo frame compressed multicast, received and then transmitted
    std::uint64_t value[12] = {};
    std::istringstream fields(line.substr(colon + 1));
    for (auto& field : value) fields >> field;
    if (!fields) continue;
    const auto start = line.find_first_not_of(' ');
    all[line.substr(start, colon - start)] = {.received_bytes = value[8],
                                              .received_packets = value[9],
                                              .received_dropped = value[11],
                                              .transmitted_bytes = value[0],
                                              .transmitted_packets = value[1],
                                              .transmitted_dropped = value[3]};
  }
  return all;
}

bool has_kernel_datapath() {
  return has_netlink_family("ovs_datapath");
}

}  // namespace virga::switching::ovs
