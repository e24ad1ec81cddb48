#include "hypervisor/hypervisor.h"

#include <fmt/format.h>

#include <cstring>

namespace virga::hypervisor {
namespace {

std::string headline(const Exit& exit) {
  switch (exit.cause) {
    case Exit::Cause::powered_off:
      return "powered off";
    case Exit::Cause::guest_shut_down:
      return "shut down by the guest";
    case Exit::Cause::saved:
      return "suspended";
    case Exit::Cause::killed:
      return fmt::format("killed by signal {} ({})", exit.code, ::strsignal(exit.code));
    case Exit::Cause::failed:
      return fmt::format("failed with exit status {}", exit.code);
    case Exit::Cause::interrupted_start:
      return "its start was interrupted";
    case Exit::Cause::unknown:
      return "ended while nobody watched";
  }
  return "ended";
}

}  // namespace

std::string describe(const Exit& exit) {
  return exit.detail.empty() ? headline(exit) : headline(exit) + ": " + exit.detail;
}

}  // namespace virga::hypervisor
