// Writes XML by appending to one buffer: no tree, no stack, no virtual call. Made for answers of
// tens of megabytes; what it writes is always well-formed text (UTF-8, XML 1.0), whatever bytes a
// name in a datastore or a guest's own words hold. Balance of start() and end() is the caller's.
//
//   XmlWriter xml;
//   xml.start("val");
//   xml.attribute("xsi:type", "xsd:string");
//   xml.text(name);
//   xml.end("val");
//   std::string document = std::move(xml).take();
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace virga::wire {

class XmlWriter {
 public:
  explicit XmlWriter(std::size_t expected_size = 1024);
  XmlWriter(const XmlWriter&) = delete;
  XmlWriter& operator=(const XmlWriter&) = delete;

  // <?xml version="1.0" encoding="UTF-8"?>
  void declaration();

  // Names are written as they are given: they come from the schema, never from a user.
  void start(std::string_view name) {
    finish_tag();
    char* at = room(name.size() + 1);
    *at++ = '<';
    at_ = put(at, name);
    tag_open_ = true;
  }
  // Only between start() and whatever follows it.
  void attribute(std::string_view name, std::string_view value);
  void end(std::string_view name) {
    if (tag_open_) return end_empty();
    char* at = room(name.size() + 3);
    *at++ = '<';
    *at++ = '/';
    at = put(at, name);
    *at++ = '>';
    at_ = at;
  }

  // Character data. Markup is escaped; a byte that is no UTF-8 and a character XML 1.0 forbids
  // (most controls) become U+FFFD.
  void text(std::string_view value) {
    finish_tag();
    escape(value, false);
  }
  // The lexical forms of XML Schema: decimal integers, true/false, INF, -INF, NaN and the shortest
  // decimal that reads back as the same number.
  void integer(std::int64_t value);
  void unsigned_integer(std::uint64_t value);
  void real(double value);
  void real(float value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  // Text known to need no escaping: schema constants, dates, base64, or ready-made XML.
  void raw(std::string_view value) {
    finish_tag();
    at_ = put(room(value.size()), value);
  }

  // <name>text</name>
  void element(std::string_view name, std::string_view value) {
    start(name);
    text(value);
    end(name);
  }

  // Bytes written so far.
  std::size_t size() const { return static_cast<std::size_t>(at_ - buffer_.data()); }
  std::string take() &&;

 private:
  static char* put(char* at, std::string_view value) {
    std::memcpy(at, value.data(), value.size());
    return at + value.size();
  }
  char* room(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - at_) < bytes) grow(bytes);
    return at_;
  }
  void finish_tag() {
    if (!tag_open_) return;
    tag_open_ = false;
    *room(1) = '>';
    ++at_;
  }
  void end_empty();
  template <class Real>
  void shortest(Real value);
  void grow(std::size_t bytes);
  void escape(std::string_view value, bool in_attribute);

  std::string buffer_;  // sized ahead of what is written; take() cuts it
  char* at_;
  char* end_;
  bool tag_open_ = false;
};

}  // namespace virga::wire
