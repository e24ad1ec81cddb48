// What lies in a datastore, as an administrator sees it: a disk is one file, whatever its extents.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/datastore.h"
#include "datastore/virtual_disk.h"

namespace virga::datastore {

enum class FileKind {
  folder,
  vm_config,     // .vmx
  vm_template,   // .vmtx
  disk,          // .vmdk: a descriptor, or an extent that holds its own
  iso_image,     // .iso
  floppy_image,  // .flp, and .img of a diskette's size
  nvram,         // .nvram
  log,           // .log
  snapshot,      // .vmsn, .vmsd, .vmss, .vmem
  other,
};

struct FileInfo {
  std::string name;
  FileKind kind = FileKind::other;
  std::uint64_t size = 0;       // bytes; for a disk, of all its extents
  std::uint64_t allocated = 0;  // bytes that blocks are held for
  std::chrono::system_clock::time_point modified;
  std::string owner;                    // user name, or the number of one without a name
  std::optional<DiskInfo> disk;         // with Search::disk_details, for a disk that can be read
  std::optional<int> hardware_version;  // with Search::config_details, of a VM or template
};

struct Search {
  std::vector<std::string> patterns;  // '*' and '?'; a file matches any; empty: every file
  bool ignore_case = true;
  bool folders_first = false;
  bool disk_details = false;    // reads every descriptor
  bool config_details = false;  // reads every .vmx
  bool show_extents = false;    // extents also as files of their own
};

struct Listing {
  std::string folder;           // path in the datastore
  std::vector<FileInfo> files;  // by name
};

// One folder. Throws not_found, also when `folder` is a file.
Listing list_folder(const Location& folder, const Search& search = {}, std::stop_token stop = {});

// The folder and all below it, parents before children; folders without a match are listed empty.
std::vector<Listing> list_tree(const Location& folder, const Search& search = {},
                               std::stop_token stop = {});

// Only the names of the files in the folder, in their order.
std::vector<std::string> file_names(const Location& folder);

// The one file or folder; throws not_found.
FileInfo describe(const Location& file, const Search& search = {});

// Bytes that thin disks and other sparse files could still grow into.
std::uint64_t uncommitted_space(const Datastore& datastore, std::stop_token stop = {});

// `text` as a whole matches `pattern`: '*' any run of characters, '?' any one byte, all else
// itself.
bool matches(std::string_view pattern, std::string_view text, bool ignore_case);

}  // namespace virga::datastore
