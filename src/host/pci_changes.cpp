#include "host/pci_changes.h"

#include "base/error.h"

namespace virga::host {

PciChanges::Guard::Guard(std::set<std::string>& all, std::set<std::string> own)
    : all_(all), own_(std::move(own)) {
  all_.insert(own_.begin(), own_.end());
}

PciChanges::Guard::~Guard() {
  for (const std::string& address : own_) all_.erase(address);
}

PciChanges::Guard PciChanges::begin(std::set<std::string> addresses) {
  for (const std::string& address : addresses)
    if (contains(address))
      throw error(ErrorKind::busy, address, "{} is being changed already", address);
  return Guard(addresses_, std::move(addresses));
}

}  // namespace virga::host
