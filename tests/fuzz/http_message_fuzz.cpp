// A request or response that is taken says the same whether its bytes come at once or one after
// another. (What is malformed, or about as large as a head may be, may be refused in one case only:
// in pieces before its end is there, and at once before what follows it.)
#include <cstdlib>
#include <optional>

#include "wire/message_parser.h"

namespace {

using namespace virga::wire;

const HeadLimits limits{.bytes = 512, .fields = 8, .target = 64};

struct Message {
  std::string method, target;
  int status = 0;
  std::size_t fields = 0;
  std::string body;

  bool operator==(const Message&) const = default;
};

// Appends what `input` has of the body to it; returns the bytes consumed.
template <bool is_request>
std::size_t read_body(MessageParser<is_request>& parser, std::string_view input,
                      std::string& body) {
  char buffer[16];
  std::span<char> rest(buffer);
  const std::size_t consumed = parser.parse_body(input, rest);
  if (consumed > input.size() || rest.size() > sizeof buffer) std::abort();
  body.append(buffer, sizeof buffer - rest.size());
  return consumed;
}

// nullopt: it was refused, or is not whole. `step`: the bytes that come at a time.
template <bool is_request>
std::optional<Message> read(std::string_view bytes, std::size_t step) {
  MessageParser<is_request> parser(limits);
  Message message;
  std::size_t consumed = 0, come = 0;
  try {
    while (come < bytes.size() && !parser.is_done()) {
      come = std::min(come + step, bytes.size());
      for (bool progress = true; progress && consumed < come && !parser.is_done();) {
        const std::string_view input = bytes.substr(consumed, come - consumed);
        const std::size_t body_before = message.body.size();
        const std::size_t n = parser.is_header_done() ? read_body(parser, input, message.body)
                                                      : parser.parse_head(input);
        consumed += n;
        progress = n > 0 || message.body.size() > body_before;
      }
    }
  } catch (const HttpError&) {
    return std::nullopt;
  }
  const MessageHead& head = parser.head();
  if (head.target.size() > limits.target || head.headers.size() > limits.fields) std::abort();
  if (!parser.is_done()) return std::nullopt;
  message.method = head.method;
  message.target = head.target;
  message.status = head.status;
  message.fields = head.headers.size();
  return message;
}

template <bool is_request>
void check(std::string_view bytes) {
  const auto at_once = read<is_request>(bytes, bytes.size());
  const auto in_pieces = read<is_request>(bytes, 1);
  if (at_once && in_pieces && *at_once != *in_pieces) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check<true>(bytes);
  check<false>(bytes);
  return 0;
}
