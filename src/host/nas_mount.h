// An NFS export that this host has mounted to be a datastore (nfs/mount.h). Kernel executor only.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>

#include "host/host.h"
#include "nfs/mount.h"

namespace virga::host {

struct NasExport {
  nfs::Version version = nfs::Version::v3;
  std::vector<std::string> hosts;  // names or addresses of one server
  std::string path;
  bool read_only = false;

  // As the mount table has it: "server:/path".
  std::string name() const { return hosts.front() + ":" + path; }
};

class NasMount : public std::enable_shared_from_this<NasMount> {
 public:
  // Mounts, or finds what a former daemon mounted. Throws as nfs::Mount does.
  static Async<std::shared_ptr<NasMount>> open(Host& host, NasExport source);
  // What could not be mounted, as `failure` says, but is to be as soon as it can: follow() sees to
  // it.
  static std::shared_ptr<NasMount> await(Host& host, NasExport source, std::string failure);

  NasMount(Host& host, NasExport source, std::shared_ptr<nfs::Mount> mount)
      : host_(host), source_(std::move(source)), mount_(std::move(mount)) {}

  bool is_mounted() const { return mount_ != nullptr; }

  const NasExport& source() const { return source_; }
  // "" while the server answers, else why it does not: what is asked of the files then waits.
  const std::string& failure() const { return mount_ ? mount_->failure() : failure_; }

  // Calls `changed` whenever that changes, until it is unmounted.
  void follow(std::function<void()> changed);
  // What still has files open there keeps them.
  Async<void> unmount();

 private:
  static Async<void> watch(std::shared_ptr<NasMount> self, std::function<void()> changed);
  Async<void> mount_when_it_can_be();

  Host& host_;
  const NasExport source_;
  std::shared_ptr<nfs::Mount> mount_;  // nullptr while it is awaited
  std::string failure_;                // to mount
  bool is_unwanted_ = false;           // unmount() was called
  bool is_mounting_ = false;
  std::shared_ptr<asio::posix::stream_descriptor> news_;
};

// Where an export is mounted: the same folder at each start.
std::string nas_folder(const Host& host, const NasExport& source);

}  // namespace virga::host
