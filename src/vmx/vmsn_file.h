// The .vmsn of a snapshot: the VM as it was, apart from its disks. VMware's own is a binary file of
// another kind; this one is text: a line that says what it is, then JSON.
#pragma once

#include <string>
#include <string_view>

namespace virga::vmx {

struct SnapshotState {
  enum class Power { off, on, suspended };

  std::string config;        // the text of the .vmx
  Power power = Power::off;  // to which a revert goes back; not off only with memory
  bool quiesced = false;     // the guest's file systems were at rest
  std::string memory_file;   // .vmem, beside it: the saved state of the guest; empty without
  std::string nvram_file;    // a copy of the .nvram, beside it; empty without

  bool operator==(const SnapshotState&) const = default;
};

std::string serialise_vmsn(const SnapshotState& state);
// Throws ErrorKind::damaged naming `name`.
SnapshotState parse_vmsn(std::string_view text, const std::string& name);

}  // namespace virga::vmx
