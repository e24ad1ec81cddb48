// Any bytes as a body: refused by a Fault, or read into what writes and reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/json.h"

using namespace virga::model;

namespace {

void check_text(const DataObject& object) {
  const std::string text = json_binding::write_object(object);
  if (json_binding::write_object(*json_binding::read_object(text)) != text) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const MethodInfo& reconfigure = *find_managed("VirtualMachine")->method("ReconfigVM_Task");
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    check_text(*json_binding::read_request(reconfigure, body));
  } catch (const Fault&) {
  }
  try {
    check_text(*json_binding::read_object(body));
  } catch (const Fault&) {
  }
  return 0;
}
