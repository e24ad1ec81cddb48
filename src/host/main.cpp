// virga-host: a machine that runs virtual machines, for the clients of the vSphere API.
#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>

#include "base/error.h"
#include "base/log.h"
#include "host/check.h"
#include "host/daemon.h"

namespace {

void parse_listen(const std::string& text, virga::host::DaemonOptions& options) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos)
    throw virga::error(virga::ErrorKind::invalid_argument, text, "--listen wants ADDR:PORT, not {}",
                       text);
  std::string address = text.substr(0, colon);
  if (address.size() > 1 && address.front() == '[') address = address.substr(1, address.size() - 2);
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data() + colon + 1, end, options.port);
  if (wrong != std::errc() || rest != end)
    throw virga::error(virga::ErrorKind::invalid_argument, text, "--listen {}: {} is no port", text,
                       text.substr(colon + 1));
  options.address = address;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A host that runs virtual machines, for the clients of the vSphere API");
  virga::host::DaemonOptions options;
  std::string listen = "127.0.0.1:8444", level = "info";
  app.add_option("--state", options.state, "the folder that holds everything of this host");
  app.add_option("--listen", listen, "ADDR:PORT to serve at; port 0 takes a free one");
  app.add_option("--password-file", options.password_file, "where root's password is read from");
  app.add_flag("--simulate", options.simulated, "guests and network exist only as state");
  app.add_flag("--down", options.down, "end all guests and the network instead of serving");
  bool check = false;
  app.add_flag("--check", check, "tell whether this machine is fit to be a host, and end");
  app.add_option("--log", level, "trace, debug, info, warn or error");
  CLI11_PARSE(app, argc, argv);
  try {
    parse_listen(listen, options);
    virga::set_log_level(level);
    if (check) return virga::host::check_machine(options.state);
    virga::host::run_daemon(options);
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "virga-host: " << failure.what() << "\n";
    return 1;
  }
}
