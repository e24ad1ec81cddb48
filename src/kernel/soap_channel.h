// A client's connection to a server of the API, over SOAP: what the generated stubs stand on.
#pragma once

#include <string>

#include "model/managed_object.h"
#include "wire/http_client.h"

namespace virga::kernel {

class SoapChannel final : public model::Channel {
 public:
  SoapChannel(asio::any_io_executor executor, wire::ClientOptions options);

  Async<model::Any> invoke(const model::MethodInfo& method, model::MoRef object,
                           model::DataPtr parameters) override;

  // What the server knows the session by, "" before login; for other requests to it.
  const std::string& session() const { return session_; }
  wire::HttpClient& http() { return http_; }
  // The headers that carry the session.
  wire::Headers headers() const;

 private:
  wire::HttpClient http_;
  std::string session_;
};

}  // namespace virga::kernel
