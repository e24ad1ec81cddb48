#include "datastore/transfer.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t piece = 1 << 20;          // bytes of one read or write
constexpr std::uint64_t kernel_piece = 16 << 20;  // of one copy inside the kernel
constexpr std::uint64_t grain = 64 << 10;         // the least run of zeros worth a hole

// Lets the disk begin now, so that the sync at the end has little left to wait for.
void start_writing(int fd, std::uint64_t at, std::uint64_t size) {
  ::sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
}

// Where the next data or hole (SEEK_DATA, SEEK_HOLE) of the span begins; a file system that knows
// no holes has data throughout.
std::uint64_t seek(int fd, ByteSpan span, int what, const std::string& subject) {
  const off_t found = ::lseek(fd, static_cast<off_t>(span.from), what);
  if (found < 0 && errno != ENXIO) throw system_error(subject, "cannot find the holes of");
  return found < 0 ? span.to : std::min(static_cast<std::uint64_t>(found), span.to);
}

// Calls `take(span, is_hole)` for the runs of `span`.
template <class Take>
void for_each_run(int fd, ByteSpan span, const std::string& subject, Take take) {
  for (std::uint64_t at = span.from; at < span.to;) {
    const std::uint64_t data = seek(fd, {at, span.to}, SEEK_DATA, subject);
    if (data > at) take(ByteSpan{at, data}, true);
    if (data == span.to) return;
    at = seek(fd, {data, span.to}, SEEK_HOLE, subject);
    take(ByteSpan{data, at}, false);
  }
}

// A run of blocks as the file system has it.
struct BlockExtent {
  ByteSpan place;  // in the file
  std::uint64_t physical = 0;
  bool is_written = false;  // false: taken, and known to read as zeros
};

// Calls `take(extent)` for the blocks of the span; false where the file system does not tell.
// Unlike SEEK_HOLE, which takes what was but read for data, this is what the blocks are.
template <class Take>
bool for_each_extent(int fd, ByteSpan span, Take take) {
  constexpr std::uint32_t batch = 256;
  std::vector<char> buffer(sizeof(fiemap) + batch * sizeof(fiemap_extent));
  auto* map = reinterpret_cast<fiemap*>(buffer.data());
  while (span.from < span.to) {
    std::ranges::fill(buffer, '\0');
    map->fm_start = span.from;
    map->fm_length = span.to - span.from;
    map->fm_extent_count = batch;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) return false;
    if (map->fm_mapped_extents == 0) return true;
    for (std::uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      const fiemap_extent& it = map->fm_extents[i];
      const ByteSpan place{it.fe_logical, it.fe_logical + it.fe_length};
      take(BlockExtent{place, it.fe_physical, (it.fe_flags & FIEMAP_EXTENT_UNWRITTEN) == 0});
      if ((it.fe_flags & FIEMAP_EXTENT_LAST) != 0) return true;
      span.from = place.to;
    }
  }
  return true;
}

// false when the kernel cannot copy between these two files.
bool copy_in_kernel(int from, ByteSpan span, int to, std::uint64_t at, Meter& meter) {
  auto source = static_cast<off_t>(span.from);
  auto target = static_cast<off_t>(at);
  bool begun = false;
  while (static_cast<std::uint64_t>(source) < span.to) {
    const std::uint64_t size = std::min(kernel_piece, span.to - static_cast<std::uint64_t>(source));
    const ssize_t n = ::copy_file_range(from, &source, to, &target, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 && !begun && (n == 0 || (errno != ENOSPC && errno != EDQUOT && errno != EIO)))
      return false;
    if (n < 0) throw system_error(meter.subject(), "cannot write");
    if (n == 0)
      throw error(ErrorKind::io, meter.subject(), "{} became shorter meanwhile", meter.subject());
    begun = true;
    meter.advance(static_cast<std::uint64_t>(n));
  }
  return true;
}

// Both files have the same blocks then, until one is written to; false where the file system, or
// where the span lies in them, does not allow it.
bool share_blocks(int from, ByteSpan span, int to, std::uint64_t at, Meter& meter) {
  const file_clone_range range{from, span.from, span.to - span.from, at};
  if (::ioctl(to, FICLONERANGE, &range) != 0) return false;
  meter.advance(span.to - span.from);
  return true;
}

void copy_data(int from, ByteSpan span, int to, std::uint64_t at, Zeros zeros, Meter& meter) {
  // What is to hold blocks of its own does not share them.
  if (zeros == Zeros::leave_out && share_blocks(from, span, to, at, meter)) return;
  if (zeros != Zeros::leave_out && copy_in_kernel(from, span, to, at, meter)) return;
  std::vector<char> buffer(std::min(piece, span.to - span.from));
  for (std::uint64_t source = span.from; source < span.to;) {
    const std::span<char> part = std::span(buffer).first(std::min(piece, span.to - source));
    read_exactly(from, source, part, meter.subject());
    write_data(to, at + (source - span.from), {part.data(), part.size()}, zeros, meter);
    source += part.size();
  }
}

}  // namespace

void Meter::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (progress_) progress_(done_, std::max(done_, total_));
  check_stop(stop_, subject_);
}

std::size_t read_some(int fd, std::uint64_t from, std::span<char> buffer,
                      const std::string& subject) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n =
        ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(from + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(subject, "cannot read");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

void read_exactly(int fd, std::uint64_t from, std::span<char> buffer, const std::string& subject) {
  if (read_some(fd, from, buffer, subject) < buffer.size())
    throw error(ErrorKind::io, subject, "{} became shorter meanwhile", subject);
}

std::string read_text(int fd, std::uint64_t from, std::uint64_t size, const std::string& subject) {
  std::string text;
  while (text.size() < size) {
    const std::size_t done = text.size(), wanted = std::min<std::uint64_t>(piece, size - done);
    text.resize(done + wanted);
    const std::size_t n = read_some(fd, from + done, std::span(text).subspan(done), subject);
    text.resize(done + n);
    if (n < wanted) break;
  }
  return text;
}

std::uint64_t find_data(int fd, ByteSpan span, const std::string& subject) {
  return seek(fd, span, SEEK_DATA, subject);
}

bool is_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

void write_at(int fd, std::uint64_t at, std::string_view data, const std::string& subject) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(subject, "cannot write");
    data.remove_prefix(static_cast<std::size_t>(n));
    at += static_cast<std::uint64_t>(n);
  }
}

void write_data(int to, std::uint64_t at, std::string_view data, Zeros zeros, Meter& meter) {
  const std::uint64_t step = zeros == Zeros::leave_out ? grain : data.size();
  for (std::uint64_t part = 0; part < data.size(); part += step) {
    const std::string_view bytes = data.substr(part, step);
    if (zeros == Zeros::leave_out && is_zero(bytes)) continue;
    write_at(to, at + part, bytes, meter.subject());
  }
  if (at % piece + data.size() >= piece) start_writing(to, at - at % piece, piece);
  meter.advance(data.size());
}

void copy_hole(ByteSpan span, int to, Zeros zeros, Meter& meter) {
  if (zeros == Zeros::write)
    write_zeros(to, span, meter);
  else
    meter.advance(span.to - span.from);
}

void copy_bytes(int from, ByteSpan span, int to, std::uint64_t at, Zeros zeros, Meter& meter) {
  for_each_run(from, span, meter.subject(), [&](ByteSpan run, bool is_hole) {
    const std::uint64_t target = at + (run.from - span.from);
    if (is_hole)
      copy_hole({target, target + (run.to - run.from)}, to, zeros, meter);
    else
      copy_data(from, run, to, target, zeros, meter);
  });
}

void copy_file(int from, std::uint64_t size, int to, Meter& meter) {
  if (size > 0 && ::ioctl(to, FICLONE, from) == 0) return meter.advance(size);
  if (::ftruncate(to, static_cast<off_t>(size)) != 0)
    throw system_error(meter.subject(), "cannot size");
  copy_bytes(from, {0, size}, to, 0, Zeros::keep_holes, meter);
}

void write_zeros(int fd, ByteSpan span, Meter& meter) {
  const std::vector<char> zeros(std::min(piece, span.to - span.from));
  for (std::uint64_t at = span.from; at < span.to;) {
    const std::uint64_t size = std::min(piece, span.to - at);
    write_at(fd, at, {zeros.data(), size}, meter.subject());
    start_writing(fd, at, size);
    at += size;
    meter.advance(size);
  }
}

bool allocate(int fd, ByteSpan span, const std::string& subject) {
  if (span.from == span.to) return true;
  const auto length = static_cast<off_t>(span.to - span.from);
  while (::fallocate(fd, 0, static_cast<off_t>(span.from), length) != 0) {
    if (errno == EOPNOTSUPP) return false;
    if (errno != EINTR) throw system_error(subject, "cannot take blocks for");
  }
  return true;
}

void for_each_hole(int fd, ByteSpan span, const std::string& subject,
                   const std::function<void(ByteSpan)>& take) {
  if (::fsync(fd) != 0) throw system_error(subject, "cannot sync");
  std::uint64_t at = span.from;
  const bool is_mapped = for_each_extent(fd, span, [&](const BlockExtent& extent) {
    if (!extent.is_written) return;
    if (extent.place.from > at) take({at, extent.place.from});
    at = std::max(at, extent.place.to);
  });
  if (is_mapped) {
    if (at < span.to) take({at, span.to});
    return;
  }
  for_each_run(fd, span, subject, [&](ByteSpan run, bool is_hole) {
    if (is_hole) take(run);
  });
}

bool is_written_throughout(int fd, ByteSpan span, const std::string& subject) {
  std::uint64_t at = span.from;
  const bool is_mapped = for_each_extent(fd, span, [&](const BlockExtent& extent) {
    if (extent.is_written && extent.place.from <= at) at = std::max(at, extent.place.to);
  });
  return is_mapped ? at >= span.to : seek(fd, span, SEEK_HOLE, subject) == span.to;
}

void count_borders(int fd, BlockBorders& borders) {
  constexpr std::uint64_t block = 4096;
  std::optional<BlockExtent> last;
  for_each_extent(fd, {0, FIEMAP_MAX_OFFSET}, [&](const BlockExtent& extent) {
    const std::uint64_t size = extent.place.to - extent.place.from;
    borders.all += size / block - (size >= block);
    if (last && last->place.to == extent.place.from) {
      ++borders.all;
      if (last->physical + (last->place.to - last->place.from) != extent.physical) ++borders.broken;
    }
    last = extent;
  });
}

void punch_zeros(int fd, ByteSpan span, Meter& meter) {
  std::vector<char> buffer(piece);
  const auto punch = [&](std::uint64_t at, std::uint64_t size) {
    constexpr int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (::fallocate(fd, mode, static_cast<off_t>(at), static_cast<off_t>(size)) != 0)
      throw system_error(meter.subject(), "cannot give back blocks of");
  };
  for_each_run(fd, span, meter.subject(), [&](ByteSpan run, bool is_hole) {
    if (is_hole) return meter.advance(run.to - run.from);
    for (std::uint64_t at = run.from; at < run.to;) {
      const std::uint64_t size = std::min(piece, run.to - at);
      read_exactly(fd, at, std::span(buffer).first(size), meter.subject());
      for (std::uint64_t part = 0; part < size; part += grain) {
        const std::uint64_t length = std::min(grain, size - part);
        if (is_zero({buffer.data() + part, length})) punch(at + part, length);
      }
      at += size;
      meter.advance(size);
    }
  });
}

}  // namespace virga::datastore
