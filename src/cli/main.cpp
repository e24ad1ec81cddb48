// virga: the command line of a host.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <iostream>

#include "base/log.h"
#include "cli/commands.h"

namespace {

int run(virga::Async<int> command) {
  virga::asio::io_context io;
  int code = 1;
  std::exception_ptr failure;
  virga::asio::co_spawn(io, std::move(command), [&](std::exception_ptr thrown, int result) {
    failure = thrown;
    code = result;
    io.stop();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace virga::cli;
  CLI::App app("Virga: virtual machines for the clients of the vSphere API");
  app.require_subcommand(1);
  std::filesystem::path state = "./state";
  app.add_option("--state", state, "the host's state folder")->capture_default_str();
  int code = 0;

  UpOptions options;
  bool no_welcome = false;
  auto* up_command = app.add_subcommand("up", "start the host");
  up_command->add_option("--state", state, "the host's state folder");
  up_command->add_option("--listen", options.listen, "ADDR:PORT (default 127.0.0.1:8444)");
  up_command->add_option("--password-file", options.password_file, "where root's password is");
  up_command->add_option("--welcome-image", options.welcome_image, "disk image of the VM welcome");
  up_command->add_flag("--no-welcome", no_welcome, "without the VM welcome");
  up_command->callback([&] {
    options.state = state;
    if (no_welcome) options.welcome_image.clear();
    code = up(options);
  });

  auto* down_command = app.add_subcommand("down", "shut guests down and stop everything");
  down_command->add_option("--state", state, "the host's state folder");
  down_command->callback([&] { code = down(state); });

  auto* vm = app.add_subcommand("vm", "virtual machines");
  vm->require_subcommand(1);
  vm->add_option("--state", state, "the host's state folder");
  vm->add_subcommand("list", "all of them")->callback([&] { code = run(list_machines(state)); });
  std::string name;
  auto* console_command = vm->add_subcommand("console", "the serial console");
  console_command->add_option("name", name)->required();
  console_command->callback([&] { code = run(console(state, name)); });
  for (const char* action : {"on", "off", "reset", "suspend", "shutdown", "reboot"}) {
    auto* command = vm->add_subcommand(action, std::string("power: ") + action);
    command->add_option("name", name)->required();
    command->callback([&, action] { code = run(change_power(state, name, action)); });
  }

  auto* host = app.add_subcommand("host", "the machine");
  host->require_subcommand(1);
  host->add_subcommand("check", "whether the machine is fit to be a host")->callback([&] {
    code = check_host(state);
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
