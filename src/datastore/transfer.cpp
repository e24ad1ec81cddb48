#include "datastore/transfer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t piece = 1 << 20;          // bytes of one read or write
constexpr std::uint64_t kernel_piece = 16 << 20;  // of one copy inside the kernel
constexpr std::uint64_t grain = 64 << 10;         // the least run of zeros worth a hole

bool is_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

void write_at(int fd, std::string_view data, std::uint64_t at, const std::string& subject) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(subject, "cannot write");
    data.remove_prefix(static_cast<std::size_t>(n));
    at += static_cast<std::uint64_t>(n);
  }
}

// Exactly `size` bytes: a file that ends early changed under our hands.
void read_at(int fd, char* data, std::uint64_t size, std::uint64_t at, const std::string& subject) {
  while (size > 0) {
    const ssize_t n = ::pread(fd, data, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(subject, "cannot read");
    if (n == 0) throw error(ErrorKind::io, subject, "{} became shorter meanwhile", subject);
    data += n;
    size -= static_cast<std::uint64_t>(n);
    at += static_cast<std::uint64_t>(n);
  }
}

// Lets the disk begin now, so that the sync at the end has little left to wait for.
void start_writing(int fd, std::uint64_t at, std::uint64_t size) {
  ::sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(size), SYNC_FILE_RANGE_WRITE);
}

// Calls `take(span, is_hole)` for the runs of `span`. A file system that knows no holes has one
// run.
template <class Take>
void for_each_run(int fd, ByteSpan span, const std::string& subject, Take take) {
  const auto next = [&](std::uint64_t at, int what) {
    const off_t found = ::lseek(fd, static_cast<off_t>(at), what);
    if (found < 0 && errno != ENXIO) throw system_error(subject, "cannot find the holes of");
    return found < 0 ? span.to : std::min(static_cast<std::uint64_t>(found), span.to);
  };
  for (std::uint64_t at = span.from; at < span.to;) {
    const std::uint64_t data = next(at, SEEK_DATA);
    if (data > at) take(ByteSpan{at, data}, true);
    if (data == span.to) return;
    at = next(data, SEEK_HOLE);
    take(ByteSpan{data, at}, false);
  }
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

void copy_data(int from, ByteSpan span, int to, std::uint64_t at, bool leave_out_zeros,
               Meter& meter) {
  if (!leave_out_zeros && copy_in_kernel(from, span, to, at, meter)) return;
  std::vector<char> buffer(std::min(piece, span.to - span.from));
  for (std::uint64_t source = span.from; source < span.to;) {
    const std::uint64_t size = std::min(piece, span.to - source);
    read_at(from, buffer.data(), size, source, meter.subject());
    for (std::uint64_t part = 0; part < size; part += grain) {
      const std::string_view bytes(buffer.data() + part, std::min(grain, size - part));
      if (leave_out_zeros && is_zero(bytes)) continue;
      write_at(to, bytes, at + (source - span.from) + part, meter.subject());
    }
    start_writing(to, at + (source - span.from), size);
    source += size;
    meter.advance(size);
  }
}

}  // namespace

void Meter::advance(std::uint64_t bytes) {
  done_ += bytes;
  if (progress_) progress_(done_, std::max(done_, total_));
  check_stop(stop_, subject_);
}

std::string read_text(int fd, std::uint64_t from, std::uint64_t size, const std::string& subject) {
  std::string text;
  while (text.size() < size) {
    const std::size_t done = text.size();
    text.resize(done + std::min<std::uint64_t>(piece, size - done));
    const ssize_t n =
        ::pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(from + done));
    text.resize(done + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0 && errno != EINTR) throw system_error(subject, "cannot read");
    if (n == 0) break;
  }
  return text;
}

void copy_bytes(int from, ByteSpan span, int to, std::uint64_t at, Zeros zeros, Meter& meter) {
  for_each_run(from, span, meter.subject(), [&](ByteSpan run, bool is_hole) {
    const std::uint64_t target = at + (run.from - span.from);
    if (!is_hole)
      copy_data(from, run, to, target, zeros == Zeros::leave_out, meter);
    else if (zeros == Zeros::write)
      write_zeros(to, {target, target + (run.to - run.from)}, meter);
    else
      meter.advance(run.to - run.from);
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
    write_at(fd, {zeros.data(), size}, at, meter.subject());
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
  for_each_run(fd, span, subject, [&](ByteSpan run, bool is_hole) {
    if (is_hole) take(run);
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
      read_at(fd, buffer.data(), size, at, meter.subject());
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
