#include "kernel/sdk_service.h"

#include "base/log.h"
#include "kernel/faults.h"
#include "model/json.h"
#include "model/soap.h"
#include "vim/documents.h"
#include "vim/types.h"

namespace virga::kernel {
namespace {

constexpr std::string_view kSessionCookie = "vmware_soap_session";
constexpr std::string_view kSessionHeader = "vmware-api-session-id";
constexpr std::string_view kNewest = "7.0.3.0";
// What a client may ask for, newest first; it takes the newest one it knows itself.
constexpr std::string_view kVersions[] = {"7.0.3.0", "7.0.2.0", "7.0.1.0", "7.0.0.0", "6.7.3",
                                          "6.7.2",   "6.7.1",   "6.7",     "6.5",     "6.0",
                                          "5.5",     "5.1",     "5.0",     "4.1",     "4.0",
                                          "2.5u2",   "2.5"};

std::string versions_document() {
  std::string prior;
  for (const std::string_view version : kVersions) {
    if (version != kNewest) prior += fmt::format("   <version>{}</version>\n", version);
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<namespaces version=\"1.0\">\n <namespace>\n"
      "  <name>urn:vim25</name>\n  <version>{}</version>\n  <priorVersions>\n{}  </priorVersions>\n"
      " </namespace>\n</namespaces>\n",
      kNewest, prior);
}

// A client that names no version is taken to be as old as vSphere allows: what it does not know it
// may stumble over.
model::Version version_of(std::string_view soap_action) {
  std::string text;
  for (const char c : soap_action) {
    if (c != '"') text += c;
  }
  const auto asked = model::parse_version(text);
  return asked.value_or(*model::parse_version(kVersions[std::size(kVersions) - 1]));
}

std::string cookie(const wire::Request& request, std::string_view name) {
  std::string_view rest = request.headers.get("Cookie");
  while (!rest.empty()) {
    const auto end = rest.find(';');
    std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string_view value = pair.substr(equals + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return {};
}

// Tells the transport's side of what a call did to its session.
void announce_session(const Call& call, wire::Response& response) {
  if (call.opened) {
    response.headers.add("Set-Cookie", fmt::format("{}=\"{}\"; Path=/; HttpOnly; Secure",
                                                   kSessionCookie, call.opened->secret));
    response.headers.add(std::string(kSessionHeader), call.opened->secret);
  } else if (call.closed) {
    response.headers.add("Set-Cookie", fmt::format("{}=\"\"; Path=/; HttpOnly; Secure; Max-Age=0",
                                                   kSessionCookie));
  }
}

int json_status(const Fault& fault) {
  const auto is = [&](const model::TypeInfo& type) {
    return model::is_a(fault.detail()->type_info(), type);
  };
  if (is(vim::NotAuthenticated::static_type()) || is(vim::InvalidLogin::static_type())) return 401;
  if (is(vim::NoPermission::static_type())) return 403;
  if (is(vim::ManagedObjectNotFound::static_type())) return 404;
  if (is(vim::InvalidRequest::static_type()) || is(vim::InvalidArgument::static_type()) ||
      is(vim::InvalidProperty::static_type()))
    return 400;
  return 500;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) segments.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return segments;
}

}  // namespace

SessionPtr SdkService::session_of(const wire::Request& request) const {
  const std::string_view header = request.headers.get(kSessionHeader);
  if (!header.empty()) return kernel_.sessions.find_by_secret(header);
  const std::string value = cookie(request, kSessionCookie);
  return value.empty() ? nullptr : kernel_.sessions.find_by_secret(value);
}

std::shared_ptr<Call> SdkService::make_call(const wire::Request& request,
                                            model::Version version) const {
  auto call = std::make_shared<Call>();
  call->session = session_of(request);
  call->version = version;
  call->peer_address = request.peer.address;
  call->user_agent = std::string(request.headers.get("User-Agent"));
  call->local_address = std::string(request.headers.get("Host"));
  return call;
}

Async<wire::Response> SdkService::soap(wire::Request& request) {
  const model::Version version = version_of(request.headers.get("SOAPAction"));
  const auto call = make_call(request, version);
  std::optional<Fault> fault;
  wire::Response response;
  try {
    model::soap::Request asked = model::soap::read_request(request.body);
    request.body = {};
    call->operation_id = asked.operation_id;
    const model::MethodInfo& method = *asked.method;
    Any result = co_await dispatcher_.invoke(call, std::move(asked.object), method,
                                             std::move(asked.parameters));
    response = wire::respond(200, "text/xml; charset=utf-8",
                             model::soap::write_response(method, result, version));
    announce_session(*call, response);
  } catch (const Fault& thrown) {
    fault = thrown;
  }
  if (fault)
    response = wire::respond(500, "text/xml; charset=utf-8",
                             model::soap::write_fault(*fault, version));
  co_return response;
}

Async<wire::Response> SdkService::json(wire::Request& request) {
  // /sdk/vim25/{release}/{type}/{moId}/{method or property}
  const auto parts = split_path(request.path);
  if (parts.size() != 6) co_return wire::respond_error(404, request.path + " is no object's member");
  const auto version = model::parse_version(parts[2]);
  if (!version) co_return wire::respond_error(404, "unknown release " + parts[2]);
  const auto call = make_call(request, *version);
  const MoRef object{parts[3], parts[4]};
  std::optional<Fault> fault;
  wire::Response response;
  try {
    const model::ManagedInfo* type = model::find_managed(object.type);
    if (!type) throw invalid_request("unknown managed object type " + object.type);
    std::string body;
    if (request.method == "GET") {
      const model::FieldInfo* field = type->properties->field(parts[5]);
      if (!field) throw invalid_property(parts[5], object.type);
      const Any value = co_await dispatcher_.read_property(call, object, parts[5]);
      body = model::json_binding::write_result(*field->type, value, *version);
    } else {
      const model::MethodInfo* method = type->method(parts[5]);
      if (!method && type->unserved(parts[5]))
        throw not_supported(object.type + "." + parts[5]);
      if (!method) throw invalid_request(object.type + " has no method " + parts[5]);
      DataPtr parameters = model::json_binding::read_request(*method, request.body);
      const Any result = co_await dispatcher_.invoke(call, object, *method, std::move(parameters));
      if (method->result) body = model::json_binding::write_result(*method->result, result, *version);
    }
    response = body.empty() ? wire::respond(204, "", "")
                            : wire::respond(200, "application/json", std::move(body));
    announce_session(*call, response);
  } catch (const Fault& thrown) {
    fault = thrown;
  }
  if (fault)
    response = wire::respond(json_status(*fault), "application/json",
                             model::json_binding::write_fault(*fault, *version));
  co_return response;
}

void SdkService::serve(wire::HttpServer& server) {
  const auto document = [](std::string type, std::string text) -> wire::Handler {
    return [type, text](wire::Request&) -> Async<wire::Response> {
      return [](std::string t, std::string b) -> Async<wire::Response> {
        co_return wire::respond(200, std::move(t), std::move(b));
      }(type, text);
    };
  };
  server.route("/sdk", {"POST"}, [this](wire::Request& request) { return soap(request); });
  server.route("/sdk/vim25", {"GET", "POST"},
               [this](wire::Request& request) { return json(request); });
  server.route("/sdk/vimServiceVersions.xml", {"GET"},
               document("text/xml; charset=utf-8", versions_document()));
  for (const char* name : {"vimService.wsdl", "vim.wsdl", "core-types.xsd", "vim-types.xsd",
                           "vim-messagetypes.xsd"})
    server.route(std::string("/sdk/") + name, {"GET"},
                 document("text/xml; charset=utf-8", std::string(vim::document(name))));
  server.route("/api/openapi.json", {"GET"},
               document("application/json", std::string(vim::document("openapi.json"))));
}

}  // namespace virga::kernel
