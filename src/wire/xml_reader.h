// Reads XML that strangers send. A thin layer over pugixml that adds what a server needs: limits on
// size, depth and number of elements, no document type, no entities beyond the five of XML 1.0,
// valid UTF-8, one root, and namespaces resolved. Everything it refuses is
// Error(ErrorKind::invalid_argument) whose message says what, and where.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace virga::wire {

inline constexpr std::string_view kXsiNamespace = "http://www.w3.org/2001/XMLSchema-instance";
inline constexpr std::string_view kXsdNamespace = "http://www.w3.org/2001/XMLSchema";

// A name with its prefix resolved. Views into the document.
struct XmlName {
  std::string_view uri;  // empty: in no namespace
  std::string_view local;
  bool operator==(const XmlName&) const = default;
};

// One element of a document; a handle that is valid as long as the document.
class XmlElement {
 public:
  class Iterator;
  struct Range;

  XmlElement() = default;
  explicit XmlElement(pugi::xml_node node) : node_(node) {}
  explicit operator bool() const { return !node_.empty(); }
  bool operator==(const XmlElement&) const = default;

  XmlName name() const { return resolve(node_.name()); }
  std::string_view local_name() const;

  // The element's own character data, CDATA sections included, comments left out.
  std::string text() const;

  // An attribute in no namespace, or in `uri`; nullopt when absent.
  std::optional<std::string_view> attribute(std::string_view local) const;
  std::optional<std::string_view> attribute(std::string_view uri, std::string_view local) const;

  // The meaning of a QName ("prefix:local" or "local", which takes the default namespace) at this
  // element. A prefix nobody declared is refused.
  XmlName resolve(std::string_view qname) const;
  // The value of xsi:type, resolved; nullopt when absent.
  std::optional<XmlName> xsi_type() const;
  // xsi:nil="true"
  bool xsi_nil() const;

  // Child elements; a null handle where there is none.
  XmlElement first_child() const { return next_element(node_.first_child()); }
  XmlElement next_sibling() const { return next_element(node_.next_sibling()); }
  XmlElement child(std::string_view local) const;  // first of that local name, any namespace
  Range children() const;

  // Where it begins in the document, in bytes.
  std::size_t offset() const { return static_cast<std::size_t>(node_.offset_debug()); }

  // Throws an error about this element: `message` with the element's name and place.
  [[noreturn]] void refuse(const std::string& message) const;

 private:
  static XmlElement next_element(pugi::xml_node node);

  pugi::xml_node node_;
};

class XmlElement::Iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = XmlElement;
  using difference_type = std::ptrdiff_t;
  using pointer = const XmlElement*;
  using reference = const XmlElement&;

  Iterator() = default;
  explicit Iterator(XmlElement at) : at_(at) {}
  reference operator*() const { return at_; }
  pointer operator->() const { return &at_; }
  Iterator& operator++() {
    at_ = at_.next_sibling();
    return *this;
  }
  Iterator operator++(int) {
    Iterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Iterator&) const = default;

 private:
  XmlElement at_;
};

struct XmlElement::Range {
  Iterator first;
  Iterator begin() const { return first; }
  Iterator end() const { return {}; }
};

inline XmlElement::Range XmlElement::children() const {
  return {Iterator(first_child())};
}

struct XmlLimits {
  std::size_t bytes = 16 << 20;
  std::size_t elements = 1'000'000;
  std::size_t depth = 100;  // the root is at depth 1
};

// A parsed document. It owns its text (parsed in place); movable, elements stay valid.
class XmlDocument {
 public:
  static XmlDocument parse(std::string text, const XmlLimits& limits = {});
  XmlDocument(XmlDocument&&) noexcept;
  XmlDocument& operator=(XmlDocument&&) noexcept;
  ~XmlDocument();

  XmlElement root() const;

 private:
  struct Content;
  explicit XmlDocument(std::unique_ptr<Content> content);

  std::unique_ptr<Content> content_;
};

}  // namespace virga::wire
