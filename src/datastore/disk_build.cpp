#include "datastore/disk_build.h"

#include <algorithm>
#include <thread>

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

// Calls `take(number, bytes)` for each grain of the part that is not all zeros, the last one padded
// to its full size.
template <class Take>
void for_each_grain(DiskContent& content, ByteSpan part, Meter& meter, Take take) {
  std::string grain(grain_bytes, '\0');
  const auto next = [&](std::uint64_t at) {
    const std::uint64_t data = std::min(content.next_data(at), part.to);
    return data == part.to ? data : data - (data - part.from) % grain_bytes;
  };
  for (std::uint64_t at = part.from; at < part.to;) {
    const std::uint64_t data = next(at);
    meter.advance(data - at);
    at = data;
    if (at == part.to) return;
    const std::size_t size = std::min(grain_bytes, part.to - at);
    content.read(at, std::span(grain).first(size));
    std::fill(grain.begin() + static_cast<std::ptrdiff_t>(size), grain.end(), '\0');
    if (!is_zero(grain)) take((at - part.from) / grain_bytes, grain);
    meter.advance(size);
    at += size;
  }
}

void build_sparse(const Fd& fd, std::string_view descriptor, ByteSpan part, DiskContent& content,
                  Meter& meter) {
  const auto write = [&](std::uint64_t offset, std::string_view bytes) {
    write_at(fd.get(), offset, bytes, meter.subject());
  };
  vmx::SparseWriter writer((part.to - part.from) / vmx::sector_size, descriptor, write,
                           meter.subject());
  for_each_grain(content, part, meter, [&](std::uint64_t number, const std::string& grain) {
    writer.add(number, grain);
  });
  size_file(fd, writer.finish(), meter.subject());
  sync_file(fd, meter.subject());
}

// --- As a stream -------------------------------------------------------------------------------

// Deflates grains on all processors; their order stays.
class ParallelDeflater {
 public:
  explicit ParallelDeflater(vmx::StreamOptimizedWriter& writer)
      : writer_(writer),
        deflaters_(std::clamp(std::thread::hardware_concurrency(), 1u, most_threads)) {}

  void add(std::uint64_t number, const std::string& grain) {
    batch_.push_back({number, grain});
    if (batch_.size() == batch_size * deflaters_.size()) flush();
  }

  void flush() {
    std::vector<std::jthread> threads;
    for (std::size_t first = 1; first < deflaters_.size(); ++first)
      threads.emplace_back([this, first] { deflate_every(first); });
    deflate_every(0);
    threads.clear();
    for (const Grain& grain : batch_) writer_.add(grain.number, grain.bytes);
    batch_.clear();
  }

 private:
  static constexpr unsigned most_threads = 8;
  static constexpr std::size_t batch_size = 32;  // grains a thread

  struct Grain {
    std::uint64_t number;
    std::string bytes;
  };

  void deflate_every(std::size_t first) {
    for (std::size_t i = first; i < batch_.size(); i += deflaters_.size())
      batch_[i].bytes = deflaters_[first].deflate(batch_[i].bytes);
  }

  vmx::StreamOptimizedWriter& writer_;
  std::vector<vmx::GrainDeflater> deflaters_;
  std::vector<Grain> batch_;
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
  write_stream(
      content, descriptor, [&](std::string_view bytes) { file.append(bytes); }, meter);
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

void write_stream(DiskContent& content, std::string_view descriptor,
                  const std::function<void(std::string_view)>& sink, Meter& meter) {
  vmx::StreamOptimizedWriter writer(content.size() / vmx::sector_size, descriptor, sink,
                                    meter.subject());
  ParallelDeflater deflater(writer);
  for_each_grain(
      content, {0, content.size()}, meter,
      [&](std::uint64_t number, const std::string& grain) { deflater.add(number, grain); });
  deflater.flush();
  writer.finish();
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
