// Which areas the guest writes: QEMU records it in a dirty bitmap on the node that is written, and
// what the bitmap marks goes to the image's change track when the image comes to rest.
//
// A track is open while its image is written, and the bitmap is there from before the first write:
// what dies before it has told leaves an open track, which nobody relies on.
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "datastore/change_tracking.h"
#include "datastore/qcow2.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/launcher.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {
namespace {

constexpr const char* bitmap = "changes";
constexpr int granularity = 65536;  // bytes, as VMware's

json::object bitmap_of(const std::string& node) {
  return fields("node", node, "name", bitmap);
}

json::object new_bitmap(const std::string& node) {
  json::object added = bitmap_of(node);
  added["granularity"] = granularity;
  return added;
}

// Adds to `target`, the bitmap of a node, what another's marks.
json::object merged_bitmap(const std::string& node, const std::string& from) {
  json::array sources = {bitmap_of(from)};
  return fields("node", node, "target", bitmap, "bitmaps", std::move(sources));
}

// An image of that size without content, that only its descriptor names.
Fd make_nameless_image(std::uint64_t capacity) {
  Fd file = make_memory_file("bitmap");
  const datastore::EmptyQcow2 image = datastore::make_qcow2({capacity, {}});
  for (const auto& [offset, bytes] : image.pieces)
    if (::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(bytes.size()))
      throw system_error("bitmap", "cannot write");
  if (::ftruncate(file.get(), static_cast<off_t>(image.size)) != 0)
    throw system_error("bitmap", "cannot size");
  return file;
}

std::string read_at(int file, std::uint64_t offset, std::uint64_t length) {
  std::string bytes(length, '\0');
  const ssize_t n = ::pread(file, bytes.data(), length, static_cast<off_t>(offset));
  if (n < 0) throw system_error("bitmap", "cannot read");
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

}  // namespace

bool QemuMachine::keeps_track() const {
  for (const Disk& disk : record_.spec.disks)
    for (const DiskImage& image : disk.chain)
      if (!image.change_track.empty()) return true;
  return false;
}

// The sizes in bytes of the nodes on which QEMU records.
Async<std::map<std::string, std::uint64_t>> QemuMachine::query_recording_nodes() {
  std::map<std::string, std::uint64_t> recording;
  const json::value nodes = co_await qmp_->execute("query-named-block-nodes", fields("flat", true));
  for (const json::value& node : nodes.as_array()) {
    const json::value* bitmaps = node.as_object().if_contains("dirty-bitmaps");
    if (!bitmaps) continue;
    for (const json::value& each : bitmaps->as_array()) {
      const json::value* name = each.as_object().if_contains("name");
      if (name && *name == bitmap)
        recording[std::string(node.at("node-name").as_string())] =
            node.at("image").at("virtual-size").to_number<std::uint64_t>();
    }
  }
  co_return recording;
}

// QEMU tells what a bitmap marks only by keeping it in an image. It numbers the descriptor set
// itself: a daemon killed in here has left one, and nodes of that number.
Async<vmx::Areas> QemuMachine::query_written(std::string node, std::uint64_t capacity) {
  const auto make = [capacity] { return make_nameless_image(capacity); };
  Fd file = co_await offload(context_->pool, make);
  const json::value added = co_await qmp_->execute("add-fd", json::object(), file.get());
  const int set = added.at("fdset-id").to_number<int>();
  const std::string lower = fmt::format("bitmap-file-{}", set);
  const std::string upper = fmt::format("bitmap-{}", set);
  std::exception_ptr failure;
  try {
    co_await qmp_->execute(
        "blockdev-add", fields("driver", "file", "node-name", lower, "filename", fdset_path(set)));
    co_await qmp_->execute("blockdev-add",
                           fields("driver", "qcow2", "node-name", upper, "file", lower));
    json::object kept = new_bitmap(upper);
    kept["persistent"] = true;
    kept["disabled"] = true;
    co_await qmp_->execute("block-dirty-bitmap-add", std::move(kept));
    co_await qmp_->execute("block-dirty-bitmap-merge", merged_bitmap(upper, node));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await attempt("blockdev-del", fields("node-name", upper));
  co_await attempt("blockdev-del", fields("node-name", lower));
  co_await attempt("remove-fd", fields("fdset-id", set));
  if (failure) std::rethrow_exception(failure);
  const auto read = [fd = file.get(), node] {
    const datastore::ReadImage reader = [fd](std::uint64_t offset, std::uint64_t length) {
      return read_at(fd, offset, length);
    };
    return datastore::bitmap_areas(reader, "the bitmap of " + node);
  };
  co_return co_await offload(context_->pool, read);
}

// ---- Beginning

Async<void> QemuMachine::begin_track(int key, int image, std::string track) {
  const auto open = [track] { datastore::open_track(track); };
  co_await offload(context_->pool, open);
  co_await qmp_->execute("block-dirty-bitmap-add", new_bitmap(format_node(key, image)));
}

// Before the guest's first instruction.
Async<void> QemuMachine::begin_tracks() {
  const std::vector<Disk> disks = record_.spec.disks;
  for (const Disk& disk : disks) {
    const std::string track = disk.chain.back().change_track;
    if (!track.empty()) co_await begin_track(disk.key, record_.images.at(disk.key).back(), track);
  }
}

// The guest stands still, and is about to write to `into` what it wrote to the image on top.
Async<void> QemuMachine::pass_track_on(int key, std::string into, std::string track) {
  const std::vector<int> images = record_.images.at(key);
  std::size_t position = 0;
  std::vector<DiskImage>& chain = chain_of(key);
  while (chain[position].path != into) ++position;
  chain[position].change_track = track;
  co_await record_operation(record_.operation);
  const auto open = [track] { datastore::open_track(track); };
  co_await offload(context_->pool, open);
  const std::string node = format_node(key, images[position]);
  json::array actions;
  actions.push_back(fields("type", "block-dirty-bitmap-add", "data", new_bitmap(node)));
  actions.push_back(fields("type", "block-dirty-bitmap-merge", "data",
                           merged_bitmap(node, format_node(key, images.back()))));
  co_await qmp_->execute("transaction", fields("actions", std::move(actions)));
}

// ---- Ending

// Nothing is written to the image any more.
Async<void> QemuMachine::end_track(int key, int image, DiskImage of, std::uint64_t capacity) {
  const vmx::Areas written = co_await query_written(format_node(key, image), capacity);
  const auto close = [of, written, capacity] {
    const bool flat = of.format == DiskFormat::raw;
    datastore::close_track(of.change_track, of.path, flat, written, capacity);
  };
  co_await offload(context_->pool, close);
}

// The guest writes the disk no more. A QEMU that does not answer leaves its tracks open.
Async<void> QemuMachine::end_tracks_of(Disk disk) {
  const std::vector<int> images = record_.images.at(disk.key);
  std::string failure;
  try {
    const auto recording = co_await query_recording_nodes();
    for (std::size_t position = 0; position < images.size(); ++position) {
      const auto node = recording.find(format_node(disk.key, images[position]));
      const DiskImage image = disk.chain[position];
      if (node != recording.end() && !image.change_track.empty())
        co_await end_track(disk.key, images[position], image, node->second);
    }
  } catch (const std::exception& e) {
    failure = e.what();
  }
  if (!failure.empty()) warn_of_open_track(failure);
}

// The guest is about to end.
Async<void> QemuMachine::end_tracks() {
  if (!keeps_track()) co_return;
  co_await attempt("stop", json::object());
  const std::vector<Disk> disks = record_.spec.disks;
  for (const Disk& disk : disks) co_await end_tracks_of(disk);
}

void QemuMachine::warn_of_open_track(const std::string& why) const {
  logger("hypervisor")
      ->warn("vm={}: what it has changed on a disk is not known: {}", record_.spec.name, why);
}

// Makes the tracks agree with what QEMU records: of an image that is written no more the track is
// ended, of one that is written it is open.
Async<void> QemuMachine::settle_tracks() {
  if (!keeps_track()) co_return;
  const auto recording = co_await query_recording_nodes();
  const std::vector<Disk> disks = record_.spec.disks;
  for (const Disk& disk : disks) {
    for (std::size_t position = 0; position < disk.chain.size(); ++position) {
      const int image = record_.images.at(disk.key)[position];
      const auto node = recording.find(format_node(disk.key, image));
      std::optional<std::uint64_t> capacity;
      if (node != recording.end()) capacity = node->second;
      if (disk.chain[position].change_track.empty()) continue;
      std::string failure;
      try {
        co_await settle_track(disk.key, position, capacity);
      } catch (const std::exception& e) {
        failure = e.what();
      }
      if (!failure.empty()) warn_of_open_track(failure);
    }
  }
}

// `capacity`: of a node on which QEMU records.
Async<void> QemuMachine::settle_track(int key, std::size_t position,
                                      std::optional<std::uint64_t> capacity) {
  const DiskImage of = chain_of(key)[position];
  const int image = record_.images.at(key)[position];
  const bool is_written = position + 1 == chain_of(key).size();
  if (is_written) {
    const bool recording = capacity.has_value();
    const auto agree = [track = of.change_track, recording] {
      recording ? datastore::open_track(track) : datastore::drop_track(track);
    };
    co_await offload(context_->pool, agree);
  } else if (capacity) {
    co_await end_track(key, image, of, *capacity);
    co_await qmp_->execute("block-dirty-bitmap-remove", bitmap_of(format_node(key, image)));
  }
}

}  // namespace virga::hypervisor
