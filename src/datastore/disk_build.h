// Internal to the module: the files of a new disk, made in a draft.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/disk_content.h"
#include "datastore/disk_files.h"
#include "datastore/draft.h"

namespace virga::datastore {

// What a disk of that layout and size consists of: createType, extents and geometry.
void set_layout(vmx::VmdkDescriptor& descriptor, const Location& disk, DiskLayout layout,
                std::uint64_t capacity);

// Takes blocks for `span`, or has them written: for a part of a flat extent that has none.
void provision(int fd, ByteSpan span, Provisioning provisioning, Meter& meter);

// Makes the draft's pivot and extents, synced, and returns where the extents are to go. The meter
// advances by the content's size. `descriptor` is as the disk's is to be but for set_layout().
std::vector<FileMove> build_disk(const Draft& draft, const Location& disk,
                                 vmx::VmdkDescriptor descriptor, DiskLayout layout,
                                 Provisioning provisioning, DiskContent& content, Meter& meter);

// The content as a stream-optimized extent, made piece by piece. Refers to all it is given.
class StreamBuilder {
 public:
  StreamBuilder(DiskContent& content, std::string_view descriptor, Meter& meter);
  ~StreamBuilder();

  // The next bytes, some MB at most and none at times; nullopt when that was all.
  std::optional<std::string> next();
  // Of the disk, in grains that were not all zeros.
  std::uint64_t data_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace virga::datastore
