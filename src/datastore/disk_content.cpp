#include "datastore/disk_content.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "datastore/delta_disk.h"

namespace virga::datastore {
namespace {

vmx::SparseReader open_grains(const OpenExtent& extent) {
  const std::string name = extent.location.display();
  struct stat status;
  if (::fstat(extent.fd.get(), &status) != 0) throw system_error(name, "cannot look at");
  const auto source = [fd = extent.fd.get(), name](std::uint64_t offset, std::span<char> buffer) {
    return read_some(fd, offset, buffer, name);
  };
  vmx::SparseReader grains(source, static_cast<std::uint64_t>(status.st_size), name);
  if (grains.header().capacity * vmx::sector_size < extent.size())
    throw error(ErrorKind::damaged, name, "{} holds {} sectors, fewer than its disk says", name,
                grains.header().capacity);
  return grains;
}

Delta open_delta(const ChainLink& link) {
  if (!is_delta(link.descriptor))
    throw error(ErrorKind::unsupported, link.disk.display(), "{} is a delta of type {}",
                link.disk.display(), link.descriptor.create_type);
  const Location image = link.extent();
  const std::string subject = image.display();
  Fd fd = image.datastore->open(image.path, O_RDONLY);
  lock_extent(fd.get(), LockMode::shared, link.disk.display());
  const auto read = [&fd, &subject](std::uint64_t offset, std::uint64_t length) {
    return read_text(fd.get(), offset, length, subject);
  };
  std::vector<Qcow2Run> runs = allocated_runs(read, subject);
  return {image, std::move(fd), std::move(runs)};
}

}  // namespace

DiskContent::DiskContent(const Location& disk, std::vector<OpenExtent> extents) {
  for (OpenExtent& extent : extents) {
    const ByteSpan place{size_, size_ + extent.size()};
    std::optional<vmx::SparseReader> grains;
    if (extent.kind == OpenExtent::Kind::sparse) grains = open_grains(extent);
    pieces_.push_back({place, std::move(extent), std::move(grains)});
    size_ = place.to;
  }
  if (size_ == 0)
    throw error(ErrorKind::damaged, disk.display(), "{} has no sectors", disk.display());
}

DiskContent::Piece& DiskContent::piece_at(std::uint64_t at) {
  return *std::ranges::upper_bound(pieces_, at, {}, [](const Piece& it) { return it.place.to; });
}

std::uint64_t DiskContent::next_data(std::uint64_t at) {
  while (at < size_) {
    const Source source = source_at(at);
    at = next_data_in(source);
    if (at < source.span.to) return at;
  }
  return size_;
}

// The end of the source when there is none.
std::uint64_t DiskContent::next_data_in(const Source& source) {
  if (source.patch) return source.patch->offset ? source.span.from : source.span.to;
  return std::min(next_data_of_base(source.span.from), source.span.to);
}

std::uint64_t DiskContent::next_data_of_base(std::uint64_t at) {
  if (pieces_.empty()) return size_;
  while (at < size_) {
    Piece& piece = piece_at(at);
    at = next_data_in(piece, at);
    if (at < piece.place.to) return at;
  }
  return size_;
}

std::uint64_t DiskContent::next_data_in(Piece& piece, std::uint64_t at) {
  const ByteSpan& place = piece.place;
  const OpenExtent& extent = piece.extent;
  switch (extent.kind) {
    case OpenExtent::Kind::zero:
      return place.to;
    case OpenExtent::Kind::flat: {
      const ByteSpan rest{extent.span.from + (at - place.from), extent.span.to};
      const std::uint64_t found = find_data(extent.fd.get(), rest, extent.location.display());
      return place.from + (found - extent.span.from);
    }
    case OpenExtent::Kind::sparse: {
      const std::uint64_t grain_bytes = piece.grains->header().grain_bytes();
      const std::uint64_t grain = piece.grains->next_data((at - place.from) / grain_bytes);
      return std::clamp(place.from + grain * grain_bytes, at, place.to);
    }
  }
  return place.to;
}

// --- Deltas ------------------------------------------------------------------------------------

// What the delta does not hold of the patches before it stays.
void DiskContent::put_over(Delta delta) {
  std::vector<Patch> joined;
  auto before = patches_.begin();
  const auto keep_until = [&](std::uint64_t limit, std::uint64_t go_on) {
    while (before != patches_.end() && before->place.from < limit) {
      Patch kept = *before;
      kept.place.to = std::min(kept.place.to, limit);
      joined.push_back(kept);
      if (before->place.to > limit) break;
      ++before;
    }
    while (before != patches_.end() && before->place.to <= go_on) ++before;
    if (before == patches_.end() || before->place.from >= go_on) return;
    if (before->offset) *before->offset += go_on - before->place.from;
    before->place.from = go_on;
  };
  for (const Qcow2Run& run : delta.runs) {
    keep_until(run.from, run.from + run.length);
    joined.push_back({{run.from, run.from + run.length}, deltas_.size(), run.offset});
  }
  keep_until(size_, size_);
  patches_ = std::move(joined);
  deltas_.push_back(std::move(delta));
}

DiskContent::Source DiskContent::source_at(std::uint64_t at) const {
  const auto next =
      std::ranges::upper_bound(patches_, at, {}, [](const Patch& it) { return it.place.to; });
  if (next == patches_.end()) return {{at, size_}};
  if (next->place.from > at) return {{at, next->place.from}};
  return {{at, next->place.to}, &*next};
}

void DiskContent::read(std::uint64_t at, std::span<char> buffer) {
  while (!buffer.empty()) {
    const Source source = source_at(at);
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), source.span.to - at);
    const std::span<char> part = buffer.first(size);
    if (!source.patch)
      read_base(at, part);
    else if (!source.patch->offset)
      std::ranges::fill(part, '\0');
    else
      read_exactly(deltas_[source.patch->delta].fd.get(),
                   *source.patch->offset + (at - source.patch->place.from), part,
                   deltas_[source.patch->delta].image.display());
    at += size;
    buffer = buffer.subspan(size);
  }
}

void DiskContent::copy(ByteSpan part, int to, Zeros zeros, Meter& meter) {
  for (std::uint64_t from = part.from; from < part.to;) {
    const Source source = source_at(from);
    const std::uint64_t end = std::min(part.to, source.span.to), target = from - part.from;
    if (!source.patch) {
      copy_base({from, end}, to, target, zeros, meter);
    } else if (!source.patch->offset) {
      copy_hole({target, target + (end - from)}, to, zeros, meter);
    } else {
      const std::uint64_t offset = *source.patch->offset + (from - source.patch->place.from);
      copy_bytes(deltas_[source.patch->delta].fd.get(), {offset, offset + (end - from)}, to, target,
                 zeros, meter);
    }
    from = end;
  }
}

// --- The base ----------------------------------------------------------------------------------

void DiskContent::read_base(std::uint64_t at, std::span<char> buffer) {
  if (pieces_.empty()) std::ranges::fill(buffer, '\0');
  while (!pieces_.empty() && !buffer.empty()) {
    Piece& piece = piece_at(at);
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), piece.place.to - at);
    read_from(piece, at - piece.place.from, buffer.first(size));
    at += size;
    buffer = buffer.subspan(size);
  }
}

void DiskContent::read_from(Piece& piece, std::uint64_t at, std::span<char> buffer) {
  if (piece.extent.kind == OpenExtent::Kind::zero) {
    std::ranges::fill(buffer, '\0');
  } else if (piece.extent.kind == OpenExtent::Kind::flat) {
    read_exactly(piece.extent.fd.get(), piece.extent.span.from + at, buffer,
                 piece.extent.location.display());
  } else {
    const std::uint64_t grain_bytes = piece.grains->header().grain_bytes();
    while (!buffer.empty()) {
      const std::uint64_t skip = at % grain_bytes;
      const std::size_t size = std::min<std::uint64_t>(buffer.size(), grain_bytes - skip);
      const std::span<const char> grain = piece.grains->read(at / grain_bytes);
      if (grain.empty())
        std::memset(buffer.data(), 0, size);
      else
        std::memcpy(buffer.data(), grain.data() + skip, size);
      at += size;
      buffer = buffer.subspan(size);
    }
  }
}

void DiskContent::copy_base(ByteSpan part, int to, std::uint64_t at, Zeros zeros, Meter& meter) {
  if (pieces_.empty()) return copy_hole({at, at + (part.to - part.from)}, to, zeros, meter);
  while (part.from < part.to) {
    Piece& piece = piece_at(part.from);
    const std::uint64_t end = std::min(part.to, piece.place.to);
    copy_from(piece, {part.from - piece.place.from, end - piece.place.from}, to, at, zeros, meter);
    at += end - part.from;
    part.from = end;
  }
}

void DiskContent::copy_from(Piece& piece, ByteSpan part, int to, std::uint64_t at, Zeros zeros,
                            Meter& meter) {
  const OpenExtent& extent = piece.extent;
  if (extent.kind == OpenExtent::Kind::zero) {
    copy_hole({at, at + (part.to - part.from)}, to, zeros, meter);
  } else if (extent.kind == OpenExtent::Kind::flat) {
    const std::uint64_t from = extent.span.from;
    copy_bytes(extent.fd.get(), {from + part.from, from + part.to}, to, at, zeros, meter);
  } else {
    copy_grains(piece, part, to, at, zeros, meter);
  }
}

void DiskContent::copy_grains(Piece& piece, ByteSpan part, int to, std::uint64_t at, Zeros zeros,
                              Meter& meter) {
  const std::uint64_t grain_bytes = piece.grains->header().grain_bytes();
  for (std::uint64_t from = part.from; from < part.to;) {
    const std::uint64_t data =
        std::min(part.to, next_data_in(piece, piece.place.from + from) - piece.place.from);
    if (data > from) copy_hole({at, at + (data - from)}, to, zeros, meter);
    at += data - from;
    from = data;
    if (from == part.to) return;
    const std::uint64_t skip = from % grain_bytes;
    const std::size_t size = std::min(part.to - from, grain_bytes - skip);
    const std::span<const char> grain = piece.grains->read(from / grain_bytes);
    write_data(to, at, {grain.data() + skip, size}, zeros, meter);
    at += size;
    from += size;
  }
}

ReadableDisk open_for_reading(const Location& disk, const vmx::VmdkDescriptor& descriptor) {
  const std::vector<ChainLink> chain =
      is_delta(descriptor) ? read_chain(disk) : std::vector<ChainLink>{{disk, descriptor}};
  const ChainLink& base = chain.front();
  std::vector<OpenExtent> extents = lock_extents(base.disk, base.descriptor, LockMode::shared);
  const Provisioning provisioning = provisioning_of(base.descriptor, extents);
  DiskContent content(base.disk, std::move(extents));
  for (std::size_t i = 1; i < chain.size(); ++i) content.put_over(open_delta(chain[i]));
  return {std::move(content), provisioning};
}

}  // namespace virga::datastore
