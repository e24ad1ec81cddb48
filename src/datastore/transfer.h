// Internal to the module: moving bytes, with holes, progress and a way to stop.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "datastore/datastore.h"

namespace virga::datastore {

// Counts an operation's bytes, reports them, and stops it between two pieces of work.
class Meter {
 public:
  Meter(const Progress& progress, std::stop_token stop, std::string subject, std::uint64_t total)
      : progress_(progress), stop_(std::move(stop)), subject_(std::move(subject)), total_(total) {}

  // Throws ErrorKind::cancelled once a stop was requested.
  void advance(std::uint64_t bytes);
  const std::string& subject() const { return subject_; }

 private:
  const Progress& progress_;
  std::stop_token stop_;
  std::string subject_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
};

struct ByteSpan {
  std::uint64_t from = 0;
  std::uint64_t to = 0;  // the byte after the last
};

// What a copy does where the source reads as zeros.
enum class Zeros {
  keep_holes,  // a hole stays a hole, written zeros stay written
  leave_out,   // holes, and written zeros too, become holes
  write,       // zeros are written for holes
};

// Up to buffer.size() bytes from `from`; fewer only where the file ends.
std::size_t read_some(int fd, std::uint64_t from, std::span<char> buffer,
                      const std::string& subject);
// A file that ends before is an error: it changed under our hands.
void read_exactly(int fd, std::uint64_t from, std::span<char> buffer, const std::string& subject);
// Up to `size` bytes from `from`; fewer only where the file ends.
std::string read_text(int fd, std::uint64_t from, std::uint64_t size, const std::string& subject);

// The first byte of `span` that is in no hole; span.to when all of it is one.
std::uint64_t find_data(int fd, ByteSpan span, const std::string& subject);

bool is_zero(std::string_view bytes);

void write_at(int fd, std::uint64_t at, std::string_view data, const std::string& subject);

// Copies `span` of `from` to `at` in `to`, and advances the meter by its length.
void copy_bytes(int from, ByteSpan span, int to, std::uint64_t at, Zeros zeros, Meter& meter);

// What copy_bytes() does with a piece of data at hand, and with a hole that is to lie at `span`.
void write_data(int to, std::uint64_t at, std::string_view data, Zeros zeros, Meter& meter);
void copy_hole(ByteSpan span, int to, Zeros zeros, Meter& meter);

// As copy_bytes() for a whole file into a new one, shared by the file system where it can.
void copy_file(int from, std::uint64_t size, int to, Meter& meter);

// Writes zeros, which take blocks.
void write_zeros(int fd, ByteSpan span, Meter& meter);

// Takes blocks that read as zeros; false where the file system has no way to.
bool allocate(int fd, ByteSpan span, const std::string& subject);

// Calls `take` with every part of `span`, in order, that was never written, whether it has blocks
// or not. Nobody may write to the file meanwhile.
void for_each_hole(int fd, ByteSpan span, const std::string& subject,
                   const std::function<void(ByteSpan)>& take);
// There is no such part, as far as the file system has written everything out.
bool is_written_throughout(int fd, ByteSpan span, const std::string& subject);

// Between a file's blocks of data, in their order: how many borders there are, and across how many
// of them the next block does not follow on the file system.
struct BlockBorders {
  std::uint64_t all = 0;
  std::uint64_t broken = 0;
};
// Adds a file's; nothing where the file system does not tell where blocks are.
void count_borders(int fd, BlockBorders& borders);

// Gives back the blocks of `span` that hold only zeros; advances the meter by its length.
void punch_zeros(int fd, ByteSpan span, Meter& meter);

}  // namespace virga::datastore
