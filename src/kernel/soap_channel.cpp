#include "kernel/soap_channel.h"

#include "base/error.h"
#include "model/soap.h"

namespace virga::kernel {
namespace {

constexpr const char* kVersion = "7.0.3.0";

}  // namespace

SoapChannel::SoapChannel(asio::any_io_executor executor, wire::ClientOptions options)
    : http_(std::move(executor), std::move(options)) {}

wire::Headers SoapChannel::headers() const {
  wire::Headers headers;
  if (!session_.empty())
    headers.add("Cookie", fmt::format("vmware_soap_session=\"{}\"", session_));
  return headers;
}

Async<model::Any> SoapChannel::invoke(const model::MethodInfo& method, model::MoRef object,
                                      model::DataPtr parameters) {
  wire::ClientRequest request;
  request.method = "POST";
  request.target = "/sdk";
  request.headers = headers();
  request.headers.add("Content-Type", "text/xml; charset=utf-8");
  request.headers.add("SOAPAction", fmt::format("\"urn:vim25/{}\"", kVersion));
  request.body = model::soap::write_request(method, object, *parameters,
                                            *model::parse_version(kVersion));
  wire::ClientResponse response = co_await http_.send(std::move(request));
  if (response.status != 200 && response.status != 500)
    throw error(ErrorKind::io, std::string(method.name), "{} answered HTTP {}", method.name,
                response.status);
  if (const auto secret = response.headers.get("vmware-api-session-id"); !secret.empty())
    session_ = std::string(secret);
  co_return model::soap::read_response(method, response.body);
}

}  // namespace virga::kernel
