#include "vmx/vmxf_file.h"

#include <fmt/format.h>

#include "vmx/machine_config.h"

namespace virga::vmx {
namespace {

std::string escape_xml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else
      escaped += c;
  }
  return escaped;
}

}  // namespace

std::string make_vmxf(std::string_view instance_uuid, std::string_view config_file) {
  return fmt::format(
      "<?xml version=\"1.0\"?>\n"
      "<Foundry>\n"
      "<VM>\n"
      "<VMId type=\"string\">{}</VMId>\n"
      "<ClientMetaData>\n"
      "<clientMetaDataAttributes/>\n"
      "<HistoryEventList/></ClientMetaData>\n"
      "<vmxPathName type=\"string\">{}</vmxPathName></VM></Foundry>\n",
      vmx_uuid(instance_uuid), escape_xml(config_file));
}

}  // namespace virga::vmx
