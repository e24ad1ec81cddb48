#include "nfs/nodes.h"

namespace virga::nfs {

Nodes::Nodes(Handle root_handle) {
  remember(root_handle);
}

std::uint64_t Nodes::remember(const Handle& handle) {
  const auto [known, is_new] = numbers_.try_emplace(handle, next_);
  if (is_new) nodes_[next_++] = {handle, 0};
  ++nodes_[known->second].known;
  return known->second;
}

void Nodes::forget(std::uint64_t node, std::uint64_t times) {
  const auto found = nodes_.find(node);
  if (node == root || found == nodes_.end()) return;
  if (found->second.known > times) {
    found->second.known -= times;
    return;
  }
  numbers_.erase(found->second.handle);
  nodes_.erase(found);
}

Handle Nodes::handle(std::uint64_t node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? Handle() : found->second.handle;
}

}  // namespace virga::nfs
