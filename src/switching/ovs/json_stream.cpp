#include "switching/ovs/json_stream.h"

#include "base/error.h"

namespace virga::switching::ovs {

std::vector<json::value> JsonStream::feed(std::string_view bytes) {
  std::vector<json::value> values;
  while (!bytes.empty()) {
    boost::system::error_code code;
    const std::size_t used = parser_.write_some(bytes.data(), bytes.size(), code);
    length_ += used;
    if (code) throw error(ErrorKind::damaged, "OVSDB", "OVSDB sent no JSON: {}", code.message());
    if (length_ > limit_)
      throw error(ErrorKind::damaged, "OVSDB", "OVSDB sent a message over {} bytes", limit_);
    bytes.remove_prefix(used);
    if (!parser_.done()) continue;
    values.push_back(parser_.release());
    parser_.reset();
    length_ = 0;
  }
  return values;
}

}  // namespace virga::switching::ovs
