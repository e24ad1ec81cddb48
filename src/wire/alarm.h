// A deadline that moves with every request and rarely passes.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/async.h"

namespace virga::wire {

// Calls `ring` on the executor when the time set last has passed. Moving the deadline further away
// costs an assignment: the timer underneath is only touched when it fires, or for a nearer
// deadline. Not thread-safe: everything on one strand.
class Alarm {
 public:
  Alarm(asio::any_io_executor executor, std::function<void()> ring);
  ~Alarm();
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  void set(std::chrono::steady_clock::duration from_now);
  void clear();

 private:
  struct State;
  static void arm(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
};

}  // namespace virga::wire
