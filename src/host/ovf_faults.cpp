#include "host/ovf_faults.h"

#include <fmt/format.h>

namespace virga::host {
namespace {

using Kind = ovf::Issue::Kind;

// "Line 12: …"; what has no line is said of the whole.
std::string at_line(const ovf::Issue& issue, const std::string& text) {
  return issue.line > 0 ? fmt::format("Line {}: {}", issue.line, text) : text;
}

template <class Detail>
model::Fault of_package(const ovf::Issue& issue, Detail detail, const std::string& text) {
  detail.lineNumber = issue.line;
  return model::Fault(std::move(detail), at_line(issue, text));
}

template <class Detail>
model::Fault of_element(const ovf::Issue& issue, Detail detail, const std::string& text) {
  detail.name = issue.element;
  return of_package(issue, std::move(detail), text);
}

template <class Detail>
model::Fault of_attribute(const ovf::Issue& issue, Detail detail, const std::string& text) {
  detail.elementName = issue.element;
  detail.attributeName = issue.attribute;
  return of_package(issue, std::move(detail), text);
}

model::Fault fault_of(const ovf::Issue& it) {
  switch (it.kind) {
    case Kind::xml: {
      vim::OvfXmlFormat detail;
      detail.description = it.value;
      return of_package(it, std::move(detail), "The descriptor cannot be read: " + it.value);
    }
    case Kind::wrong_namespace: {
      vim::OvfWrongNamespace detail;
      detail.namespaceName = it.value;
      return of_package(it, std::move(detail),
                        fmt::format("'{}' is no namespace of OVF.", it.value));
    }
    case Kind::missing_element:
      return of_element(it, vim::OvfMissingElement{},
                        fmt::format("The element {} is missing.", it.element));
    case Kind::missing_attribute:
      return of_attribute(it, vim::OvfMissingAttribute{},
                          fmt::format("{} lacks its attribute {}.", it.element, it.attribute));
    case Kind::invalid_element: {
      vim::OvfElementInvalidValue detail;
      detail.value = it.value;
      return of_element(it, std::move(detail),
                        fmt::format("'{}' makes no sense in {}.", it.value, it.element));
    }
    case Kind::invalid_attribute: {
      vim::OvfInvalidValueFormatMalformed detail;
      detail.value = it.value;
      return of_attribute(
          it, std::move(detail),
          fmt::format("'{}' makes no sense in {} of {}.", it.value, it.attribute, it.element));
    }
    case Kind::dangling_reference: {
      vim::OvfInvalidValueReference detail;
      detail.value = it.value;
      return of_attribute(it, std::move(detail),
                          fmt::format("{} of {} names '{}', which is not there.", it.attribute,
                                      it.element, it.value));
    }
    case Kind::duplicate_element:
      return of_element(it, vim::OvfDuplicateElement{},
                        fmt::format("There are several {} called '{}'.", it.element, it.value));
    case Kind::unsupported_section:
      break;
  }
  vim::OvfUnsupportedSection detail;
  detail.name = it.element;
  detail.info = it.value;
  detail.lineNumber = it.line;
  return model::Fault(
      std::move(detail),
      at_line(it, fmt::format("The section {} ({}) is not served.", it.element, it.value)));
}

}  // namespace

void OvfFindings::add(bool is_error, const model::Fault& fault) {
  vim::LocalizedMethodFault found;
  found.fault = model::Ptr<vim::MethodFault>(fault.detail());
  found.localizedMessage = fault.message();
  (is_error ? errors : warnings).push_back(std::move(found));
}

OvfFindings findings_of(const ovf::Reading& reading) {
  OvfFindings findings;
  for (const ovf::Issue& issue : reading.issues) findings.add(issue.is_error, fault_of(issue));
  return findings;
}

}  // namespace virga::host
