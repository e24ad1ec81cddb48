// The names both halves of the SOAP binding use.
#pragma once

#include <string_view>

namespace virga::model::soap {

inline constexpr std::string_view kNamespace = "urn:vim25";
inline constexpr std::string_view kEnvelopeNamespace = "http://schemas.xmlsoap.org/soap/envelope/";
inline constexpr std::string_view kEncodingNamespace = "http://schemas.xmlsoap.org/soap/encoding/";

// "int" of "xsd:int". No name of vim25 is also one of XML Schema, so that the prefix says nothing
// more; and some clients use one they never declared.
constexpr std::string_view local_name(std::string_view qname) {
  return qname.substr(qname.rfind(':') + 1);
}

}  // namespace virga::model::soap
