#include "host/metrics.h"

#include "base/file.h"
#include "host/virtual_machine.h"

namespace virga::host {
namespace {

std::uint64_t resident_bytes() {
  const std::string statm = read_file("/proc/self/statm");
  return std::strtoull(statm.c_str() + statm.find(' '), nullptr, 10) * 4096;
}

void metric(std::string& text, const char* name, const char* type, const char* help, double value) {
  text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type, help, value);
}

Async<std::string> collect(Host& host, wire::HttpServer& server) {
  const auto traffic = server.statistics();
  int running = 0;
  for (const auto& [ref, vm] : host.virtual_machines) running += vm->powered_on();
  std::string text;
  metric(text, "virga_http_requests_total", "counter", "Requests answered.", static_cast<double>(traffic.requests));
  metric(text, "virga_http_connections", "gauge", "Connections open.", static_cast<double>(traffic.connections_open));
  metric(text, "virga_http_received_bytes_total", "counter", "Bytes received within TLS.", static_cast<double>(traffic.bytes_received));
  metric(text, "virga_http_sent_bytes_total", "counter", "Bytes sent within TLS.", static_cast<double>(traffic.bytes_sent));
  metric(text, "virga_sessions", "gauge", "Sessions logged in.", static_cast<double>(host.kernel.sessions.all().size()));
  metric(text, "virga_virtual_machines", "gauge", "VMs in the inventory.", static_cast<double>(host.virtual_machines.size()));
  metric(text, "virga_virtual_machines_running", "gauge", "VMs powered on.", running);
  metric(text, "virga_property_changes_total", "counter", "Changes of the inventory.", static_cast<double>(host.kernel.inventory.sequence()));
  metric(text, "virga_resident_bytes", "gauge", "Memory of the daemon.", static_cast<double>(resident_bytes()));
  co_return text;
}

}  // namespace

void serve_metrics(Host& host, wire::HttpServer& server) {
  server.route("/metrics", {"GET"}, [&host, &server](wire::Request&) -> Async<wire::Response> {
    return [](Host& h, wire::HttpServer& s) -> Async<wire::Response> {
      const std::string text = co_await run_on(h.kernel.executor, collect(h, s));
      co_return wire::respond(200, "text/plain; version=0.0.4", text);
    }(host, server);
  });
}

}  // namespace virga::host
