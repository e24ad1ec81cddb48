// Any bytes as a request: refused by a Fault, or read into what writes and reads back the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/soap.h"

using namespace virga::model;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr Version kNewest{{255, 255, 255, 255}};
  const std::string_view envelope(reinterpret_cast<const char*>(data), size);
  soap::Request request;
  try {
    request = soap::read_request(envelope);
  } catch (const Fault&) {
    return 0;
  }
  const std::string text =
      soap::write_request(*request.method, request.object, *request.parameters, kNewest);
  const soap::Request again = soap::read_request(text);
  if (again.method != request.method || again.object != request.object) std::abort();
  if (soap::write_request(*again.method, again.object, *again.parameters, kNewest) != text) {
    std::abort();
  }
  return 0;
}
