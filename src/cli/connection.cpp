#include "cli/connection.h"

#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "model/fault.h"

namespace virga::cli {

using model::MoRef;

namespace {

// Who serves at all addresses is reached at the machine's own.
std::string reachable(const std::string& address) {
  if (address == "0.0.0.0") return "127.0.0.1";
  if (address == "::") return "::1";
  return address;
}

}  // namespace

Endpoint read_endpoint(const fs::path& state) {
  if (!fs::exists(state / "endpoint"))
    throw error(ErrorKind::not_found, state.string(),
                "no host serves {}: start one with `virga up`", state.string());
  std::istringstream text(read_file(state / "endpoint"));
  Endpoint endpoint;
  std::string port, password_file;
  std::getline(text, endpoint.address);
  std::getline(text, port);
  std::getline(text, password_file);
  endpoint.port = static_cast<std::uint16_t>(std::atoi(port.c_str()));
  endpoint.password_file = password_file;
  return endpoint;
}

Async<std::unique_ptr<Connection>> Connection::open(fs::path state) {
  const Endpoint endpoint = read_endpoint(state);
  wire::ClientOptions options;
  options.host = reachable(endpoint.address);
  options.port = endpoint.port;
  options.authorities = read_file(state / "ca.pem");
  auto executor = co_await asio::this_coro::executor;
  std::unique_ptr<Connection> connection(new Connection(executor, options));
  const MoRef root{"ServiceInstance", "ServiceInstance"};
  vim::client::ServiceInstance service(connection->channel_, root);
  try {
    connection->content_ = co_await service.RetrieveServiceContent();
  } catch (const Error& failure) {
    throw error(failure.kind(), state.string(), "the host of {} does not answer: {}",
                state.string(), failure.what());
  }
  vim::LoginRequestType login;
  login.userName = "root";
  login.password = read_file(endpoint.password_file, 4096);
  while (login.password.ends_with('\n') || login.password.ends_with('\r'))
    login.password.pop_back();
  vim::client::SessionManager sessions(connection->channel_, *connection->content_->sessionManager);
  co_await sessions.Login(std::move(login));
  co_return connection;
}

Async<void> Connection::close() {
  vim::client::SessionManager sessions(channel_, *content_->sessionManager);
  try {
    co_await sessions.Logout();
  } catch (const std::exception&) {
    // Who cannot be told ends the session by itself.
  }
}

Async<model::List<vim::ObjectContent>> Connection::retrieve(MoRef container, std::string type,
                                                            std::vector<std::string> paths) {
  vim::client::ViewManager views(channel_, *content_->viewManager);
  vim::CreateContainerViewRequestType wanted;
  wanted.container = std::move(container);
  wanted.type = {type};
  wanted.recursive = true;
  const MoRef view = co_await views.CreateContainerView(std::move(wanted));

  vim::PropertyFilterSpec filter;
  auto& properties = filter.propSet.emplace_back();
  properties.type = type;
  properties.pathSet = std::move(paths);
  auto& objects = filter.objectSet.emplace_back();
  objects.obj = view;
  objects.skip = true;
  vim::TraversalSpec members;
  members.name = "members";
  members.type = "ContainerView";
  members.path = "view";
  members.skip = false;
  objects.selectSet.push_back(model::Ptr<vim::SelectionSpec>(model::share(std::move(members))));
  vim::RetrievePropertiesRequestType request;
  request.specSet.push_back(std::move(filter));
  vim::client::PropertyCollector collector(channel_, content_->propertyCollector);
  auto found = co_await collector.RetrieveProperties(std::move(request));
  vim::client::ContainerView made(channel_, view);
  co_await made.DestroyView();
  co_return found;
}

Async<MoRef> Connection::find_vm(std::string name) {
  const std::vector<std::string> paths = {"name"};
  const auto machines = co_await retrieve(content_->rootFolder, "VirtualMachine", paths);
  for (const auto& machine : machines) {
    const auto* named = property<std::string>(*machine, "name");
    if (named && *named == name) co_return machine->obj;
  }
  throw error(ErrorKind::not_found, name, "there is no virtual machine '{}'", name);
}

Async<model::Any> Connection::wait(MoRef task) {
  vim::client::PropertyCollector collector(channel_, content_->propertyCollector);
  vim::CreateFilterRequestType create;
  create.partialUpdates = false;
  auto& properties = create.spec.propSet.emplace_back();
  properties.type = "Task";
  properties.pathSet = {"info"};
  create.spec.objectSet.emplace_back().obj = task;
  const MoRef filter = co_await collector.CreateFilter(std::move(create));
  std::string version;
  model::Ptr<vim::TaskInfo> ended;
  while (!ended) {
    vim::WaitForUpdatesExRequestType request;
    request.version = version;
    const auto updates = co_await collector.WaitForUpdatesEx(std::move(request));
    if (!updates) continue;
    version = updates->version;
    for (const auto& set : updates->filterSet) {
      for (const auto& object : set->objectSet) {
        for (const auto& change : object->changeSet) {
          const auto* info = change->val.get<vim::TaskInfo>();
          const bool done = info && (info->state == vim::TaskInfoState::success ||
                                     info->state == vim::TaskInfoState::error);
          if (done) ended = model::share(vim::TaskInfo(*info));
        }
      }
    }
  }
  vim::client::PropertyFilter made(channel_, filter);
  co_await made.DestroyPropertyFilter();
  if (ended->state == vim::TaskInfoState::error && ended->error)
    throw model::Fault(ended->error->fault.data(), ended->error->localizedMessage.value_or(""));
  co_return ended->result;
}

Async<int> in_session(fs::path state, Command command) {
  const auto connection = co_await Connection::open(std::move(state));
  int code = 1;
  std::exception_ptr failure;
  try {
    code = co_await command(*connection);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await connection->close();
  if (failure) std::rethrow_exception(failure);
  co_return code;
}

}  // namespace virga::cli
