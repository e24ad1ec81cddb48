// Whatever is written reads back, and whatever is read can be walked and written.
#include <cstdlib>

#include "base/error.h"
#include "wire/xml_reader.h"
#include "wire/xml_writer.h"

namespace {

using namespace virga::wire;

void copy(const XmlElement& element, XmlWriter& xml) {
  const std::string name(element.local_name());
  xml.start("e");
  xml.attribute("name", name);
  if (const auto type = element.attribute("type")) xml.attribute("type", *type);
  try {
    element.name();
    element.xsi_type();
    element.xsi_nil();
  } catch (const virga::Error&) {  // a prefix nobody declared
  }
  xml.text(element.text());
  for (const XmlElement& child : element.children()) copy(child, xml);
  xml.end("e");
}

void read(std::string text) {
  std::optional<XmlDocument> document;
  try {
    document = XmlDocument::parse(std::move(text));
  } catch (const virga::Error&) {
    return;
  }
  XmlWriter xml;
  copy(document->root(), xml);
  XmlDocument::parse(std::move(xml).take());  // throws when it is not well-formed
}

void write(std::string_view text) {
  XmlWriter xml(1);
  xml.start("a");
  xml.attribute("b", text);
  xml.text(text);
  xml.end("a");
  const XmlDocument document = XmlDocument::parse(std::move(xml).take());
  if (document.root().text() != document.root().attribute("b")) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read(std::string(text));
  write(text);
  return 0;
}
