#include "vmx/vmsd_file.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

constexpr int max_snapshots = 1024;
constexpr int max_disks = 512;

class Reader {
 public:
  explicit Reader(VmxFile file) : file_(std::move(file)) {}

  SnapshotTree tree();

 private:
  // What was taken is no longer "other".
  std::string take(const std::string& key) {
    std::string value = file_.get_or(key, "");
    file_.erase(key);
    return value;
  }
  std::int64_t take_number(const std::string& key) {
    const std::int64_t number = file_.get_int(key).value_or(0);
    file_.erase(key);
    return number;
  }
  int take_count(const std::string& key, int most) {
    const std::int64_t number = take_number(key);
    if (number < 0 || number > most) throw damaged(key + " is out of range");
    return static_cast<int>(number);
  }
  Error damaged(const std::string& what) const {
    return error(ErrorKind::damaged, file_.name(), "{}: {}", file_.name(), what);
  }

  Snapshot snapshot(const std::string& prefix);
  void check(const SnapshotTree& tree) const;

  VmxFile file_;
};

constexpr int any_uid = std::numeric_limits<int>::max();

SnapshotTree Reader::tree() {
  SnapshotTree tree;
  tree.last_uid = take_count("snapshot.lastUID", any_uid);
  tree.current = take_count("snapshot.current", any_uid);
  const int count = take_count("snapshot.numSnapshots", max_snapshots);
  for (int i = 0; i < count; ++i) tree.snapshots.push_back(snapshot(fmt::format("snapshot{}.", i)));
  file_.erase(".encoding");
  tree.other = file_.entries();
  check(tree);
  return tree;
}

Snapshot Reader::snapshot(const std::string& prefix) {
  Snapshot snapshot;
  snapshot.uid = take_count(prefix + "uid", any_uid);
  snapshot.parent = take_count(prefix + "parent", any_uid);
  snapshot.name = take(prefix + "displayName");
  snapshot.description = take(prefix + "description");
  snapshot.state_file = take(prefix + "filename");
  // Two halves of 32 bits, each written as a signed number.
  const auto high = static_cast<std::uint32_t>(take_number(prefix + "createTimeHigh"));
  const auto low = static_cast<std::uint32_t>(take_number(prefix + "createTimeLow"));
  snapshot.created = static_cast<std::int64_t>(std::uint64_t{high} << 32 | low);
  const int disks = take_count(prefix + "numDisks", max_disks);
  for (int i = 0; i < disks; ++i) {
    const std::string disk = fmt::format("{}disk{}.", prefix, i);
    snapshot.disks.push_back({take(disk + "fileName"), take(disk + "node")});
  }
  for (const auto& [key, value] : file_.entries(prefix))
    snapshot.other.push_back({key.substr(prefix.size()), value});
  file_.erase_prefix(prefix);
  return snapshot;
}

void Reader::check(const SnapshotTree& tree) const {
  std::map<int, int> parent_of;
  for (const Snapshot& snapshot : tree.snapshots) {
    if (snapshot.uid <= 0) throw damaged("a snapshot has no uid");
    if (!parent_of.emplace(snapshot.uid, snapshot.parent).second)
      throw damaged(fmt::format("snapshot {} stands twice", snapshot.uid));
  }
  if (tree.current != 0 && !parent_of.contains(tree.current))
    throw damaged(fmt::format("snapshot {}, the current one, is missing", tree.current));
  for (const Snapshot& snapshot : tree.snapshots) {
    std::size_t steps = 0;
    for (int uid = snapshot.uid; uid != 0; uid = parent_of.at(uid)) {
      if (!parent_of.contains(uid))
        throw damaged(fmt::format("snapshot {} is missing, and others descend from it", uid));
      if (++steps > parent_of.size())
        throw damaged(fmt::format("snapshot {} descends from itself", snapshot.uid));
    }
  }
}

// As VMware writes it: the bits of a signed 32-bit number.
std::int64_t signed_half(std::uint64_t bits) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(bits));
}

void write_snapshot(const Snapshot& snapshot, const std::string& prefix, VmxFile& file) {
  file.set_int(prefix + "uid", snapshot.uid);
  file.set(prefix + "filename", snapshot.state_file);
  if (snapshot.parent != 0) file.set_int(prefix + "parent", snapshot.parent);
  file.set(prefix + "displayName", snapshot.name);
  if (!snapshot.description.empty()) file.set(prefix + "description", snapshot.description);
  const auto created = static_cast<std::uint64_t>(snapshot.created);
  file.set_int(prefix + "createTimeHigh", signed_half(created >> 32));
  file.set_int(prefix + "createTimeLow", signed_half(created));
  file.set_int(prefix + "numDisks", static_cast<std::int64_t>(snapshot.disks.size()));
  for (std::size_t i = 0; i < snapshot.disks.size(); ++i) {
    file.set(fmt::format("{}disk{}.fileName", prefix, i), snapshot.disks[i].file);
    file.set(fmt::format("{}disk{}.node", prefix, i), snapshot.disks[i].node);
  }
  for (const auto& [key, value] : snapshot.other) file.set(prefix + key, value);
}

}  // namespace

SnapshotTree parse_vmsd(std::string_view text, const std::string& name) {
  return Reader(VmxFile::parse(text, name)).tree();
}

std::string serialise_vmsd(const SnapshotTree& tree) {
  if (tree == SnapshotTree{}) return {};
  VmxFile file;
  file.set_int("snapshot.lastUID", tree.last_uid);
  if (tree.current != 0) file.set_int("snapshot.current", tree.current);
  for (std::size_t i = 0; i < tree.snapshots.size(); ++i)
    write_snapshot(tree.snapshots[i], fmt::format("snapshot{}.", i), file);
  file.set_int("snapshot.numSnapshots", static_cast<std::int64_t>(tree.snapshots.size()));
  for (const auto& [key, value] : tree.other) file.set(key, value);
  return file.serialise();
}

}  // namespace virga::vmx
