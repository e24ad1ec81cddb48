// Reading a stream-optimized extent (sparse_extent.h) as it comes, from its first byte to its last:
// the memory this takes is that of a grain.
//
// What cannot be is ErrorKind::damaged, an extent that is not stream-optimized
// ErrorKind::unsupported; both name `name`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/sparse_extent.h"

namespace virga::vmx {

class StreamOptimizedParser {
 public:
  // Takes what the disk holds from that byte on: a grain, up to the capacity.
  using Take = std::function<void(std::uint64_t offset, std::span<const char> bytes)>;

  StreamOptimizedParser(std::string name, Take take);

  // The extent's next bytes, in pieces of any size. What follows its end is nobody's.
  void feed(std::string_view bytes);

  // Known once the first sector has come.
  const std::optional<SparseHeader>& header() const { return header_; }
  // The mark of the end has come.
  bool is_whole() const { return next_ == Next::nothing; }

 private:
  enum class Next { header, marker, grain, nothing };

  [[noreturn]] void refuse(std::string_view what) const;
  void take_unit(std::string_view unit);
  void begin(std::string_view sector);
  void take_marker(std::string_view sector);
  void take_grain(std::string_view sectors);
  void expect(Next next, std::uint64_t bytes);

  std::string name_;
  Take take_;
  std::optional<SparseHeader> header_;
  GrainInflater inflater_;
  Next next_ = Next::header;
  std::uint64_t skip_ = 0;   // bytes that say nothing new: descriptor, tables, directory, footer
  std::uint64_t needed_;     // bytes of what is next
  std::string begun_;        // of it, as far as it has come
  std::vector<char> grain_;  // inflated
};

}  // namespace virga::vmx
