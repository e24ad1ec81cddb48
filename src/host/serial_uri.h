// Where a serial port on the network is, as VirtualSerialPortURIBackingInfo.serviceURI says it:
// "telnet://:2001", "tcp://192.0.2.7:5000". Pure.
#pragma once

#include <string>

#include "hypervisor/machine_spec.h"

namespace virga::host {

// Throws Error: unsupported for a scheme that is VMware's and not served here (those with TLS),
// invalid_argument for what is no such URI; a client's names a host.
hypervisor::NetworkLine parse_serial_uri(const std::string& uri, bool server);

}  // namespace virga::host
