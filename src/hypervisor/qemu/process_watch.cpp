#include "hypervisor/qemu/process_watch.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <cerrno>

#include "hypervisor/qemu/process_identity.h"

namespace virga::hypervisor {
namespace {

std::optional<ProcessEnd> collect(int process) {
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(process), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return std::nullopt;  // not our child
  return ProcessEnd{.signalled = info.si_code != CLD_EXITED, .code = info.si_status};
}

}  // namespace

ProcessWatch::ProcessWatch(asio::any_io_executor executor, Fd process)
    : process_(std::move(executor), process.get()) {
  process.release();
}

void ProcessWatch::start(Callback callback) {
  process_.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [self = shared_from_this(), callback = std::move(callback)](boost::system::error_code code) {
        if (!code) callback(collect(self->process_.native_handle()));
      });
}

void ProcessWatch::stop() {
  boost::system::error_code ignored;
  process_.cancel(ignored);
}

Fd ProcessWatch::process() {
  return Fd(::fcntl(process_.native_handle(), F_DUPFD_CLOEXEC, 0));
}

void ProcessWatch::kill() {
  kill_process(process_.native_handle());
}

}  // namespace virga::hypervisor
