// A login to an iSCSI target, by libiscsi: in user space, over TCP, whatever the kernel has. All of
// it blocks; a session is one caller's at a time.
//
// Errors name the target and portal: access_denied (CHAP failed, either way), timed_out, gone (no
// connection, or one that was lost), io.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/iscsi/settings.h"

namespace virga::storage {

struct DiscoveredTarget {  // by SendTargets
  std::string target;
  std::vector<IscsiPortal> portals;
};

struct IscsiUnit {
  int lun = 0;
  std::string name;     // naa.…; empty: the unit has no identifier
  std::string inquiry;  // standard INQUIRY data, bytes
  std::string serial;
  std::uint64_t bytes = 0;  // 0: no medium, or no disk
  std::uint32_t block_bytes = 512, physical_block_bytes = 512;
  bool rotational = true;
};

class IscsiSession {
 public:
  // Logs in.
  explicit IscsiSession(const IscsiLogin& login);
  IscsiSession(const IscsiSession&) = delete;
  IscsiSession& operator=(const IscsiSession&) = delete;
  // Logs out where the target still listens.
  ~IscsiSession();

  // Of a discovery session, whose login names no target.
  std::vector<DiscoveredTarget> targets();
  std::vector<IscsiUnit> units();
  // One round trip to the target.
  bool is_alive();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace virga::storage
