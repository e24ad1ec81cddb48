// Internal to the module: the files of a new disk, made in a draft.
#pragma once

#include <functional>
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

// Sends the content as a stream-optimized extent, in pieces of any size.
void write_stream(DiskContent& content, std::string_view descriptor,
                  const std::function<void(std::string_view)>& sink, Meter& meter);

}  // namespace virga::datastore
