// Consoles over WebSocket: a one-time ticket leads to a VM's display (RFB, as noVNC speaks it), a
// session with the privilege to its serial port.
//
//   wss://HOST/ticket/TICKET                display, once
//   wss://HOST/console/VM/display           display, by session
//   wss://HOST/console/VM/serial            first serial port, by session
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "host/host.h"
#include "kernel/sdk_service.h"
#include "wire/http_server.h"

namespace virga::host {

struct ConsoleTicket {
  std::string ticket;
  std::string host;           // as the client reached us
  int port = 0;
  std::string thumbprint;     // SHA-1, of the server's certificate
  std::string url;
};

class ConsoleTable {
 public:
  ConsoleTable(Host& host, std::string thumbprint)
      : host_(host), thumbprint_(std::move(thumbprint)) {}

  // Valid once, for two minutes.
  ConsoleTicket issue(const MoRef& vm, const kernel::Call& call);
  // Adds the routes. `sdk` knows the sessions.
  void serve(wire::HttpServer& server, const kernel::SdkService& sdk);

 private:
  std::optional<MoRef> redeem(const std::string& ticket);
  Async<Fd> open(MoRef vm, bool serial);
  Async<Fd> open_ticket(std::string ticket);
  Async<Fd> open_for(kernel::SessionPtr session, std::string vm, bool serial);

  struct Ticket {
    MoRef vm;
    std::chrono::steady_clock::time_point expiry;
  };

  Host& host_;
  const std::string thumbprint_;
  std::map<std::string, Ticket> tickets_;
};

}  // namespace virga::host
