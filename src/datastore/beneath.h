// Internal to the module: files reached beneath a folder's descriptor.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/datastore.h"

namespace virga::datastore {

// openat2(2) with everything refused that could lead out of `root`: "..", links, mounts. `subject`
// is what errors name.
Fd open_beneath(int root, std::string_view path, int flags, unsigned mode,
                const std::string& subject);

// A name in an open folder: what renames and unlinks work on, so that no race can move them.
struct Entry {
  Fd folder;
  std::string name;
  std::string subject;
};

// The entry of a path; throws not_found when its folder is missing. The root has none:
// access_denied, as for what lies in the private folder, unless `any`.
Entry entry_of(const Datastore& datastore, std::string_view path, bool any = false);

// false when there is nothing.
bool status_of(const Entry& entry, struct stat& status);

// rename(2), which with `fail` throws already_exists when `to` is there.
void rename_entry(const Entry& from, const Entry& to, IfExists if_exists);

struct FolderItem {
  std::string name;
  struct stat status;
};

// What the folder holds now, by name; without "." and "..". What vanishes meanwhile is left out.
std::vector<FolderItem> read_folder(const Fd& folder, const std::string& subject);

struct TreeItem {
  std::string path;  // relative to where the walk began; empty for that itself
  struct stat status;
};

// All that lies at and below `path`, parents before children, by name; links are not followed.
std::vector<TreeItem> read_tree(const Datastore& datastore, const std::string& path,
                                const std::stop_token& stop = {});

// Unlinks all of it, children first. What is already gone is no error.
void remove_tree(const Datastore& datastore, const std::string& path);

std::string join(std::string_view folder, std::string_view name);

}  // namespace virga::datastore
