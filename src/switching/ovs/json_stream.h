// OVSDB's JSON-RPC has no framing: one JSON value follows the other (RFC 7047, 4). This cuts the
// stream into values. Pure.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace virga::switching::ovs {

class JsonStream {
 public:
  // A value of more than `limit` bytes is refused.
  explicit JsonStream(std::size_t limit = 64 << 20) : limit_(limit) {}

  // The values that `bytes` completes, in order. Throws damaged where the stream is no JSON or a
  // value is too long; the stream is of no use after that.
  std::vector<json::value> feed(std::string_view bytes);

 private:
  std::size_t limit_;
  std::size_t length_ = 0;  // of the value under way
  json::stream_parser parser_;
};

}  // namespace virga::switching::ovs
