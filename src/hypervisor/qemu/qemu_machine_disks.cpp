// The images a disk consists of, while the guest writes: overlays put over them, and merged again.
#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "hypervisor/qemu/block_job.h"
#include "hypervisor/qemu/fields.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {
namespace {

// A merge as QEMU's job list shows it to a successor of this daemon: by the images' numbers.
struct MergeJob {
  int key, into, top;

  std::string id() const { return fmt::format("merge-{}-{}-{}", key, into, top); }
};

std::optional<MergeJob> parse_merge_job(const std::string& id) {
  MergeJob job{};
  const bool matches =
      std::sscanf(id.c_str(), "merge-%d-%d-%d", &job.key, &job.into, &job.top) == 3;
  return matches && job.id() == id ? std::optional(job) : std::nullopt;
}

struct ImageName {
  int key, number;
};

// Of a node of either kind: file_node(), format_node().
std::optional<ImageName> parse_node(const std::string& name) {
  ImageName image{};
  const bool matches = std::sscanf(name.c_str(), "node-%d-%d", &image.key, &image.number) == 2 ||
                       std::sscanf(name.c_str(), "file-%d-%d", &image.key, &image.number) == 2;
  return matches ? std::optional(image) : std::nullopt;
}

int lowest_free(const std::vector<int>& taken) {
  int number = 0;
  while (std::ranges::find(taken, number) != taken.end()) ++number;
  return number;
}

std::size_t position_of(const Disk& disk, const std::string& path) {
  const auto found = std::ranges::find(disk.chain, path, &DiskImage::path);
  if (found == disk.chain.end())
    throw error(ErrorKind::not_found, device_id(disk), "{} does not consist of {}", device_id(disk),
                path);
  return static_cast<std::size_t>(found - disk.chain.begin());
}

}  // namespace

// ---- Snapshots

// The overlays as nodes nobody uses yet. A QEMU that dies or an error leaves the chains as they
// are.
Async<json::array> QemuMachine::add_overlays(std::map<int, std::string> overlays,
                                             std::map<int, std::string> change_tracks) {
  json::array actions;
  for (const auto& [key, path] : overlays) {
    const Disk disk = find_disk(record_.spec, key);
    std::vector<int>& images = record_.images.at(key);
    const int below = images.back(), image = lowest_free(images);
    const DiskImage overlay{
        .path = path, .format = DiskFormat::qcow2, .change_track = change_tracks[key]};
    ImageNodes nodes = image_nodes(disk, image, overlay, nullptr, true);
    co_await add_nodes(disk, image, overlay, std::move(nodes));
    if (!overlay.change_track.empty()) co_await begin_track(key, image, overlay.change_track);
    json::object data = fields("node", format_node(key, below), "overlay", format_node(key, image));
    actions.push_back(fields("type", "blockdev-snapshot", "data", std::move(data)));
    images.push_back(image);
    chain_of(key).push_back(overlay);
  }
  co_return actions;
}

Async<void> QemuMachine::snapshot(SnapshotRequest request) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("take a snapshot of");
  if (request.memory) require_savable("keep its memory");
  if (request.memory && state_ != MachineState::running)
    throw error(ErrorKind::invalid_state, id(), "cannot keep the memory of {}: it does not run",
                record_.spec.name);
  std::exception_ptr failure;
  try {
    json::array overlays = co_await add_overlays(request.overlays, request.change_tracks);
    // A successor of this daemon finds the overlays by the record, and whether they are in place by
    // asking QEMU.
    if (request.memory) {
      record_.state_path = *request.memory;
      co_await record_operation(MachineRecord::Operation::snapshotting);
      co_await write_memory(*request.memory, std::move(overlays), std::move(request.progress));
      co_await record_operation(MachineRecord::Operation::none);
    } else {
      co_await record_operation(record_.operation);
      co_await put_overlays(std::move(overlays));
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure && state_ != MachineState::exited && request.memory) co_await undo_save(true);
  if (failure && state_ != MachineState::exited) co_await drop_unused_overlays();
  if (state_ != MachineState::exited) co_await settle_tracks();
  if (failure) std::rethrow_exception(failure);
}

Async<void> QemuMachine::put_overlays(json::array actions) {
  if (actions.empty()) co_return;
  co_await qmp_->execute("transaction", fields("actions", std::move(actions)));
}

std::vector<DiskImage>& QemuMachine::chain_of(int key) {
  return std::ranges::find(record_.spec.disks, key, &Disk::key)->chain;
}

// Takes positions [from, to) out of a disk's chain, for good. Returns their numbers: their nodes
// are still there, and those of a job until it is dismissed.
Async<std::vector<int>> QemuMachine::forget_images(int key, std::size_t from, std::size_t to) {
  std::vector<int>& images = record_.images.at(key);
  std::vector<DiskImage>& chain = chain_of(key);
  const auto offset = [](std::size_t position) { return static_cast<std::ptrdiff_t>(position); };
  std::vector<int> forgotten(images.begin() + offset(from), images.begin() + offset(to));
  images.erase(images.begin() + offset(from), images.begin() + offset(to));
  chain.erase(chain.begin() + offset(from), chain.begin() + offset(to));
  co_await record_operation(record_.operation);
  co_return forgotten;
}

// What QEMU has a disk write to tells which of the images that we know of are in use.
Async<void> QemuMachine::drop_unused_overlays() {
  const json::value devices = co_await qmp_->execute("query-block");
  for (const json::value& device : devices.as_array()) {
    const json::value* inserted = device.as_object().if_contains("inserted");
    const json::value* node = inserted ? inserted->as_object().if_contains("node-name") : nullptr;
    if (!node) continue;
    const std::string written(node->as_string());
    const int key = key_of_node(written);
    const auto found = record_.images.find(key);
    if (found == record_.images.end()) continue;
    const std::vector<int> images = found->second;
    const auto is_written = [&](int image) { return format_node(key, image) == written; };
    const auto last = std::ranges::find_if(images, is_written);
    if (last == images.end() || last + 1 == images.end()) continue;
    const auto unused = static_cast<std::size_t>(last + 1 - images.begin());
    std::vector<int> forgotten = co_await forget_images(key, unused, images.size());
    co_await remove_images(key, std::move(forgotten));
  }
}

// ---- Changes that are discarded

Async<void> QemuMachine::reset_discarding(std::map<int, std::string> fresh) {
  const bool was_running = state_ == MachineState::running;
  for (const auto& [key, path] : fresh) {
    const Disk& disk = find_disk(record_.spec, key);
    if (!disk.discards_changes)
      throw error(ErrorKind::invalid_argument, device_id(disk), "{} keeps its changes",
                  device_id(disk));
  }
  for (const auto& [key, path] : fresh) {
    std::vector<int>& images = record_.images.at(key);
    images.push_back(lowest_free(images));
    chain_of(key).push_back({path, DiskFormat::qcow2, {}});
    record_.replacing.push_back(key);
  }
  std::exception_ptr failure;
  try {
    co_await record_operation(MachineRecord::Operation::resetting);
    if (was_running) co_await qmp_->execute("stop");
    co_await finish_reset();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (state_ != MachineState::exited) {
    co_await drop_unused_overlays();
    record_.replacing.clear();
    co_await record_operation(MachineRecord::Operation::none);
    if (was_running) co_await attempt("cont", json::object());
  }
  std::rethrow_exception(failure);
}

// From wherever it got to: a former daemon may have begun it.
Async<void> QemuMachine::finish_reset() {
  std::vector<std::pair<int, int>> replaced;
  while (!record_.replacing.empty()) {
    const Disk disk = find_disk(record_.spec, record_.replacing.back());
    const int image = co_await replace_overlay(disk);
    replaced.emplace_back(disk.key, image);
  }
  co_await qmp_->execute("system_reset");
  co_await qmp_->execute("cont");
  // QEMU closes no descriptor of a set while the guest stands still.
  for (const auto& [key, image] : replaced) co_await remove_nodes(key, image);
  co_await record_operation(MachineRecord::Operation::none);
}

// The last image of the chain takes the place of the last but one, whose number is returned.
Async<int> QemuMachine::replace_overlay(Disk disk) {
  const std::vector<int> images = record_.images.at(disk.key);
  const std::size_t old = images.size() - 2;
  const int image = images.back();
  const std::string node = format_node(disk.key, image);
  const std::string written = co_await written_node(disk.key);
  if (written != node) {
    json::value backing(format_node(disk.key, images[old - 1]));
    ImageNodes nodes = image_nodes(disk, image, disk.chain.back(), std::move(backing), true);
    co_await remove_nodes(disk.key, image);
    co_await add_nodes(disk, image, disk.chain.back(), std::move(nodes));
    co_await qmp_->execute("qom-set", fields("path", "/machine/peripheral/" + device_id(disk),
                                             "property", "drive", "value", node));
  }
  std::erase(record_.replacing, disk.key);
  std::vector<int> replaced = co_await forget_images(disk.key, old, old + 1);
  co_return replaced.front();
}

// Empty for a disk that is not there.
Async<std::string> QemuMachine::written_node(int key) {
  const json::value devices = co_await qmp_->execute("query-block");
  for (const json::value& device : devices.as_array()) {
    const json::value* inserted = device.as_object().if_contains("inserted");
    const json::value* node = inserted ? inserted->as_object().if_contains("node-name") : nullptr;
    if (node && key_of_node(std::string(node->as_string())) == key)
      co_return std::string(node->as_string());
  }
  co_return std::string();
}

// ---- Merges

Async<void> QemuMachine::merge(MergeRequest request) {
  const auto self = shared_from_this();
  const auto guard = co_await operations_.lock();
  require_stoppable("merge images of");
  const Disk disk = find_disk(record_.spec, request.disk_key);
  const std::size_t into = position_of(disk, request.into), top = position_of(disk, request.top);
  if (into >= top)
    throw error(ErrorKind::invalid_argument, device_id(disk), "{} does not lie below {}",
                request.into, request.top);
  const std::vector<int> images = record_.images.at(disk.key);
  const bool is_written = top + 1 == images.size();
  const MergeJob job{disk.key, images[into], images[top]};
  json::object arguments =
      fields("job-id", job.id(), "device", format_node(disk.key, images.back()), "base-node",
             format_node(disk.key, job.into), "auto-dismiss", false);
  if (!is_written) {
    arguments["top-node"] = format_node(disk.key, job.top);
    arguments["backing-file"] = request.into_name;
  }
  co_await qmp_->execute("block-commit", std::move(arguments));
  const BlockJob block_job(*qmp_, jobs_changed_, job.id(), record_.spec.name);
  std::exception_ptr failure;
  try {
    const auto stage = is_written ? BlockJob::Stage::ready : BlockJob::Stage::concluded;
    co_await block_job.await(stage, request.progress, request.stop);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const bool completed = state_ != MachineState::exited && co_await block_job.end();
    if (!completed) {
      if (state_ != MachineState::exited) co_await block_job.dismiss();
      std::rethrow_exception(failure);
    }
  }
  if (is_written) co_return co_await pivot(job.id(), std::move(request));
  std::vector<int> merged = co_await forget_images(disk.key, into + 1, top + 1);
  co_await block_job.dismiss();
  co_await remove_images(disk.key, std::move(merged));
}

// The guest writes to `into` from here on. It stands still meanwhile: the moment it wrote something
// there that `top` has not got, `top` would be a stale copy that nothing tells from a good one.
Async<void> QemuMachine::pivot(std::string job_id, MergeRequest request) {
  const BlockJob job(*qmp_, jobs_changed_, job_id, record_.spec.name);
  const bool was_running = state_ == MachineState::running;
  bool pivoted = false;
  std::exception_ptr failure;
  try {
    if (was_running) co_await qmp_->execute("stop");
    if (!request.change_track.empty())
      co_await pass_track_on(request.disk_key, request.into, request.change_track);
    co_await qmp_->execute("job-complete", fields("id", job_id));
    co_await job.await(BlockJob::Stage::concluded, nullptr, std::stop_token());
    pivoted = true;
    if (request.commit) co_await request.commit();
  } catch (...) {
    failure = std::current_exception();
  }
  if (state_ == MachineState::exited) {
    if (failure) std::rethrow_exception(failure);
    co_return;
  }
  if (was_running && !(pivoted && failure)) co_await qmp_->execute("cont");
  if (!pivoted) {
    co_await job.end();
    co_await job.dismiss();
    co_await settle_tracks();
  } else {
    const int key = request.disk_key;
    const std::size_t into = position_of(find_disk(record_.spec, key), request.into);
    std::vector<int> merged = co_await forget_images(key, into + 1, chain_of(key).size());
    co_await job.dismiss();
    co_await remove_images(key, std::move(merged));
  }
  if (failure) std::rethrow_exception(failure);
}

// ---- Adoption

// Merges the former daemon did not see the end of: what is not complete is given up, which leaves
// the chain as it was.
Async<void> QemuMachine::settle_disks() {
  const json::value jobs = co_await qmp_->execute("query-jobs");
  for (const json::value& each : jobs.as_array()) {
    const std::string id(each.at("id").as_string());
    const auto merge = parse_merge_job(id);
    if (!merge || !record_.images.contains(merge->key)) continue;
    const BlockJob job(*qmp_, jobs_changed_, id, record_.spec.name);
    const bool completed = co_await job.end();
    const std::vector<int> images = record_.images.at(merge->key);
    const auto into = std::ranges::find(images, merge->into);
    const auto top = std::ranges::find(images, merge->top);
    // Of the image the guest writes, QEMU itself tells (below).
    if (completed && top != images.end() && into < top && top + 1 != images.end()) {
      const auto position = [&](auto at) { return static_cast<std::size_t>(at - images.begin()); };
      co_await forget_images(merge->key, position(into) + 1, position(top) + 1);
    }
    co_await job.dismiss();
  }
  co_await drop_unused_overlays();
  co_await remove_stray_nodes();
}

bool QemuMachine::is_stray(int key, int image) const {
  const auto known = record_.images.find(key);
  return known != record_.images.end() && std::ranges::count(known->second, image) == 0;
}

// Nodes of images that no chain has any more, or not yet. One may hold on to another, so it takes as
// many rounds as any of them can be removed.
Async<void> QemuMachine::remove_stray_nodes() {
  for (std::size_t strays = SIZE_MAX, before = 0; strays != 0 && strays != before;) {
    before = strays;
    strays = 0;
    const json::value nodes =
        co_await qmp_->execute("query-named-block-nodes", fields("flat", true));
    for (const json::value& node : nodes.as_array()) {
      const auto image = parse_node(std::string(node.at("node-name").as_string()));
      if (!image || !is_stray(image->key, image->number)) continue;
      ++strays;
      co_await remove_nodes(image->key, image->number);
    }
  }
  // A descriptor without a node yet would be taken for the next image of that number.
  const json::value sets = co_await qmp_->execute("query-fdsets");
  for (const json::value& set : sets.as_array()) {
    const auto [key, image] = image_of_fdset(set.at("fdset-id").to_number<std::int64_t>());
    if (is_stray(key, image)) co_await remove_nodes(key, image);
  }
}

}  // namespace virga::hypervisor
