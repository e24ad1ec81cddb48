// The guest decides what its agent answers: what is made of it stays within bounds.
#include <cstdlib>

#include "hypervisor/qemu/guest_agent.h"

namespace {

using namespace virga::hypervisor;

constexpr std::size_t list_limit = 256, text_limit = 1024;

void require(bool bounded) {
  if (!bounded) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  boost::system::error_code code;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reply = virga::json::parse(text, code);
  if (code) return 0;
  const GuestInfo info = parse_guest_info(reply, reply, reply, reply, reply);
  require(info.host_name.size() <= text_limit && info.os.pretty_name.size() <= text_limit);
  require(info.nics.size() <= list_limit && info.filesystems.size() <= list_limit);
  for (const GuestNic& nic : info.nics)
    require(nic.mac.size() <= text_limit && nic.addresses.size() <= list_limit);
  return 0;
}
