// The file a suspended machine is kept in: one block that says what it is the state of, then the
// backend's own stream. The block lets a restore that cannot work fail with a reason instead of
// inside the backend.
//   0     "VIRGA-STATE 1\n"
//   14    JSON, ended by a newline, padded with zeros to state_offset
//   64 Ki the stream
#pragma once

#include <string>
#include <string_view>

#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

constexpr std::size_t state_offset = 64 << 10;

struct SavedState {
  std::string machine_type;  // a restore builds the same again
  std::string accelerator;
  std::string version;  // of the backend that wrote it
  MachineSpec spec;

  bool operator==(const SavedState&) const = default;
};

// Where a state that is to become the file `path` is written until it is complete.
std::string unfinished_state(const std::string& path);

// Exactly state_offset bytes. ErrorKind::unsupported when the description does not fit.
std::string encode_header(const SavedState& state);
// ErrorKind::damaged, under the name `path`.
SavedState decode_header(std::string_view block, const std::string& path);

// Throws ErrorKind::invalid_state naming the first thing `spec` differs in that the state cannot be
// put into: memory, processors, firmware, devices and their places. Images, links and media may
// differ.
void check_restorable(const SavedState& state, const MachineSpec& spec,
                      const std::string& accelerator);

// What of the machine's memory are DIMMs and what it can grow to: a state fits no other machine.
void adopt_growth(const SavedState& state, MachineSpec& spec);

}  // namespace virga::hypervisor
