#include "nfs/mount.h"

#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/error.h"
#include "nfs/helper.h"

namespace virga::nfs {
namespace {

using namespace std::chrono_literals;

// More than a helper takes to give up a server that does not answer.
constexpr auto kMountPatience = 30s;
// What used the mount a moment ago may be just ending.
constexpr auto kUnmountPatience = 5s;

std::string socket_of(const MountSpec& spec) {
  return spec.run_folder + "/" + fs::path(spec.folder).filename().string();
}

std::vector<std::string> command_of(const MountSpec& spec) {
  std::vector<std::string> command = {spec.program, "--nfs",
                                      spec.version == Version::v41 ? "4.1" : "3"};
  for (const std::string& host : spec.hosts) command.insert(command.end(), {"--host", host});
  command.insert(command.end(), {"--path", spec.path, "--folder", spec.folder});
  if (spec.read_only) command.emplace_back("--read-only");
  return command;
}

}  // namespace

Mount::Mount(MountSpec spec) : spec_(std::move(spec)) {
  fs::create_directories(spec_.run_folder);
  connection_ = connect_to_companion(socket_of(spec_));
  // One that is just ending, since it could not mount, tells nothing.
  if (connection_ && take_first_news()) return;
  remove_stray_mount(spec_.folder);
  fs::create_directories(spec_.folder);
  connection_ = start_companion(command_of(spec_), socket_of(spec_)).connection;
  if (!take_first_news()) throw cannot_mount("its helper has ended");
}

Error Mount::cannot_mount(const std::string& why) const {
  return error(ErrorKind::timed_out, spec_.hosts.front(), "{}:{} cannot be mounted: {}",
               spec_.hosts.front(), spec_.path, why);
}

bool Mount::take_first_news() {
  if (!is_readable(connection_.get(), kMountPatience)) throw cannot_mount("not in time");
  const auto message = receive_message(connection_.get());
  if (message) take(message->text);
  return message.has_value();
}

void Mount::take(const std::string& text) {
  if (text.starts_with(helper_protocol::failed)) {
    const std::string rest = text.substr(std::strlen(helper_protocol::failed));
    const std::size_t space = rest.find(' ');
    throw Error(static_cast<ErrorKind>(std::stoi(rest.substr(0, space))), spec_.hosts.front(),
                rest.substr(space + 1));
  }
  failure_ = text.starts_with(helper_protocol::down)
                 ? text.substr(std::strlen(helper_protocol::down))
                 : "";
}

const std::string& Mount::read_news() {
  while (connection_ && is_readable(connection_.get())) {
    const auto message = receive_message(connection_.get());
    if (message) {
      take(message->text);
    } else {
      connection_.reset();
      failure_ = "its helper has ended";
    }
  }
  return failure_;
}

void Mount::unmount() {
  const auto deadline = std::chrono::steady_clock::now() + kUnmountPatience;
  while (::umount2(spec_.folder.c_str(), 0) != 0 && errno == EBUSY &&
         std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(50ms);
  remove_stray_mount(spec_.folder);
}

void remove_stray_mount(const std::string& folder) {
  while (::umount2(folder.c_str(), MNT_DETACH) == 0) {
  }
  ::rmdir(folder.c_str());
}

}  // namespace virga::nfs
