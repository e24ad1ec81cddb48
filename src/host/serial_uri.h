// Where a serial port on the network is, as VirtualSerialPortURIBackingInfo.serviceURI says it:
// "telnet://:2001", "tcp://192.0.2.7:5000", "telnets://console.lab:992#verify". Pure.
//
// tcp+ssl (or ssl) and telnets are encrypted; "#verify" has the peer prove who it is, as does
// "#peerName=NAME", which says who that is; "#thumbprint=AA:BB:..." names its very certificate.
#pragma once

#include <string>

#include "hypervisor/machine_spec.h"

namespace virga::host {

// Throws Error: unsupported for what is VMware's and not served here (tcp4, tcp6, a peer that is
// called otherwise than its host, thumbprints of clients, cipherList), invalid_argument for what is
// no such URI; a client's names a host.
hypervisor::NetworkLine parse_serial_uri(const std::string& uri, bool server);

}  // namespace virga::host
