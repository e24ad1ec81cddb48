// The API on a port: SOAP at /sdk, its documents, the VI JSON binding at /sdk/vim25/, the OpenAPI
// document at /api/openapi.json.
#pragma once

#include <memory>

#include "kernel/dispatcher.h"
#include "kernel/kernel.h"
#include "wire/http_server.h"

namespace virga::kernel {

class SdkService {
 public:
  explicit SdkService(Kernel& kernel) : kernel_(kernel), dispatcher_(kernel) {}

  // Adds the routes. The service must outlive the server.
  void serve(wire::HttpServer& server);

  // The session a request carries, by cookie (vmware_soap_session) or header
  // (vmware-api-session-id); nullptr when it carries none that lives.
  SessionPtr session_of(const wire::Request& request) const;

 private:
  Async<wire::Response> soap(wire::Request& request);
  Async<wire::Response> json(wire::Request& request);
  std::shared_ptr<Call> make_call(const wire::Request& request, model::Version version) const;

  Kernel& kernel_;
  Dispatcher dispatcher_;
};

}  // namespace virga::kernel
