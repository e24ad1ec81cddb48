// A datastore: one folder of this machine, in which every file is reached beneath the folder's own
// descriptor, so that no path, link or race leads out of it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/file.h"
#include "datastore/lease_timing.h"
#include "vmx/datastore_path.h"

namespace virga::datastore {

// Told how far a long operation is, from the thread that runs it. `total` may grow on the way.
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// The folder in the datastore's root that holds what is ours: the datastore's identifier, and the
// drafts of what is being made. Browsing hides it and no path of a caller may enter it.
constexpr std::string_view private_folder = ".virga";

struct Space {
  std::uint64_t capacity = 0;  // bytes
  std::uint64_t free = 0;      // bytes an unprivileged process may still take
};

// Immutable and safe to share among threads. Paths are relative to the root, in the normal form of
// vmx::DatastorePath; the empty path is the root.
class Datastore {
 public:
  // Opens the folder, giving it an identifier at the first time. Throws not_found when there is no
  // folder, and invalid_argument for a name vmx::check_datastore_name refuses. `host_uuid` names
  // this host among those that share the folder.
  Datastore(std::string name, const fs::path& root, std::string host_uuid = {});
  // One that was opened before and whose folder cannot be reached now: all that is asked of its
  // files throws ErrorKind::gone.
  static std::shared_ptr<const Datastore> absent(std::string name, const fs::path& root,
                                                 std::string uuid, std::string host_uuid);
  bool is_absent() const { return !root_fd_; }

  const std::string& name() const { return name_; }
  // "5f3a2b1c-0d4e5f60-7182-93a4b5c6d7e8", the same for every host that shares the folder. It is
  // kept in the folder; a folder that cannot be written to has one computed from its file system.
  const std::string& uuid() const { return uuid_; }
  std::string url() const { return "ds:///vmfs/volumes/" + uuid_ + "/"; }
  const fs::path& root() const { return root_; }
  bool read_only() const { return read_only_; }
  // Set where leases (lease.h) keep hosts apart, because file locks do not reach all of them. They
  // all have to do the same: PRIVATE/leases tells them, which the first host that finds it so
  // makes, or an administrator.
  const std::optional<LeaseTiming>& leases() const { return leases_; }
  const std::string& host_uuid() const { return host_uuid_; }

  Space space() const;

  // "[name] path", for messages and for the API.
  std::string display(std::string_view path) const;

  // Opens beneath the root: symbolic links anywhere in the path, mounts inside the datastore, and
  // the private folder are refused (access_denied). `flags` as in open(2).
  Fd open(std::string_view path, int flags, unsigned mode = 0600) const;
  // A descriptor of the folder itself, to use with the *at() calls.
  Fd open_folder(std::string_view path) const;

  bool exists(std::string_view path) const;
  // lstat; throws not_found. A symbolic link is reported as itself.
  struct stat status(std::string_view path) const;

  // For this module: the root's descriptor (O_PATH), and opening without regard to the private
  // folder.
  int root_fd() const;
  Fd open_any(std::string_view path, int flags, unsigned mode = 0600) const;

 private:
  Datastore() = default;

  std::string name_;
  fs::path root_;
  Fd root_fd_;
  std::string uuid_;
  std::string host_uuid_;
  bool read_only_ = false;
  std::optional<LeaseTiming> leases_;
};

// A file or folder of a datastore.
struct Location {
  std::shared_ptr<const Datastore> datastore;
  std::string path;

  std::string display() const { return datastore->display(path); }
  // "[uuid] path": holds when the datastore is renamed, for what is written down.
  std::string lasting_name() const { return vmx::DatastorePath(datastore->uuid(), path).format(); }
  Location sibling(std::string_view name) const;
  Location parent() const;  // the root's is the root
};

// What an operation does about a file that has the name it is to give.
enum class IfExists { fail, replace };

// Throws ErrorKind::cancelled, naming the subject, once a stop was requested.
void check_stop(const std::stop_token& stop, const std::string& subject);

// Finishes or undoes what a process that ended in mid-operation left in the private folder, and
// returns how many such operations there were. What a living process works on, on this host or
// another, is left alone. Called when a daemon starts.
std::size_t sweep(const Datastore& datastore);

}  // namespace virga::datastore
