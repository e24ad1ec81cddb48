#include "host/vm_device_kind.h"

namespace virga::host {

std::span<const DeviceKind* const> device_kinds() {
  static const DeviceKind* const kinds[] = {
      &usb_controllers(), &usb_devices(), &serial_ports(), &parallel_ports(),     &floppies(),
      &sound_cards(),     &watchdogs(),   &tpms(),         &passthrough_devices()};
  return kinds;
}

}  // namespace virga::host
