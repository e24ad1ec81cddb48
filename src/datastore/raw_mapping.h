// Internal to the module: the file by which a disk is a logical unit (RDM). ESXi's is an entry of
// VMFS without content; ours is a line of JSON, {"unit": "naa.…", "uuid": "0200…"}.
#pragma once

#include <string>
#include <string_view>

#include "datastore/virtual_disk.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::datastore {

bool is_mapping(const vmx::VmdkDescriptor& descriptor);

// Makes the descriptor that of a disk which is a unit of that many bytes; returns where its mapping
// file goes.
Location set_mapping(vmx::VmdkDescriptor& descriptor, const Location& disk,
                     const RawMapping& mapping, std::uint64_t capacity);

// Throws ErrorKind::damaged for a file that is none of ours, as ESXi's.
RawMapping read_mapping(const Location& disk, const vmx::VmdkDescriptor& descriptor);

// The mode is not in it: the descriptor tells that.
std::string to_text(const RawMapping& mapping);
// Throws ErrorKind::damaged naming `subject`.
RawMapping parse_mapping(std::string_view text, const std::string& subject);

}  // namespace virga::datastore
