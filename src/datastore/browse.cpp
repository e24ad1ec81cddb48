#include "datastore/browse.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "datastore/beneath.h"
#include "datastore/disk_files.h"
#include "vmx/text.h"
#include "vmx/vmx_file.h"

namespace virga::datastore {
namespace {

using std::chrono::system_clock;

constexpr std::uint64_t block_size = 512;  // the unit of st_blocks, whatever the file system's is

struct KindOfExtension {
  std::string_view extension;
  FileKind kind;
};
constexpr KindOfExtension kinds[] = {
    {".vmx", FileKind::vm_config}, {".vmtx", FileKind::vm_template},
    {".iso", FileKind::iso_image}, {".flp", FileKind::floppy_image},
    {".nvram", FileKind::nvram},   {".log", FileKind::log},
    {".vmsn", FileKind::snapshot}, {".vmsd", FileKind::snapshot},
    {".vmss", FileKind::snapshot}, {".vmem", FileKind::snapshot}};

// Diskettes of 720 KiB, 1.44 MB and 2.88 MB.
constexpr std::array<off_t, 3> diskette_sizes = {737'280, 1'474'560, 2'949'120};

FileKind kind_of(const FolderItem& item) {
  if (S_ISDIR(item.status.st_mode)) return FileKind::folder;
  if (!S_ISREG(item.status.st_mode)) return FileKind::other;
  const std::string extension = vmx::DatastorePath("x", item.name).extension();
  for (const KindOfExtension& it : kinds)
    if (extension == it.extension) return it.kind;
  const bool is_diskette =
      std::count(diskette_sizes.begin(), diskette_sizes.end(), item.status.st_size) > 0;
  return extension == ".img" && is_diskette ? FileKind::floppy_image : FileKind::other;
}

std::string owner_of(uid_t user) {
  std::array<char, 4096> buffer;
  struct passwd entry, *found = nullptr;
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) == 0 && found)
    return found->pw_name;
  return std::to_string(user);
}

std::uint64_t size_of(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_size);
}
std::uint64_t allocated_to(const struct stat& status) {
  return static_cast<std::uint64_t>(status.st_blocks) * block_size;
}

// Names the API could not carry are not shown; a datastore path could not reach them either.
bool is_nameable(const std::string& name) {
  try {
    return vmx::normalise_relative_path(name) == name;
  } catch (const Error&) {
    return false;
  }
}

// One folder, being listed: what it holds, and which of its files belong to which disk.
class FolderReader {
 public:
  FolderReader(Location folder, const Search& search)
      : datastore_(std::move(folder.datastore)), folder_(std::move(folder.path)), search_(search) {}

  // All items, or only the one called `only`.
  std::vector<FileInfo> read(const std::string& only = {});
  const std::vector<std::string>& subfolders() const { return subfolders_; }

 private:
  void find_disks();
  bool is_wanted(const std::string& name) const;
  FileInfo describe(const FolderItem& item) const;
  void describe_disk(const std::vector<Location>& extents, FileInfo& info) const;
  Location location(const std::string& name) const { return {datastore_, join(folder_, name)}; }

  std::shared_ptr<const Datastore> datastore_;
  std::string folder_;
  const Search& search_;
  std::map<std::string, FolderItem> items_;
  std::map<std::string, std::vector<Location>> extents_of_disks_;
  std::set<std::string> extent_names_;
  std::vector<std::string> subfolders_;
};

std::vector<FileInfo> FolderReader::read(const std::string& only) {
  const Fd fd = datastore_->open_folder(folder_);
  for (FolderItem& item : read_folder(fd, datastore_->display(folder_))) {
    if (!is_nameable(item.name) || (folder_.empty() && item.name == private_folder)) continue;
    std::string name = item.name;
    items_.emplace(std::move(name), std::move(item));
  }
  find_disks();
  std::vector<FileInfo> files;
  for (const auto& [name, item] : items_) {
    if (S_ISDIR(item.status.st_mode)) subfolders_.push_back(name);
    const bool is_hidden = extent_names_.contains(name) && !search_.show_extents;
    if (only.empty() ? !is_hidden && is_wanted(name) : name == only)
      files.push_back(describe(item));
  }
  if (search_.folders_first)
    std::stable_partition(files.begin(), files.end(),
                          [](const FileInfo& file) { return file.kind == FileKind::folder; });
  return files;
}

// A .vmdk is a disk when it reads as one; a damaged descriptor is still shown as the disk it was.
void FolderReader::find_disks() {
  std::vector<std::string> tracks;
  for (const auto& [name, item] : items_) {
    if (!S_ISREG(item.status.st_mode)) continue;
    if (vmx::DatastorePath("x", name).extension() != ".vmdk") continue;
    try {
      const vmx::VmdkDescriptor descriptor = read_descriptor(location(name));
      std::vector<Location> extents = extent_files(location(name), descriptor);
      if (track_file(location(name), descriptor)) tracks.push_back(descriptor.change_track_file);
      for (const Location& extent : extents)
        extent_names_.insert(vmx::DatastorePath("x", extent.path).name());
      extents_of_disks_.emplace(name, std::move(extents));
    } catch (const Error&) {
      if (size_of(item.status) <= vmx::VmdkDescriptor::max_size) extents_of_disks_[name] = {};
    }
  }
  for (const std::string& name : extent_names_) extents_of_disks_.erase(name);
  for (const std::string& name : tracks) extents_of_disks_.erase(name);
}

bool FolderReader::is_wanted(const std::string& name) const {
  return search_.patterns.empty() ||
         std::any_of(search_.patterns.begin(), search_.patterns.end(),
                     [&](const std::string& it) { return matches(it, name, search_.ignore_case); });
}

FileInfo FolderReader::describe(const FolderItem& item) const {
  FileInfo info;
  info.name = item.name;
  info.kind = kind_of(item);
  info.size = size_of(item.status);
  info.allocated = allocated_to(item.status);
  info.modified = system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(
      std::chrono::seconds(item.status.st_mtim.tv_sec) +
      std::chrono::nanoseconds(item.status.st_mtim.tv_nsec)));
  info.owner = owner_of(item.status.st_uid);
  const auto disk = extents_of_disks_.find(item.name);
  if (disk != extents_of_disks_.end()) describe_disk(disk->second, info);
  const bool is_config = info.kind == FileKind::vm_config || info.kind == FileKind::vm_template;
  if (is_config && search_.config_details) {
    try {
      const Fd fd = datastore_->open(join(folder_, item.name), O_RDONLY | O_NONBLOCK);
      const std::string text = read_text(fd.get(), 0, vmx::VmxFile::max_size, item.name);
      const auto file = vmx::VmxFile::parse(text, item.name);
      if (const auto version = file.get_int("virtualHW.version"))
        info.hardware_version = static_cast<int>(*version);
    } catch (const Error&) {
      // A torn configuration is listed like any other; who opens it is told.
    }
  }
  return info;
}

void FolderReader::describe_disk(const std::vector<Location>& extents, FileInfo& info) const {
  info.kind = FileKind::disk;
  for (const Location& extent : extents) {
    const auto found = items_.find(vmx::DatastorePath("x", extent.path).name());
    if (found == items_.end()) continue;
    // The descriptor's own bytes are not the disk's.
    if (&extent == &extents.front()) info.size = info.allocated = 0;
    info.size += size_of(found->second.status);
    info.allocated += allocated_to(found->second.status);
  }
  if (!search_.disk_details) return;
  try {
    info.disk = query_disk(location(info.name));
  } catch (const Error&) {
    // As above: what cannot be read has no details.
  }
}

}  // namespace

Listing list_folder(const Location& folder, const Search& search, std::stop_token stop) {
  const std::string path = vmx::normalise_relative_path(folder.path);
  check_stop(stop, folder.display());
  return {path, FolderReader({folder.datastore, path}, search).read()};
}

std::vector<Listing> list_tree(const Location& folder, const Search& search, std::stop_token stop) {
  std::vector<Listing> listings;
  std::vector<std::string> waiting = {vmx::normalise_relative_path(folder.path)};
  while (!waiting.empty()) {
    const std::string path = std::move(waiting.back());
    waiting.pop_back();
    check_stop(stop, folder.datastore->display(path));
    FolderReader reader({folder.datastore, path}, search);
    listings.push_back({path, reader.read()});
    const std::vector<std::string>& below = reader.subfolders();
    for (auto name = below.rbegin(); name != below.rend(); ++name)
      waiting.push_back(join(path, *name));
  }
  return listings;
}

std::vector<std::string> file_names(const Location& folder) {
  std::vector<std::string> names;
  const Fd fd = folder.datastore->open_folder(folder.path);
  for (FolderItem& item : read_folder(fd, folder.display()))
    if (S_ISREG(item.status.st_mode) && is_nameable(item.name)) names.push_back(std::move(item.name));
  return names;
}

FileInfo describe(const Location& file, const Search& search) {
  const vmx::DatastorePath path(file.datastore->name(), file.path);
  file.datastore->status(path.path());
  FolderReader reader({file.datastore, path.parent().path()}, search);
  std::vector<FileInfo> found = reader.read(path.name());
  if (found.empty())
    throw error(ErrorKind::not_found, path.format(), "{} does not exist", path.format());
  return std::move(found.front());
}

std::uint64_t uncommitted_space(const Datastore& datastore, std::stop_token stop) {
  std::uint64_t sum = 0;
  for (const TreeItem& item : read_tree(datastore, "", stop)) {
    const std::uint64_t allocated = allocated_to(item.status);
    if (S_ISREG(item.status.st_mode) && size_of(item.status) > allocated)
      sum += size_of(item.status) - allocated;
  }
  return sum;
}

bool matches(std::string_view pattern, std::string_view text, bool ignore_case) {
  const auto same = [&](char a, char b) {
    return a == '?' || (ignore_case ? vmx::equal_ignoring_case({&a, 1}, {&b, 1}) : a == b);
  };
  // The last '*' takes one byte more whenever what follows it does not fit: enough, as an earlier
  // one never has to take more than it did.
  std::size_t at = 0, in_text = 0, star = std::string_view::npos, resume = 0;
  while (in_text < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      resume = in_text;
    } else if (at < pattern.size() && same(pattern[at], text[in_text])) {
      ++at;
      ++in_text;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in_text = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace virga::datastore
