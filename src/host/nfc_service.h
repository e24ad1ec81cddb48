// The files of VMs that travel, over HTTPS, for as long as a lease is ready (http_nfc_lease.h):
//   /nfc/TOKEN/FILE     GET, HEAD of what is sent; PUT, POST of what is received
// The token is the proof: who knows it may use the lease, as clients of vSphere expect.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "host/http_nfc_lease.h"
#include "wire/http_server.h"

namespace virga::host {

class NfcService {
 public:
  // `thumbprint`: SHA-1, of the server's certificate.
  NfcService(Host& host, std::string thumbprint);

  void serve(wire::HttpServer& server);

  // A lease of the caller's session, which ends with that. Kernel executor.
  std::shared_ptr<HttpNfcLease> open(model::Call& call, HttpNfcLease::Direction direction);

 private:
  using LeasePtr = std::shared_ptr<HttpNfcLease>;

  Async<wire::Response> handle(wire::Request& request);
  Async<wire::Response> send(wire::Request& request, LeasePtr lease, std::string name);
  Async<wire::Response> receive(wire::Request& request, LeasePtr lease, std::string name);
  Async<LeasePtr> find(std::string token) const;
  void end_leases_of_nobody();

  Host& host_;
  const std::string thumbprint_;
  std::map<std::string, std::weak_ptr<HttpNfcLease>> leases_;  // by token
};

}  // namespace virga::host
