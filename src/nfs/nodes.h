// Internal to the module: which number the kernel knows a file by, and its handle at the server.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "nfs/export.h"

namespace virga::nfs {

class Nodes {
 public:
  static constexpr std::uint64_t root = 1;  // FUSE's number of the root

  explicit Nodes(Handle root_handle);

  // The number of the file, known once more to the kernel.
  std::uint64_t remember(const Handle& handle);
  // The kernel has dropped what it was told of so often.
  void forget(std::uint64_t node, std::uint64_t times);
  // A copy: what the node is may be forgotten while a procedure runs. Empty for no node.
  Handle handle(std::uint64_t node) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    Handle handle;
    std::uint64_t known = 0;  // times
  };
  std::unordered_map<std::uint64_t, Node> nodes_;
  std::unordered_map<Handle, std::uint64_t> numbers_;
  std::uint64_t next_ = root;
};

}  // namespace virga::nfs
