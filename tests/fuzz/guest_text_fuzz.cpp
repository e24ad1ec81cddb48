// What scripts in a Linux guest print: any bytes. Whatever is taken from them holds what the API can
// tell.
#include <cstdlib>
#include <string_view>

#include "hypervisor/guest/account.h"
#include "hypervisor/guest/files.h"
#include "hypervisor/guest/processes.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace virga::hypervisor;
  const std::string_view output(reinterpret_cast<const char*>(data), size);
  if (const auto account = parse_account("ann", output)) {
    if (account->name != "ann" || account->password.find(':') != std::string::npos) std::abort();
  }
  for (const GuestProcess& process : parse_process_list(output))
    if (process.start.time_since_epoch().count() < INT32_MIN) std::abort();
  for (const GuestFile& file : parse_file_list(output))
    if (file.name.empty() || file.permissions > 07777) std::abort();
  return 0;
}
