#include "wire/xml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "wire/utf8.h"

namespace virga::wire {

struct XmlDocument::Content {
  std::string text;  // pugixml parses in place: its nodes point into this
  pugi::xml_document tree;
};

namespace {

// "line 3, byte 120": lines and bytes count from 1.
std::string position(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(offset), '\n');
  return fmt::format("line {}, byte {}", line, offset + 1);
}

[[noreturn]] void refuse_at(std::string_view text, std::size_t offset, std::string_view what) {
  throw error(ErrorKind::invalid_argument, "XML", "XML at {}: {}", position(text, offset), what);
}

bool is_xml_code_point(std::uint32_t code) {
  return code == 0x9 || code == 0xA || code == 0xD || (code >= 0x20 && code < 0xD800) ||
         (code >= 0xE000 && code < 0xFFFE) || (code >= 0x10000 && code < 0x110000);
}

// Whether `name` (between '&' and ';') is one of the five entities or a character XML 1.0 allows.
bool is_known_reference(std::string_view name) {
  for (const std::string_view known : {"amp", "lt", "gt", "quot", "apos"})
    if (name == known) return true;
  if (name.size() < 2 || name.front() != '#') return false;
  const bool hexadecimal = name[1] == 'x';
  const std::string_view digits = name.substr(hexadecimal ? 2 : 1);
  std::uint32_t code = 0;
  const auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, hexadecimal ? 16 : 10);
  return failure == std::errc() && end == digits.data() + digits.size() && is_xml_code_point(code);
}

// Goes over the text before pugixml does, for what pugixml lets pass: markup that has no place in a
// message, references it would leave unread, characters that are none, and too many elements.
class Inspection {
 public:
  Inspection(std::string_view text, const XmlLimits& limits) : text_(text), limits_(limits) {}

  void run() {
    require_characters();
    for (std::size_t at = 0; (at = text_.find_first_of("<&", at)) != text_.npos;)
      at = text_[at] == '<' ? markup(at) : reference(at);
  }

 private:
  void require_characters() const {
    for (std::size_t at = 0; at < text_.size();) {
      const std::size_t length = xml_character_length(text_.substr(at));
      if (length == 0) refuse_at(text_, at, "not a character in UTF-8 that XML 1.0 allows");
      at += length;
    }
  }

  std::size_t markup(std::size_t at) {
    const std::string_view rest = text_.substr(at);
    if (rest.starts_with("<!--")) return after(at, "-->", "unfinished comment");
    if (rest.starts_with("<![CDATA[")) return after(at, "]]>", "unfinished CDATA section");
    if (rest.starts_with("<?")) return after(at, "?>", "unfinished processing instruction");
    if (rest.starts_with("<!")) refuse_at(text_, at, "a document type is not accepted");
    if (!rest.starts_with("</") && ++elements_ > limits_.elements)
      refuse_at(text_, at, fmt::format("more than {} elements", limits_.elements));
    return at + 1;
  }

  std::size_t reference(std::size_t at) const {
    constexpr std::size_t kLongest = 12;
    const std::string_view rest = text_.substr(at + 1, kLongest);
    const std::size_t end = rest.find(';');
    if (end == rest.npos || !is_known_reference(rest.substr(0, end)))
      refuse_at(text_, at, "an entity that is not one of XML's own");
    return at + 1 + end;
  }

  std::size_t after(std::size_t at, std::string_view terminator, std::string_view complaint) const {
    const std::size_t end = text_.find(terminator, at);
    if (end == text_.npos) refuse_at(text_, at, complaint);
    return end + terminator.size();
  }

  std::string_view text_;
  const XmlLimits& limits_;
  std::size_t elements_ = 0;
};

void require_depth(const pugi::xml_document& tree, std::size_t limit) {
  std::size_t depth = 1;  // of `node`
  for (pugi::xml_node node = tree.first_child(); node;) {
    if (depth > limit && node.type() == pugi::node_element)
      XmlElement(node).refuse(fmt::format("elements are nested deeper than {}", limit));
    if (node.first_child()) {
      node = node.first_child();
      ++depth;
      continue;
    }
    while (node && !node.next_sibling()) {
      node = node.parent();
      --depth;
    }
    node = node.next_sibling();
  }
}

bool is_text(const pugi::xml_node& node) {
  return node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata;
}

void require_one_root(const pugi::xml_document& tree, std::string_view text) {
  int roots = 0;
  for (const pugi::xml_node node : tree.children()) {
    if (node.type() == pugi::node_element) ++roots;
    if (is_text(node)) refuse_at(text, 0, "character data outside the root element");
  }
  if (roots != 1) refuse_at(text, 0, "there must be one root element");
}

// Whether `attribute` is the declaration of `prefix` (the default namespace when empty).
bool declares(std::string_view attribute, std::string_view prefix) {
  constexpr std::string_view kXmlns = "xmlns";
  if (!attribute.starts_with(kXmlns)) return false;
  attribute.remove_prefix(kXmlns.size());
  if (prefix.empty()) return attribute.empty();
  return attribute.starts_with(':') && attribute.substr(1) == prefix;
}

std::optional<std::string_view> find_namespace(pugi::xml_node node, std::string_view prefix) {
  if (prefix == "xml") return "http://www.w3.org/XML/1998/namespace";
  for (; node; node = node.parent())
    for (const pugi::xml_attribute attribute : node.attributes())
      if (declares(attribute.name(), prefix)) return attribute.value();
  return prefix.empty() ? std::optional<std::string_view>("") : std::nullopt;
}

// "prefix:local" as its two parts; the prefix is empty when there is none.
XmlName split(std::string_view qname) {
  const std::size_t colon = qname.find(':');
  if (colon == qname.npos) return {{}, qname};
  return {qname.substr(0, colon), qname.substr(colon + 1)};
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

XmlDocument XmlDocument::parse(std::string text, const XmlLimits& limits) {
  if (text.size() > limits.bytes)
    throw error(ErrorKind::invalid_argument, "XML", "XML of {} bytes is over the limit of {}",
                text.size(), limits.bytes);
  Inspection(text, limits).run();

  auto content = std::make_unique<Content>();
  content->text = std::move(text);
  // Fragments are allowed only so that what stands outside the root is seen, and refused.
  constexpr unsigned kOptions =
      pugi::parse_default | pugi::parse_ws_pcdata_single | pugi::parse_fragment;
  const pugi::xml_parse_result result = content->tree.load_buffer_inplace(
      content->text.data(), content->text.size(), kOptions, pugi::encoding_utf8);
  if (!result)
    refuse_at(content->text, static_cast<std::size_t>(result.offset), result.description());
  require_one_root(content->tree, content->text);
  require_depth(content->tree, limits.depth);
  return XmlDocument(std::move(content));
}

XmlDocument::XmlDocument(std::unique_ptr<Content> content) : content_(std::move(content)) {}
XmlDocument::XmlDocument(XmlDocument&&) noexcept = default;
XmlDocument& XmlDocument::operator=(XmlDocument&&) noexcept = default;
XmlDocument::~XmlDocument() = default;

XmlElement XmlDocument::root() const {
  return XmlElement(content_->tree.document_element());
}

std::string_view XmlElement::local_name() const {
  return split(node_.name()).local;
}

std::string XmlElement::text() const {
  std::string text;
  for (const pugi::xml_node child : node_.children())
    if (is_text(child)) text += child.value();
  return text;
}

std::optional<std::string_view> XmlElement::attribute(std::string_view local) const {
  for (const pugi::xml_attribute attribute : node_.attributes())
    if (attribute.name() == local) return attribute.value();
  return std::nullopt;
}

std::optional<std::string_view> XmlElement::attribute(std::string_view uri,
                                                      std::string_view local) const {
  for (const pugi::xml_attribute attribute : node_.attributes()) {
    const XmlName name = split(attribute.name());
    if (name.local != local || name.uri.empty()) continue;
    if (find_namespace(node_, name.uri) == uri) return attribute.value();
  }
  return std::nullopt;
}

XmlName XmlElement::resolve(std::string_view qname) const {
  const XmlName parts = split(trim(qname));
  const auto uri = find_namespace(node_, parts.uri);
  if (!uri) refuse(fmt::format("the namespace prefix {} is not declared", parts.uri));
  return {*uri, parts.local};
}

std::optional<XmlName> XmlElement::xsi_type() const {
  const auto type = attribute(kXsiNamespace, "type");
  if (!type) return std::nullopt;
  return resolve(*type);
}

bool XmlElement::xsi_nil() const {
  const auto nil = attribute(kXsiNamespace, "nil");
  return nil == "true" || nil == "1";
}

XmlElement XmlElement::next_element(pugi::xml_node node) {
  while (node && node.type() != pugi::node_element) node = node.next_sibling();
  return XmlElement(node);
}

XmlElement XmlElement::child(std::string_view local) const {
  for (const XmlElement& element : children())
    if (element.local_name() == local) return element;
  return {};
}

void XmlElement::refuse(const std::string& message) const {
  throw error(ErrorKind::invalid_argument, node_.name(), "XML element {} at byte {}: {}",
              node_.name(), node_.offset_debug() + 1, message);
}

}  // namespace virga::wire
