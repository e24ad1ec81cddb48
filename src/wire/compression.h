// gzip and zlib, as HTTP's content codings "gzip" and "deflate".
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "wire/http_message.h"

namespace virga::wire {

// `level` from 1 (fast) to 9 (small).
std::string gzip(std::string_view data, int level);

// Whether a body of this type gains from compression.
bool is_compressible(std::string_view content_type);

// Whether a content coding's name is one of gzip's two.
bool is_gzip(std::string_view coding);

// Whether Accept-Encoding's value allows gzip (RFC 9110, section 12.5.3).
bool accepts_gzip(std::string_view accept_encoding);

// Decompresses what `source` (which must outlive it) yields; which of the two formats it is, the
// data says. Throws HttpError(400) when it is neither, or is cut off.
class InflatingSource : public ByteSource {
 public:
  explicit InflatingSource(ByteSource& source);
  ~InflatingSource() override;
  Async<std::size_t> read(std::span<char> buffer) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads `source` to its end; `expected` is a guess at its size, to save memory. Throws
// HttpError(413) when there are more than `limit` bytes.
Async<std::string> read_all(ByteSource& source, std::uint64_t limit, std::uint64_t expected);

}  // namespace virga::wire
