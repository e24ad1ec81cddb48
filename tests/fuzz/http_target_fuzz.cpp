// A target that is accepted has a path of plain segments; a range lies within its content.
#include <cstdlib>
#include <cstring>

#include "wire/compression.h"
#include "wire/http_message.h"

namespace {

using namespace virga::wire;

void check_target(std::string_view text) {
  const auto target = parse_target(text);
  if (!target) return;
  const std::string& path = target->path;
  if (!path.starts_with('/') || path.find('\0') != path.npos) std::abort();
  if (path.find("//") != path.npos) std::abort();
  const std::string framed = path + "/";
  if (framed.find("/../") != framed.npos || framed.find("/./") != framed.npos) std::abort();
  for (const auto& [name, value] : target->query)
    if (percent_decode(percent_encode(value)) != value) std::abort();
}

void check_range(std::string_view text) {
  std::uint64_t size = 0;
  std::memcpy(&size, text.data(), std::min(text.size(), sizeof size));
  const RangeRequest request = parse_range(text, size);
  if (request.kind != RangeRequest::Kind::part) return;
  const ByteRange& range = request.range;
  if (range.length == 0 || range.offset >= size || range.length > size - range.offset) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_target(text);
  check_range(text);
  check_range("bytes=" + std::string(text));
  accepts_gzip(text);
  return 0;
}
