#include "host/console.h"

#include <algorithm>

#include "base/uuid.h"
#include "host/client_url.h"
#include "host/virtual_machine.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr auto kTicketLife = std::chrono::minutes(2);

// Speaks on a WebSocket for as long as `stream` does.
Async<wire::Response> connect(const wire::Request& request, Async<Fd> opening,
                              asio::any_io_executor kernel) {
  std::optional<wire::Response> refused;
  auto stream = std::make_shared<Fd>();
  try {
    *stream = co_await run_on(kernel, std::move(opening));
  } catch (const kernel::Fault& fault) {
    refused = wire::respond_error(403, fault.message());
  } catch (const Error& failure) {
    refused = wire::respond_error(503, failure.what());
  }
  if (refused) co_return std::move(*refused);
  wire::WebSocketOptions options;
  options.subprotocols = {"binary"};
  co_return wire::accept_websocket(request, options,
                                   [stream](wire::WebSocket& socket) -> Async<void> {
                                     return wire::bridge(socket, std::move(*stream));
                                   });
}

}  // namespace

ConsoleTicket ConsoleTable::issue(const MoRef& vm, const kernel::Call& call) {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(tickets_, [&](const auto& entry) { return entry.second.expiry < now; });
  ConsoleTicket issued;
  issued.ticket = random_hex(20);
  std::tie(issued.host, issued.port) = split_authority(call.local_address);
  issued.thumbprint = thumbprint_;
  issued.url = fmt::format("wss://{}/ticket/{}", call.local_address, issued.ticket);
  tickets_[issued.ticket] = {vm, now + kTicketLife};
  return issued;
}

std::optional<MoRef> ConsoleTable::redeem(const std::string& ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return std::nullopt;
  const Ticket taken = found->second;
  tickets_.erase(found);
  if (taken.expiry < std::chrono::steady_clock::now()) return std::nullopt;
  return taken.vm;
}

Async<Fd> ConsoleTable::open(MoRef vm, bool serial) {
  const auto found = host_.virtual_machines.find(vm.value);
  if (found == host_.virtual_machines.end()) throw kernel::managed_object_not_found(vm);
  hypervisor::Machine* machine = found->second->machine();
  if (!machine)
    throw kernel::invalid_state(found->second->properties().name + " is not powered on.");
  if (!serial) co_return co_await machine->open_display();
  const auto& ports = machine->spec().serial_ports;
  const auto served = std::find_if(ports.begin(), ports.end(), [](const auto& port) {
    return port.backend == hypervisor::LineBackend::socket;
  });
  if (served == ports.end())
    throw kernel::not_found("A serial port of " + found->second->properties().name);
  co_return co_await machine->open_serial(served->key);
}

Async<Fd> ConsoleTable::open_ticket(std::string ticket) {
  const auto vm = redeem(ticket);
  if (!vm) throw kernel::Fault(vim::NoPermission{}, "The ticket is unknown, used or too old.");
  co_return co_await open(*vm, false);
}

Async<Fd> ConsoleTable::open_for(kernel::SessionPtr session, std::string vm, bool serial) {
  const MoRef ref{"VirtualMachine", vm};
  if (!session) throw kernel::not_authenticated(ref, "VirtualMachine.Interact.ConsoleInteract");
  const auto object = host_.kernel.inventory.get(ref);
  host_.kernel.authorization.check(host_.kernel.inventory, session->user, *object,
                                   "VirtualMachine.Interact.ConsoleInteract");
  co_return co_await open(ref, serial);
}

void ConsoleTable::serve(wire::HttpServer& server, const kernel::SdkService& sdk) {
  const auto executor = host_.kernel.executor;
  server.route("/ticket", {"GET"}, [this, executor](wire::Request& request) {
    const std::string ticket = request.path.substr(std::min<std::size_t>(8, request.path.size()));
    return connect(request, open_ticket(ticket), executor);
  });
  server.route("/console", {"GET"}, [this, &sdk, executor](wire::Request& request) {
    // /console/VM/display or /console/VM/serial
    const std::string rest = request.path.substr(std::min<std::size_t>(9, request.path.size()));
    const auto slash = rest.find('/');
    const bool serial = slash != std::string::npos && rest.substr(slash + 1) == "serial";
    return connect(request, open_for(sdk.session_of(request), rest.substr(0, slash), serial),
                   executor);
  });
}

}  // namespace virga::host
