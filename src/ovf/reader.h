// Reading OVF descriptors, whoever wrote them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ovf/envelope.h"

namespace virga::ovf {

// What is wrong with a descriptor.
struct Issue {
  enum class Kind {
    xml,                  // `value`: what the XML reader said
    wrong_namespace,      // `value`: the root's
    missing_element,      // `element`
    missing_attribute,    // `attribute` of `element`
    invalid_element,      // the `value` of `element`
    invalid_attribute,    // the `value` of `attribute` of `element`
    dangling_reference,   // the same, which names nothing
    duplicate_element,    // `element`, by its id in `value`
    unsupported_section,  // `element`; `value`: its Info
  };

  Kind kind = Kind::xml;
  int line = 0;
  std::string element;
  std::string attribute;
  std::string value;
  bool is_error = true;  // else a warning
};

struct Reading {
  Envelope envelope;
  std::vector<Issue> issues;

  bool has_errors() const;
};

// Never throws for what the text says. `messages`: texts by the ids that ovf:msgid names, besides
// those of the descriptor itself.
Reading read(std::string_view descriptor, const std::map<std::string, std::string>& messages = {});

// "byte * 2^20" as 1048576; also MegaBytes and their like, as old writers have it. 0: no unit of
// bytes.
std::uint64_t parse_byte_units(std::string_view units);

}  // namespace virga::ovf
