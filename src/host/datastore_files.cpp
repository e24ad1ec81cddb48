#include "host/datastore_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/base64.h"
#include "datastore/browse.h"
#include "datastore/files.h"
#include "host/datastore.h"
#include "host/virtual_machine.h"
#include "kernel/accounts.h"
#include "kernel/faults.h"
#include "wire/xml_writer.h"

namespace virga::host {
namespace {

constexpr std::size_t kChunk = 1 << 20;

// "Basic dXNlcjpwYXNz" into user and password.
std::optional<std::pair<std::string, std::string>> basic_credentials(const std::string& header) {
  if (!header.starts_with("Basic ")) return std::nullopt;
  const auto text = base64_decode(header.substr(6));
  if (!text) return std::nullopt;
  const auto colon = text->find(':');
  if (colon == std::string::npos) return std::nullopt;
  return std::pair(text->substr(0, colon), text->substr(colon + 1));
}

std::string ticket_of(const wire::Request& request) {
  const std::string_view cookies = request.headers.get("Cookie");
  constexpr std::string_view name = "vmware_cgi_ticket=";
  const auto at = cookies.find(name);
  if (at == std::string_view::npos) return {};
  std::string_view value = cookies.substr(at + name.size());
  value = value.substr(0, value.find(';'));
  if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
  return std::string(value);
}

int status_of(const kernel::Fault& fault) {
  const auto is = [&](const model::TypeInfo& type) {
    return model::is_a(fault.detail()->type_info(), type);
  };
  if (is(vim::NotAuthenticated::static_type()) || is(vim::InvalidLogin::static_type())) return 401;
  if (is(vim::NoPermission::static_type()) || is(vim::CannotAccessFile::static_type())) return 403;
  if (is(vim::FileNotFound::static_type()) || is(vim::InvalidDatastore::static_type())) return 404;
  if (is(vim::FileLocked::static_type()) || is(vim::FileAlreadyExists::static_type())) return 409;
  if (is(vim::NoDiskSpace::static_type())) return 507;
  if (is(vim::InvalidArgument::static_type())) return 400;
  return 500;
}

std::string escape(const std::string& text) {
  wire::XmlWriter xml;
  xml.text(text);
  return std::move(xml).take();
}

}  // namespace

void DatastoreFiles::serve(wire::HttpServer& server) {
  wire::RouteOptions options;
  options.stream_body = true;
  server.route("/folder", {"GET", "PUT", "POST", "DELETE"},
               [this](wire::Request& request) { return handle(request); }, options);
}

Async<wire::Response> DatastoreFiles::handle(wire::Request& request) {
  std::optional<kernel::Fault> fault;
  try {
    std::string path = request.path.substr(std::min<std::size_t>(7, request.path.size()));
    while (path.starts_with('/')) path.erase(0, 1);
    while (path.ends_with('/')) path.pop_back();
    Access access = co_await run_on(
        host_.kernel.executor,
        authorize(request.method, path, std::string(request.query.get("dsName")),
                  sdk_.session_of(request), std::string(request.headers.get("Authorization")),
                  ticket_of(request)));
    wire::Response response;
    if (request.method == "PUT" || request.method == "POST") {
      response = co_await put(request, std::move(access));
    } else if (request.method == "DELETE") {
      response = co_await remove(std::move(access));
    } else {
      response = co_await get(request, std::move(access));
    }
    co_return response;
  } catch (const kernel::Fault& thrown) {
    fault = thrown;
  } catch (const Error& failure) {
    fault = kernel::from_error(failure);
  }
  auto response = wire::respond_error(status_of(*fault), fault->message());
  if (response.status == 401)
    response.headers.set("WWW-Authenticate", "Basic realm=\"Virga host\"");
  co_return response;
}

Async<DatastoreFiles::Access> DatastoreFiles::authorize(std::string method, std::string path,
                                                        std::string name,
                                                        kernel::SessionPtr session,
                                                        std::string credentials,
                                                        std::string ticket) {
  const auto object = host_.datastore(name);
  std::string user = session ? session->user : "";
  if (user.empty() && !ticket.empty()) {
    const std::string http_method = method == "HEAD" ? "GET" : method;
    user = sessions_.redeem_ticket(ticket, http_method, "/folder/" + path).value_or("");
  }
  if (user.empty() && !credentials.empty()) {
    const auto given = basic_credentials(credentials);
    if (given) {
      const bool right = co_await host_.kernel.accounts->verify(given->first, given->second);
      if (right) user = given->first;
    }
  }
  const bool reading = method == "GET" || method == "HEAD";
  const char* privilege = reading ? "Datastore.Browse"
                          : method == "DELETE" ? "Datastore.DeleteFile"
                                               : "Datastore.FileManagement";
  if (user.empty()) throw kernel::not_authenticated(object->self(), privilege);
  host_.kernel.authorization.check(host_.kernel.inventory, user, *object, privilege);

  Access access{{object->files(), vmx::DatastorePath(name, path).path()}};
  access.exists = access.place.path.empty() || access.place.datastore->exists(access.place.path);
  access.folder = access.place.path.empty() ||
                  (access.exists && S_ISDIR(access.place.datastore->status(access.place.path).st_mode));
 if (method == "DELETE") require_not_in_use(host_, access.place);
  if (!access.exists && method != "PUT" && method != "POST") {
    vim::FileNotFound detail;
    detail.file = access.place.display();
    throw kernel::Fault(std::move(detail), access.place.display() + " does not exist");
  }
  co_return access;
}

wire::Response DatastoreFiles::list(Access access) const {
  const auto listing = datastore::list_folder(access.place, {.show_extents = true});
  std::string rows;
  for (const auto& file : listing.files) {
    const std::string slash = file.kind == datastore::FileKind::folder ? "/" : "";
    const std::string path = access.place.path.empty() ? file.name : access.place.path + "/" + file.name;
    std::string encoded;
    for (std::size_t start = 0; start <= path.size();) {
      const auto end = std::min(path.find('/', start), path.size());
      encoded += "/" + wire::percent_encode(path.substr(start, end - start));
      start = end + 1;
    }
    rows += fmt::format("<tr><td><a href=\"/folder{}{}?dcPath=ha-datacenter&amp;dsName={}\">{}{}</a>"
                        "</td><td>{}</td></tr>\n",
                        encoded, slash, wire::percent_encode(access.place.datastore->name()),
                        escape(file.name), slash, file.size);
  }
  return wire::respond(200, "text/html; charset=utf-8",
                       fmt::format("<!doctype html><title>{0}</title><h1>{0}</h1><table>\n{1}</table>\n",
                                   escape(access.place.display()), rows));
}

Async<wire::Response> DatastoreFiles::get(wire::Request& request, Access access) {
  if (access.folder) co_return list(std::move(access));
  auto file = std::make_shared<Fd>(access.place.datastore->open(access.place.path, O_RDONLY));
  co_return wire::respond_file(request, std::move(file), "application/octet-stream",
                               host_.kernel.workers);
}

Async<wire::Response> DatastoreFiles::put(wire::Request& request, Access access) {
  if (access.folder)
    co_return wire::respond_error(409, access.place.display() + " is a folder");
  auto upload = std::make_shared<datastore::Upload>(access.place);
  std::vector<char> buffer(kChunk);
  for (;;) {
    const std::size_t n = co_await request.stream->read(buffer);
    if (n == 0) break;
    const std::string_view piece(buffer.data(), n);
    const auto work = [upload, piece] { upload->write(piece); };
    co_await offload(host_.kernel.workers, work);
  }
  const auto work2 = [upload] { upload->commit(); };
  co_await offload(host_.kernel.workers, work2);
  co_return wire::respond(access.exists ? 200 : 201, "", "");
}

Async<wire::Response> DatastoreFiles::remove(Access access) {
  const auto place = access.place;
  const auto work = [place] { datastore::remove(place); };
  co_await offload(host_.kernel.workers, work);
  co_return wire::respond(204, "", "");
}

}  // namespace virga::host
