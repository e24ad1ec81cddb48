#include "wire/alarm.h"

namespace virga::wire {

using Clock = std::chrono::steady_clock;

struct Alarm::State {
  State(asio::any_io_executor executor, std::function<void()> to_ring)
      : timer(std::move(executor)), ring(std::move(to_ring)) {}

  asio::steady_timer timer;
  std::function<void()> ring;
  Clock::time_point deadline = Clock::time_point::max();
  bool armed = false;
};

Alarm::Alarm(asio::any_io_executor executor, std::function<void()> ring)
    : state_(std::make_shared<State>(std::move(executor), std::move(ring))) {}

Alarm::~Alarm() {
  state_->timer.cancel();
}

void Alarm::set(Clock::duration from_now) {
  state_->deadline = Clock::now() + from_now;
  if (!state_->armed || state_->deadline < state_->timer.expiry()) arm(state_);
}

void Alarm::clear() {
  state_->deadline = Clock::time_point::max();
}

void Alarm::arm(const std::shared_ptr<State>& state) {
  state->armed = true;
  state->timer.expires_at(state->deadline);
  // The state goes with the alarm: a timer that fires after that finds nobody to ring for.
  state->timer.async_wait([weak = std::weak_ptr(state)](boost::system::error_code failure) {
    const auto alarm = weak.lock();
    if (failure || !alarm) return;
    alarm->armed = false;
    if (alarm->deadline == Clock::time_point::max()) return;
    if (Clock::now() < alarm->deadline) return arm(alarm);
    alarm->deadline = Clock::time_point::max();
    alarm->ring();
  });
}

}  // namespace virga::wire
