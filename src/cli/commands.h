// The commands of `virga`, one function each; each returns the program's exit code.
#pragma once

#include <filesystem>
#include <string>

#include "base/async.h"
#include "cli/connection.h"

namespace virga::cli {

namespace fs = std::filesystem;

struct UpOptions {
  fs::path state = "./state";
  std::string listen;  // "": the host's default
  fs::path password_file;
  fs::path welcome_image;  // "": no VM `welcome`
  std::string program;     // how the user calls `virga`
};
// Starts virga-host, makes the VM `welcome` once, and stays until the host ends.
int up(const UpOptions& options);
// Shuts all guests down and stops everything of the host.
int down(const fs::path& state);

Async<int> list_machines(Connection& connection);
// on, off, reset, suspend, shutdown or reboot
Async<int> change_power(Connection& connection, std::string name, std::string action);
// The serial console, until Ctrl-] is typed.
Async<int> console(Connection& connection, std::string name);
// Whether the machine is fit to be a host: 0 when nothing is missing.
int check_host(const fs::path& state);

// Makes the VM `welcome` from a disk image, unless it exists, and sees that it is powered on.
Async<int> make_welcome(Connection& connection, fs::path image);

}  // namespace virga::cli
