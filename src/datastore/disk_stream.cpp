#include "datastore/disk_stream.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "datastore/disk_build.h"
#include "datastore/disk_content.h"
#include "datastore/disk_files.h"
#include "vmx/sparse_stream.h"

namespace virga::datastore {
namespace {

const Progress nobody;

vmx::VmdkDescriptor descriptor_to_send(const Location& disk, const vmx::VmdkDescriptor& source,
                                       std::string_view name, std::uint64_t capacity) {
  vmx::VmdkDescriptor descriptor = descriptor_of_copy(source);
  descriptor.thin = false;
  set_layout(descriptor, disk.sibling(name), DiskLayout::stream_optimized, capacity);
  return descriptor;
}

}  // namespace

// --- Sending -----------------------------------------------------------------------------------

struct DiskExport::State {
  State(const Location& disk, const vmx::VmdkDescriptor& source, std::string_view name)
      : content(open_for_reading(disk, source).content),
        meter(nobody, {}, disk.display(), content.size()),
        stream(content, descriptor_to_send(disk, source, name, content.size()).serialise(), meter) {
  }

  DiskContent content;
  Meter meter;
  StreamBuilder stream;
};

DiskExport::DiskExport(const Location& disk, std::string_view name)
    : state_(std::make_unique<State>(disk, read_descriptor(disk), name)) {}

DiskExport::~DiskExport() = default;

std::uint64_t DiskExport::capacity() const {
  return state_->content.size();
}

std::optional<std::string> DiskExport::next() {
  return state_->stream.next();
}

std::uint64_t DiskExport::data_bytes() const {
  return state_->stream.data_bytes();
}

// --- Receiving ---------------------------------------------------------------------------------

struct DiskImport::State {
  explicit State(const Location& disk)
      : name(disk.display()),
        extents(lock_flat_extents(disk, read_descriptor(disk))),
        meter(nobody, {}, name, 0) {
    for (const OpenExtent& extent : extents) capacity += extent.size();
  }

  void decide();
  void take(std::uint64_t offset, std::string_view bytes);
  void take_sectors(std::string_view bytes);
  void check_capacity(std::uint64_t bytes) const;

  std::string name;
  std::vector<OpenExtent> extents;
  Meter meter;
  std::uint64_t capacity = 0;
  std::uint64_t received = 0;
  std::string beginning;  // until it is known what comes
  bool is_decided = false;
  std::optional<vmx::StreamOptimizedParser> parser;  // none: the sectors themselves
  std::uint64_t sectors_end = 0;                     // of those, in bytes
};

void DiskImport::State::check_capacity(std::uint64_t bytes) const {
  if (bytes > capacity)
    throw error(ErrorKind::invalid_argument, name,
                "what comes for {} is a disk of {} bytes or more; it has {}", name, bytes,
                capacity);
}

void DiskImport::State::decide() {
  is_decided = true;
  if (vmx::is_sparse_extent(beginning)) {
    check_capacity(vmx::SparseHeader::parse(beginning, name).capacity * vmx::sector_size);
    parser.emplace("what comes for " + name,
                   [this](std::uint64_t offset, std::span<const char> bytes) {
                     take(offset, {bytes.data(), bytes.size()});
                   });
  }
}

// The disk is zeros already: those that come are left out.
void DiskImport::State::take(std::uint64_t offset, std::string_view bytes) {
  std::uint64_t begin = 0;  // of the extent, in the disk
  for (const OpenExtent& extent : extents) {
    const std::uint64_t end = begin + extent.size();
    if (offset < end && !bytes.empty()) {
      const std::string_view part = bytes.substr(0, end - offset);
      write_data(extent.fd.get(), extent.span.from + (offset - begin), part, Zeros::leave_out,
                 meter);
      offset += part.size();
      bytes.remove_prefix(part.size());
    }
    begin = end;
  }
}

void DiskImport::State::take_sectors(std::string_view bytes) {
  check_capacity(sectors_end + bytes.size());
  take(sectors_end, bytes);
  sectors_end += bytes.size();
}

DiskImport::DiskImport(const Location& disk) : state_(std::make_unique<State>(disk)) {}

DiskImport::~DiskImport() = default;

std::uint64_t DiskImport::received() const {
  return state_->received;
}

void DiskImport::write(std::string_view bytes) {
  State& state = *state_;
  state.received += bytes.size();
  std::string begun;
  if (!state.is_decided) {
    state.beginning += bytes;
    if (state.beginning.size() < vmx::sector_size) return;
    state.decide();
    begun = std::exchange(state.beginning, {});
    bytes = begun;
  }
  if (state.parser)
    state.parser->feed(bytes);
  else
    state.take_sectors(bytes);
}

void DiskImport::finish() {
  State& state = *state_;
  const bool is_whole =
      state.parser ? state.parser->is_whole() : state.sectors_end == state.capacity;
  if (!is_whole)
    throw error(
        ErrorKind::damaged, state.name,
        "what came for {} is cut off after {} bytes: it is neither a whole stream-optimized "
        "disk nor all of its {} bytes",
        state.name, state.received, state.capacity);
  for (const OpenExtent& extent : state.extents) sync_file(extent.fd, state.name);
}

}  // namespace virga::datastore
