#include "wire/xml_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "wire/utf8.h"

namespace virga::wire {
namespace {

// The bytes that are written as they are, in text and in attributes.
constexpr std::array<bool, 256> make_plain_bytes() {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<std::size_t>(c)] = true;
  for (const char c : {'&', '<', '>', '"'}) plain[static_cast<unsigned char>(c)] = false;
  return plain;
}
constexpr std::array<bool, 256> kPlain = make_plain_bytes();

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::size_t kLongestNumber = 32;

// How the character at the front of `rest` is written, and how many of its bytes that covers.
struct Written {
  std::string_view form;
  std::size_t consumed = 1;
};

Written written_form(std::string_view rest, bool in_attribute) {
  switch (rest.front()) {
    case '&':
      return {"&amp;"};
    case '<':
      return {"&lt;"};
    case '>':  // only "]]>" must not appear, but a constant answer is simpler
      return {"&gt;"};
    case '"':
      return {in_attribute ? "&quot;" : "\""};
    case '\r':  // a parser turns a bare one into a line feed
      return {"&#13;"};
    case '\n':
      return {in_attribute ? "&#10;" : "\n"};
    case '\t':
      return {in_attribute ? "&#9;" : "\t"};
  }
  const std::size_t length = xml_character_length(rest);
  if (length == 0) return {kReplacement};
  return {rest.substr(0, length), length};
}

}  // namespace

XmlWriter::XmlWriter(std::size_t expected_size) : buffer_(expected_size, '\0') {
  at_ = buffer_.data();
  end_ = at_ + buffer_.size();
}

void XmlWriter::grow(std::size_t bytes) {
  const std::size_t used = size();
  buffer_.resize(std::max(buffer_.size() * 2, used + bytes));
  at_ = buffer_.data() + used;
  end_ = buffer_.data() + buffer_.size();
}

void XmlWriter::declaration() {
  raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

void XmlWriter::attribute(std::string_view name, std::string_view value) {
  char* at = room(name.size() + 3);
  *at++ = ' ';
  at = put(at, name);
  *at++ = '=';
  *at++ = '"';
  at_ = at;
  escape(value, true);
  *room(1) = '"';
  ++at_;
}

void XmlWriter::end_empty() {
  tag_open_ = false;
  at_ = put(room(2), "/>");
}

void XmlWriter::escape(std::string_view value, bool in_attribute) {
  while (!value.empty()) {
    std::size_t run = 0;
    while (run < value.size() && kPlain[static_cast<unsigned char>(value[run])]) ++run;
    at_ = put(room(run), value.substr(0, run));
    value.remove_prefix(run);
    if (value.empty()) return;
    const Written next = written_form(value, in_attribute);
    at_ = put(room(next.form.size()), next.form);
    value.remove_prefix(next.consumed);
  }
}

void XmlWriter::integer(std::int64_t value) {
  finish_tag();
  char* at = room(kLongestNumber);
  at_ = std::to_chars(at, at + kLongestNumber, value).ptr;
}

void XmlWriter::unsigned_integer(std::uint64_t value) {
  finish_tag();
  char* at = room(kLongestNumber);
  at_ = std::to_chars(at, at + kLongestNumber, value).ptr;
}

template <class Real>
void XmlWriter::shortest(Real value) {
  if (std::isnan(value)) return raw("NaN");
  if (std::isinf(value)) return raw(value > 0 ? "INF" : "-INF");
  finish_tag();
  char* at = room(kLongestNumber);
  at_ = std::to_chars(at, at + kLongestNumber, value).ptr;
}

void XmlWriter::real(double value) {
  shortest(value);
}
void XmlWriter::real(float value) {
  shortest(value);
}

std::string XmlWriter::take() && {
  buffer_.resize(size());
  return std::move(buffer_);
}

}  // namespace virga::wire
