// What the guest says about itself, through the agent in it. All of it is the guest's own word.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace virga::hypervisor {

struct GuestAddress {
  std::string ip;  // IPv4 dotted or IPv6 text
  int prefix = 0;
};

struct GuestNic {
  std::string name;  // the guest's: eth0
  std::string mac;   // lower case
  std::vector<GuestAddress> addresses;
};

struct GuestOs {
  std::string id;           // debian
  std::string name;         // Debian GNU/Linux
  std::string pretty_name;  // Debian GNU/Linux 12 (bookworm)
  std::string version;
  std::string kernel;
  std::string machine;  // x86_64
};

struct GuestFilesystem {
  std::string mount_point;
  std::string type;
  std::uint64_t total_bytes = 0;
  std::uint64_t used_bytes = 0;
};

struct GuestInfo {
  bool agent_running = false;  // false: nothing below is known
  std::string agent_version;
  std::string host_name;
  GuestOs os;
  std::vector<GuestNic> nics;
  std::vector<GuestFilesystem> filesystems;
};

}  // namespace virga::hypervisor
