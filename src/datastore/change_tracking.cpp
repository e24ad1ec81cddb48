#include "datastore/change_tracking.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "datastore/beneath.h"
#include "datastore/delta_disk.h"
#include "datastore/disk_files.h"
#include "datastore/qcow2.h"

namespace virga::datastore {
namespace {

using vmx::ChangeTrack;
using vmx::VmdkDescriptor;

// Who changes a flat extent without keeping track changes its times; of a delta, which QEMU touches
// once more as it lets go of it, it has to be the same file.
std::string stamp_of(const struct stat& status, bool flat) {
  if (!flat) return fmt::format("{}", status.st_ino);
  return fmt::format("{} {} {}.{:09}", status.st_ino, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

std::string stamp_of(const Location& disk, const VmdkDescriptor& descriptor) {
  const Location extent = ChainLink{disk, descriptor}.extent();
  return stamp_of(extent.datastore->status(extent.path), !is_delta(descriptor));
}

std::uint64_t capacity_of(const VmdkDescriptor& descriptor) {
  return descriptor.capacity_sectors() * vmx::sector_size;
}

ChangeTrack load(const Location& file) {
  return ChangeTrack::parse(read_small_file(file, ChangeTrack::max_size), file.display());
}

bool is_of(const ChangeTrack& track, const Location& disk, const VmdkDescriptor& descriptor) {
  if (track.open) return true;
  return track.capacity == capacity_of(descriptor) &&
         (track.stamp.empty() || track.stamp == stamp_of(disk, descriptor));
}

std::optional<ChangeTrack> read_track(const Location& disk, const VmdkDescriptor& descriptor) {
  const auto file = track_file(disk, descriptor);
  if (!file || !file->datastore->exists(file->path)) return std::nullopt;
  try {
    ChangeTrack track = load(*file);
    return is_of(track, disk, descriptor) ? std::optional(std::move(track)) : std::nullopt;
  } catch (const Error& failure) {
    logger("datastore")->warn("{}", failure.what());
    return std::nullopt;
  }
}

// The descriptor first: it may name a track that is not there, and nothing is left of a disk that
// is deleted.
void put_track(const Location& disk, VmdkDescriptor descriptor, const ChangeTrack& track) {
  const Location file = disk.sibling(track_file_name(disk));
  if (!track_file(disk, descriptor)) {
    remove_if_present(file);
    descriptor.change_track_file = track_file_name(disk);
    write_small_file(disk, descriptor.serialise());
  }
  write_small_file(file, track.serialise());
}

// Others cannot be told to be what they were.
bool lies_in_one_file(const VmdkDescriptor& descriptor) {
  return descriptor.extents.size() == 1 &&
         (is_delta(descriptor) || descriptor.extents.front().is_flat());
}

ChangeTrack stamped(ChangeTrack track, const Location& disk, const VmdkDescriptor& descriptor) {
  track.stamp = stamp_of(disk, descriptor);
  return track;
}

ReadImage reader_of(const Fd& file, const std::string& subject) {
  return [fd = file.get(), subject](std::uint64_t offset, std::uint64_t length) {
    return read_text(fd, offset, length, subject);
  };
}

vmx::Areas data_of(const OpenExtent& extent) {
  vmx::Areas areas;
  std::uint64_t at = extent.span.from;
  for_each_hole(extent.fd.get(), extent.span, extent.location.display(), [&](ByteSpan hole) {
    if (hole.from > at) areas.push_back({at, hole.from - at});
    at = hole.to;
  });
  if (extent.span.to > at) areas.push_back({at, extent.span.to - at});
  return areas;
}

}  // namespace

// --- Of a disk ---------------------------------------------------------------------------------

std::optional<ChangeTrack> read_track(const Location& disk) {
  return read_track(disk, read_descriptor(disk));
}

void start_tracking(const Location& disk) {
  const auto track = read_track(disk);
  if (!track || track->open) begin_epoch(disk);
}

void begin_epoch(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  put_track(disk, descriptor, stamped(vmx::new_track(capacity_of(descriptor)), disk, descriptor));
}

void stop_tracking(const Location& disk) {
  VmdkDescriptor descriptor = read_descriptor(disk);
  const auto file = track_file(disk, descriptor);
  if (!file) return;
  for (const Location& part : track_files(disk, descriptor)) remove(part);
  descriptor.change_track_file.clear();
  write_small_file(disk, descriptor.serialise());
}

void track_delta(const Location& delta, const Location& parent, bool parent_is_written) {
  const auto track = read_track(parent);
  if (!track || track->open != parent_is_written) return begin_epoch(delta);
  const VmdkDescriptor descriptor = read_descriptor(delta);
  put_track(delta, descriptor, stamped(vmx::track_of_delta(*track), delta, descriptor));
}

void track_parent(const Location& parent, const Location& delta) {
  const auto of_delta = read_track(delta);
  const VmdkDescriptor descriptor = read_descriptor(parent);
  if (!of_delta || read_track(parent, descriptor) || !lies_in_one_file(descriptor)) return;
  ChangeTrack track = vmx::new_track(capacity_of(descriptor));
  track.uuid = of_delta->uuid;
  track.since = track.sequence = of_delta->since;
  put_track(parent, descriptor, stamped(std::move(track), parent, descriptor));
}

void merge_tracks(const std::vector<Location>& disks, bool last_is_written) {
  std::vector<std::optional<ChangeTrack>> tracks;
  for (const Location& disk : disks) tracks.push_back(read_track(disk));
  const std::optional<ChangeTrack> last = std::move(tracks.back());
  tracks.pop_back();
  const Location& into = disks.front();
  const VmdkDescriptor descriptor = read_descriptor(into);
  if (!last || last->open != last_is_written || !lies_in_one_file(descriptor))
    return stop_tracking(into);
  ChangeTrack track = vmx::joined(tracks, *last);
  track.open = false;
  track.stamp.clear();
  put_track(into, descriptor, track);
}

void settle_track(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  const auto track = read_track(disk, descriptor);
  if (track && !track->open) put_track(disk, descriptor, stamped(*track, disk, descriptor));
}

vmx::Areas allocated_areas(const std::vector<Location>& chain) {
  std::vector<vmx::Area> areas;
  for (const Location& disk : chain) {
    const VmdkDescriptor descriptor = read_descriptor(disk);
    vmx::Areas own;
    if (is_delta(descriptor)) {
      const Location extent = ChainLink{disk, descriptor}.extent();
      const Fd file = extent.datastore->open(extent.path, O_RDONLY);
      own = allocated_areas(reader_of(file, extent.display()), extent.display());
    } else if (lies_in_one_file(descriptor)) {
      own = data_of(open_extents(disk, descriptor, O_RDONLY).at(0));
    } else {
      own = {{0, capacity_of(descriptor)}};
    }
    areas.insert(areas.end(), own.begin(), own.end());
  }
  return vmx::united(std::move(areas));
}

// --- Of an image that is written ---------------------------------------------------------------

namespace {

ChangeTrack load(const std::string& track) {
  return ChangeTrack::parse(read_file(track, ChangeTrack::max_size), track);
}

// In one step, by way of a file that goes with the disk when nobody comes to rename it.
void replace(const std::string& track, const ChangeTrack& by) {
  const std::string next = track + std::string(unfinished_track);
  const Fd file = open_file(next, O_WRONLY | O_CREAT | O_TRUNC);
  write_all(file.get(), by.serialise(), next);
  sync_file(file, next);
  fs::rename(next, track);
  sync_directory(fs::path(track).parent_path());
}

}  // namespace

void open_track(const std::string& track) {
  ChangeTrack opened = load(track);
  if (opened.open) return;
  opened.open = true;
  replace(track, opened);
}

void close_track(const std::string& track, const std::string& image, bool flat,
                 const vmx::Areas& written, std::uint64_t capacity) {
  ChangeTrack closed = load(track);
  if (!closed.open) return;
  struct stat status;
  if (::stat(image.c_str(), &status) != 0) throw system_error(image, "cannot look at");
  closed.close(written, capacity);
  closed.stamp = stamp_of(status, flat);
  replace(track, closed);
}

void drop_track(const std::string& track) {
  fs::remove(track);
  sync_directory(fs::path(track).parent_path());
}

}  // namespace virga::datastore
