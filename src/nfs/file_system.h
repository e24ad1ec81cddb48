// Internal to the module: an export as a file system of this machine, through FUSE (fuse(4)).
//
// Each request of the kernel becomes one question to the server, most of them many at a time.
// Nothing is cached, data least of all: a write has reached the server's stable storage when it
// returns, and a read sees what other hosts wrote before. That is what locks by leases and guests'
// disks need, and fsync(2) has nothing left to do.
//
// Where NFS has no such operation: renameat2(2) without replacing is a link that is made and one
// that is removed, for folders a look and a rename; locks stay within this machine.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "nfs/export.h"
#include "nfs/nodes.h"

struct fuse_session;

namespace virga::nfs {

struct MountOptions {
  std::string folder;  // where
  std::string source;  // what the mount table calls it: "server:/export"
  bool read_only = false;
};

class FileSystem {
 public:
  FileSystem(Export& exported, MountOptions options);
  ~FileSystem();
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  // Opens the export; mounts when the server has answered.
  void start();
  bool is_mounted() const { return session_ != nullptr; }
  bool has_ended() const { return ended_; }  // it was unmounted

  int fd() const;  // -1: not mounted yet
  void service();

  Export& exported() { return export_; }
  Nodes& nodes() { return nodes_; }
  std::size_t max_transfer() const { return max_transfer_; }

 private:
  void mount();

  Export& export_;
  Nodes nodes_ = Nodes(Handle());
  const MountOptions options_;
  std::size_t max_transfer_ = 0;  // bytes of a READ and of a WRITE
  fuse_session* session_ = nullptr;
  bool ended_ = false;
};

}  // namespace virga::nfs
