#include "nfs/helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <list>

#include "base/companion.h"
#include "base/error.h"
#include "base/log.h"
#include "nfs/file_system.h"

namespace virga::nfs {
namespace {

// How long a helper that failed waits for a daemon to tell it to.
constexpr auto kFarewell = std::chrono::seconds(5);

// As the mount table calls it.
std::string name_of(const Source& source) {
  return source.hosts.front() + ":" + source.path;
}

class Helper {
 public:
  explicit Helper(const HelperOptions& options)
      : options_(options),
        listener_(options.listener),
        export_(make_export(options.source,
                            [this](const std::string& failure) { server_changed(failure); })),
        files_(*export_, {options.folder, name_of(options.source), options.read_only}) {}

  void run() {
    files_.start();
    while (!files_.has_ended()) {
      wait();
      if (!files_.is_mounted()) continue;
      if (is_readable(listener_)) greet();
      if (is_readable(files_.fd())) files_.service();
      std::erase_if(daemons_, [](const Fd& daemon) {
        return is_readable(daemon.get()) && !receive_message(daemon.get());
      });
    }
    export_->close();
  }

 private:
  // Daemons are listened to when there is a mount: a failure before is told by tell_failure().
  void wait() {
    std::vector<pollfd> events = {{export_->fd(), export_->events(), 0},
                                  {files_.fd(), POLLIN, 0},
                                  {files_.is_mounted() ? listener_ : -1, POLLIN, 0}};
    for (const Fd& daemon : daemons_) events.push_back({daemon.get(), POLLIN, 0});
    ::poll(events.data(), events.size(), static_cast<int>(Export::patience.count()));
    if (events[0].revents != 0) export_->service(events[0].revents);
    export_->time_passed();
  }

  void greet() {
    Fd daemon(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!daemon) return;
    daemons_.push_back(std::move(daemon));
    tell(daemons_.back());
  }

  void server_changed(const std::string& failure) {
    logger("nfs")->warn("{}: {}", name_of(options_.source),
                        failure.empty() ? "connected" : failure);
    state_ = failure.empty() ? helper_protocol::up : helper_protocol::down + failure;
    tell();
  }

  // A daemon that went away shows when it is read from.
  void tell(const Fd& daemon) const {
    ::send(daemon.get(), state_.data(), state_.size(), MSG_NOSIGNAL);
  }

  void tell() const {
    for (const Fd& daemon : daemons_) tell(daemon);
  }

  const HelperOptions& options_;
  const int listener_;  // not ours to close: a failure is told through it
  std::list<Fd> daemons_;
  std::string state_ = std::string(helper_protocol::down) + "it was not connected to yet";
  const std::unique_ptr<Export> export_;
  FileSystem files_;
};

void tell_failure(int listener, const Error& failure) {
  logger("nfs")->error("{}", failure.what());
  if (!is_readable(listener, kFarewell)) return;
  const Fd daemon(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  send_message(daemon.get(), fmt::format("{}{} {}", helper_protocol::failed,
                                         static_cast<int>(failure.kind()), failure.what()));
}

}  // namespace

void serve_mount(const HelperOptions& options) {
  try {
    Helper(options).run();
  } catch (const Error& failure) {
    tell_failure(options.listener, failure);
    throw;
  }
}

}  // namespace virga::nfs
