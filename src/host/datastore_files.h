// Files of datastores over HTTPS, as every vSphere client transfers them:
//   /folder/PATH?dcPath=ha-datacenter&dsName=NAME     GET, HEAD, PUT, DELETE
// A session cookie, HTTP basic authentication, or a one-time ticket (?… with the cookie
// vmware_cgi_ticket) says who asks. GET of a folder answers a list of its files.
#pragma once

#include "host/host.h"
#include "kernel/sdk_service.h"
#include "kernel/session_manager.h"
#include "wire/http_server.h"

namespace virga::host {

class DatastoreFiles {
 public:
  DatastoreFiles(Host& host, kernel::SessionManager& sessions, const kernel::SdkService& sdk)
      : host_(host), sessions_(sessions), sdk_(sdk) {}

  void serve(wire::HttpServer& server);

 private:
  struct Access {
    datastore::Location place;
    bool exists = false;
    bool folder = false;
  };

  Async<wire::Response> handle(wire::Request& request);
  // Kernel executor: who asks, for what, and whether he may. Throws Fault.
  Async<Access> authorize(std::string method, std::string path, std::string datastore,
                          kernel::SessionPtr session, std::string credentials, std::string ticket);
  Async<wire::Response> get(wire::Request& request, Access access);
  Async<wire::Response> put(wire::Request& request, Access access);
  Async<wire::Response> remove(Access access);
  wire::Response list(Access access) const;

  Host& host_;
  kernel::SessionManager& sessions_;
  const kernel::SdkService& sdk_;
};

}  // namespace virga::host
