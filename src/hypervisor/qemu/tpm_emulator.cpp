#include "hypervisor/qemu/tpm_emulator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace virga::hypervisor {
namespace {

constexpr int control_fd = 3;
constexpr int state_fd = 4;

Fd open_state_directory(const std::string& path, const std::optional<Account>& account) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw system_error(path, "cannot make");
  Fd directory = open_file(path, O_RDONLY | O_DIRECTORY);
  if (::fchmod(directory.get(), 0700) != 0) throw system_error(path, "cannot protect");
  if (account && ::geteuid() == 0 && ::fchown(directory.get(), account->uid, account->gid) != 0)
    throw system_error(path, "cannot hand over");
  return directory;
}

}  // namespace

// It reaches its state through the descriptor: the folders above are closed to the guests' user.
Fd launch_tpm(const Tpm& tpm, const std::optional<Account>& account, const Fd& control,
              int output) {
  const Fd state = open_state_directory(tpm.state_directory, account);
  const LaunchRequest request = {
      .argv = {"swtpm", "socket", "--tpm2", "--terminate", "--ctrl",
               fmt::format("type=unixio,clientfd={}", control_fd), "--tpmstate",
               fmt::format("dir=/proc/self/fd/{},mode=0600", state_fd)},
      .account = account,
      .descriptors = {{control.get(), control_fd}, {state.get(), state_fd}},
      .output = output};
  return launch(request, [](const ProcessIdentity&) {}).process;
}

}  // namespace virga::hypervisor
