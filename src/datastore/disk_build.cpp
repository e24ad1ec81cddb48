#include "datastore/disk_build.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "vmx/sparse_writer.h"

namespace virga::datastore {
namespace {

using vmx::Extent;
using vmx::VmdkDescriptor;

constexpr std::uint64_t split_sectors =
    4'192'256;  // of an extent of a split disk, as VMware has it
constexpr std::uint64_t grain_bytes = vmx::default_grain_bytes;

std::string part_name(std::size_t index) {
  return fmt::format("extent{}", index);
}

std::vector<std::uint64_t> extent_sectors(DiskLayout layout, std::uint64_t capacity) {
  std::uint64_t sectors = capacity / vmx::sector_size;
  if (layout != DiskLayout::split_flat && layout != DiskLayout::split_sparse) return {sectors};
  std::vector<std::uint64_t> sizes;
  for (; sectors > 0; sectors -= sizes.back()) sizes.push_back(std::min(sectors, split_sectors));
  return sizes;
}

Extent extent_of(DiskLayout layout, std::uint64_t sectors, const Location& file) {
  Extent extent;
  extent.sectors = sectors;
  extent.file = vmx::DatastorePath(file.datastore->name(), file.path).name();
  extent.type = layout == DiskLayout::vmfs ? "VMFS" : is_flat(layout) ? "FLAT" : "SPARSE";
  if (extent.type == "FLAT") extent.offset = 0;
  if (layout == DiskLayout::stream_optimized) extent.access = Extent::Access::read_only;
  return extent;
}

// --- Flat --------------------------------------------------------------------------------------

// What becomes of zeros in a flat extent, which is given its blocks here.
Zeros prepare_extent(const Fd& fd, std::uint64_t size, Provisioning provisioning, Meter& meter) {
  size_file(fd, size, meter.subject());
  if (provisioning == Provisioning::thin) return Zeros::leave_out;
  const bool has_blocks = allocate(fd.get(), {0, size}, meter.subject());
  return provisioning == Provisioning::lazy_zeroed && has_blocks ? Zeros::keep_holes : Zeros::write;
}

// Blocks come before data, so that a disk too large for its datastore fails before anything is
// written.
void build_flat(const Draft& draft, const VmdkDescriptor& descriptor, Provisioning provisioning,
                DiskContent& content, Meter& meter) {
  std::vector<Fd> files;
  Zeros zeros = Zeros::leave_out;
  for (const Extent& extent : descriptor.extents) {
    files.push_back(draft.create_file(part_name(files.size())));
    zeros = prepare_extent(files.back(), extent.sectors * vmx::sector_size, provisioning, meter);
  }
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::uint64_t size = descriptor.extents[i].sectors * vmx::sector_size;
    content.copy({at, at + size}, files[i].get(), zeros, meter);
    sync_file(files[i], meter.subject());
    at += size;
  }
}

// --- In grains ---------------------------------------------------------------------------------

// Goes through the grains of a part of the disk, and advances the meter.
class GrainWalk {
 public:
  GrainWalk(DiskContent& content, ByteSpan part, Meter& meter)
      : content_(content), part_(part), at_(part.from), meter_(meter), grain_(grain_bytes, '\0') {}

  // The number of the next grain that may hold data, which is read; nullopt when none is left.
  std::optional<std::uint64_t> next() {
    const std::uint64_t data = next_data();
    meter_.advance(data - at_);
    at_ = data;
    if (at_ == part_.to) return std::nullopt;
    const std::size_t size = std::min(grain_bytes, part_.to - at_);
    content_.read(at_, std::span(grain_).first(size));
    std::fill(grain_.begin() + static_cast<std::ptrdiff_t>(size), grain_.end(), '\0');
    const std::uint64_t number = (at_ - part_.from) / grain_bytes;
    meter_.advance(size);
    at_ += size;
    return number;
  }
  // As it was read last; the last one of the part is padded to its full size.
  const std::string& grain() const { return grain_; }

 private:
  std::uint64_t next_data() const {
    const std::uint64_t data = std::min(content_.next_data(at_), part_.to);
    return data == part_.to ? data : data - (data - part_.from) % grain_bytes;
  }

  DiskContent& content_;
  const ByteSpan part_;
  std::uint64_t at_;
  Meter& meter_;
  std::string grain_;
};

void build_sparse(const Fd& fd, std::string_view descriptor, ByteSpan part, DiskContent& content,
                  Meter& meter) {
  const auto write = [&](std::uint64_t offset, std::string_view bytes) {
    write_at(fd.get(), offset, bytes, meter.subject());
  };
  vmx::SparseWriter writer((part.to - part.from) / vmx::sector_size, descriptor, write,
                           meter.subject());
  GrainWalk walk(content, part, meter);
  while (const auto number = walk.next())
    if (!is_zero(walk.grain())) writer.add(*number, walk.grain());
  size_file(fd, writer.finish(), meter.subject());
  sync_file(fd, meter.subject());
}

// --- As a stream -------------------------------------------------------------------------------

// Deflates grains on all processors; their order stays.
class ParallelDeflater {
 public:
  struct Grain {
    std::uint64_t number;
    std::string bytes;
  };

  ParallelDeflater()
      : deflaters_(std::clamp(std::thread::hardware_concurrency(), 1u, most_threads)) {}

  // How many grains are worth the threads.
  std::size_t batch_size() const { return grains_of_thread * deflaters_.size(); }

  void deflate(std::vector<Grain>& grains) {
    std::vector<std::jthread> threads;
    for (std::size_t first = 1; first < std::min(deflaters_.size(), grains.size()); ++first)
      threads.emplace_back([this, &grains, first] { deflate_every(grains, first); });
    deflate_every(grains, 0);
  }

 private:
  static constexpr unsigned most_threads = 8;
  static constexpr std::size_t grains_of_thread = 32;

  void deflate_every(std::vector<Grain>& grains, std::size_t first) {
    for (std::size_t i = first; i < grains.size(); i += deflaters_.size())
      grains[i].bytes = deflaters_[first].deflate(grains[i].bytes);
  }

  std::vector<vmx::GrainDeflater> deflaters_;
};

// Writes a file from its beginning to its end, in pieces worth a system call.
class SequentialFile {
 public:
  SequentialFile(const Fd& fd, const std::string& subject) : fd_(fd), subject_(subject) {}

  void append(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= enough) flush();
  }
  void flush() {
    write_at(fd_.get(), at_, buffer_, subject_);
    at_ += buffer_.size();
    buffer_.clear();
  }

 private:
  static constexpr std::size_t enough = 1 << 20;

  const Fd& fd_;
  const std::string& subject_;
  std::uint64_t at_ = 0;
  std::string buffer_;
};

void build_stream(const Fd& fd, std::string_view descriptor, DiskContent& content, Meter& meter) {
  SequentialFile file(fd, meter.subject());
  StreamBuilder stream(content, descriptor, meter);
  while (const auto piece = stream.next()) file.append(*piece);
  file.flush();
  sync_file(fd, meter.subject());
}

}  // namespace

void set_layout(VmdkDescriptor& descriptor, const Location& disk, DiskLayout layout,
                std::uint64_t capacity) {
  const std::vector<std::uint64_t> sizes = extent_sectors(layout, capacity);
  const std::vector<Location> files =
      is_embedded(layout) ? std::vector{disk} : extent_locations(disk, layout, sizes.size());
  descriptor.create_type = create_type_of(layout);
  descriptor.extents.clear();
  for (std::size_t i = 0; i < sizes.size(); ++i)
    descriptor.extents.push_back(extent_of(layout, sizes[i], files[i]));
  descriptor.geometry = vmx::geometry_for(capacity / vmx::sector_size,
                                          descriptor.adapter.value_or(vmx::AdapterType::lsi_logic));
}

void provision(int fd, ByteSpan span, Provisioning provisioning, Meter& meter) {
  const bool has_blocks = provisioning != Provisioning::thin && allocate(fd, span, meter.subject());
  const bool is_done = provisioning == Provisioning::thin ||
                       (provisioning == Provisioning::lazy_zeroed && has_blocks);
  if (is_done)
    meter.advance(span.to - span.from);
  else
    write_zeros(fd, span, meter);
}

struct StreamBuilder::State {
  State(DiskContent& content, std::string_view descriptor, Meter& meter)
      : walk(content, {0, content.size()}, meter),
        writer(
            content.size() / vmx::sector_size, descriptor,
            [this](std::string_view bytes) { made += bytes; }, meter.subject()) {}

  GrainWalk walk;
  ParallelDeflater deflater;
  std::string made;
  vmx::StreamOptimizedWriter writer;
  std::uint64_t data_bytes = 0;
  bool is_finished = false;
};

StreamBuilder::StreamBuilder(DiskContent& content, std::string_view descriptor, Meter& meter)
    : state_(std::make_unique<State>(content, descriptor, meter)) {}

StreamBuilder::~StreamBuilder() = default;

std::uint64_t StreamBuilder::data_bytes() const {
  return state_->data_bytes;
}

std::optional<std::string> StreamBuilder::next() {
  if (state_->is_finished) return std::nullopt;
  std::vector<ParallelDeflater::Grain> grains;
  std::optional<std::uint64_t> number;
  for (std::size_t i = 0; i < state_->deflater.batch_size(); ++i) {
    number = state_->walk.next();
    if (!number) break;
    if (!is_zero(state_->walk.grain())) grains.push_back({*number, state_->walk.grain()});
  }
  state_->data_bytes += grains.size() * grain_bytes;
  state_->deflater.deflate(grains);
  for (const auto& grain : grains) state_->writer.add(grain.number, grain.bytes);
  if (!number) state_->writer.finish();
  state_->is_finished = !number;
  return std::exchange(state_->made, {});
}

std::vector<FileMove> build_disk(const Draft& draft, const Location& disk,
                                 VmdkDescriptor descriptor, DiskLayout layout,
                                 Provisioning provisioning, DiskContent& content, Meter& meter) {
  descriptor.thin = layout == DiskLayout::vmfs && provisioning == Provisioning::thin;
  set_layout(descriptor, disk, layout, content.size());
  if (is_embedded(layout)) {
    const Fd pivot = draft.create_file("pivot");
    if (layout == DiskLayout::stream_optimized)
      build_stream(pivot, descriptor.serialise(), content, meter);
    else
      build_sparse(pivot, descriptor.serialise(), {0, content.size()}, content, meter);
    return {};
  }
  draft.create_pivot(descriptor.serialise());
  const std::vector<Location> files = extent_locations(disk, layout, descriptor.extents.size());
  std::vector<FileMove> moves;
  for (const Location& file : files) moves.push_back({draft.path(part_name(moves.size())), file});
  if (is_flat(layout)) {
    build_flat(draft, descriptor, provisioning, content, meter);
    return moves;
  }
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::uint64_t size = descriptor.extents[i].sectors * vmx::sector_size;
    build_sparse(draft.create_file(part_name(i)), {}, {at, at + size}, content, meter);
    at += size;
  }
  return moves;
}

}  // namespace virga::datastore
