// Learning at once that a process ended, and how.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "base/async.h"
#include "base/file.h"

namespace virga::hypervisor {

struct ProcessEnd {
  bool signalled = false;
  int code = 0;  // the signal, or the exit status
};

class ProcessWatch : public std::enable_shared_from_this<ProcessWatch> {
 public:
  // How it ended is known only to the process's parent; else none.
  using Callback = std::function<void(std::optional<ProcessEnd>)>;

  // `process`: a pidfd.
  ProcessWatch(asio::any_io_executor executor, Fd process);
  // Calls back once, on the executor, when the process has ended, unless stop() came first.
  void start(Callback callback);
  void stop();
  void kill();
  // Another descriptor of the process.
  Fd process();

 private:
  asio::posix::stream_descriptor process_;
};

}  // namespace virga::hypervisor
