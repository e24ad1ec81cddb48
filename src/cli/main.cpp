// virga: the command line of a host.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"

namespace {

// SIGINT, SIGTERM and SIGHUP cancel the command.
int run(virga::Async<int> command) {
  namespace asio = virga::asio;
  asio::io_context io;
  asio::cancellation_signal cancel;
  int interrupted = 0;
  asio::signal_set signals(io, SIGINT, SIGTERM, SIGHUP);
  signals.async_wait([&](boost::system::error_code failed, int number) {
    if (failed) return;
    interrupted = number;
    cancel.emit(asio::cancellation_type::terminal);
  });
  int code = 1;
  std::exception_ptr failure;
  const auto end = [&](std::exception_ptr thrown, int result) {
    failure = thrown;
    code = result;
    io.stop();
  };
  asio::co_spawn(io, std::move(command), asio::bind_cancellation_slot(cancel.slot(), end));
  io.run();
  if (interrupted) return 128 + interrupted;
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace virga::cli;
  CLI::App app("Virga: virtual machines for the clients of the vSphere API");
  app.require_subcommand(1);
  app.fallthrough();  // --state may stand anywhere
  UpOptions options;
  app.add_option("--state", options.state, "the host's state folder")->capture_default_str();
  int code = 0;

  options.program = argv[0];
  bool no_welcome = false;
  auto* up_command = app.add_subcommand("up", "start the host");
  up_command->add_option("--listen", options.listen, "ADDR:PORT (default 127.0.0.1:8444)");
  up_command->add_option("--password-file", options.password_file, "where root's password is");
  up_command->add_option("--welcome-image", options.welcome_image, "disk image of the VM welcome");
  up_command->add_flag("--no-welcome", no_welcome, "without the VM welcome");
  up_command->callback([&] {
    if (no_welcome) options.welcome_image.clear();
    code = up(options);
  });
  app.add_subcommand("down", "shut guests down and stop everything")->callback([&] {
    code = down(options.state);
  });

  const auto in_own_session = [&](Command command) {
    code = run(in_session(options.state, std::move(command)));
  };
  auto* vm = app.add_subcommand("vm", "virtual machines");
  vm->require_subcommand(1);
  vm->add_subcommand("list", "all of them")->callback([&] { in_own_session(list_machines); });
  std::string name;
  auto* console_command = vm->add_subcommand("console", "the serial console");
  console_command->add_option("name", name)->required();
  console_command->callback(
      [&] { in_own_session([&](Connection& connection) { return console(connection, name); }); });
  for (const char* action : {"on", "off", "reset", "suspend", "shutdown", "reboot"}) {
    auto* command = vm->add_subcommand(action, std::string("power: ") + action);
    command->add_option("name", name)->required();
    command->callback([&, action] {
      in_own_session(
          [&, action](Connection& connection) { return change_power(connection, name, action); });
    });
  }

  auto* host = app.add_subcommand("host", "the machine");
  host->require_subcommand(1);
  host->add_subcommand("check", "whether the machine is fit to be a host")->callback([&] {
    code = check_host(options.state);
  });

  virga::set_log_level("warn");
  try {
    CLI11_PARSE(app, argc, argv);
  } catch (const std::exception& failure) {
    std::cerr << "virga: " << failure.what() << "\n";
    return 1;
  }
  return code;
}
