// NFS exports mounted on this machine. The kernel's own client is not used yet: each mount is
// served by a process of ours (virga-nfs), which speaks NFS 3 and 4.1.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/companion.h"
#include "base/error.h"
#include "nfs/version.h"

namespace virga::nfs {

struct MountSpec {
  Version version = Version::v3;
  std::vector<std::string> hosts;  // names or addresses of one server; NFS 3 takes the first
  std::string path;                // what it exports
  std::string folder;              // where to mount it; is made
  std::string run_folder;          // for the helper's socket and log
  std::string program;             // virga-nfs
  bool read_only = false;

  bool operator==(const MountSpec&) const = default;
};

// A mount and the connection to its helper. All of it blocks, but for what is said otherwise.
class Mount {
 public:
  // Mounts, or finds the helper that a former daemon started. What a helper that died left is
  // unmounted first. Throws not_found for no such export, access_denied, timed_out when the server
  // does not answer, and io.
  explicit Mount(MountSpec spec);
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  const MountSpec& spec() const { return spec_; }

  // A socket that becomes readable when there is news, for read_news().
  // -1 when its helper has ended.
  int fd() const { return connection_ ? connection_.get() : -1; }
  // "" while the server answers, else why it does not. Reads what has come; does not block.
  const std::string& read_news();
  const std::string& failure() const { return failure_; }

  // Waits a moment for those who use it to end. What they have open then stays theirs.
  void unmount();

 private:
  bool take_first_news();  // false: the helper has ended
  Error cannot_mount(const std::string& why) const;
  void take(const std::string& text);

  const MountSpec spec_;
  Fd connection_;
  std::string failure_;
};

// Takes away a mount that no datastore names, at the folder. A server that does not answer does not
// keep it.
void remove_stray_mount(const std::string& folder);

}  // namespace virga::nfs
