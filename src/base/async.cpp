#include "base/async.h"

#include <boost/asio/redirect_error.hpp>

#include "base/log.h"

namespace virga {

void spawn(asio::any_io_executor executor, const char* what, Async<void> coroutine) {
  asio::co_spawn(executor, std::move(coroutine), [what](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      logger("async")->error("{} ended: {}", what, e.what());
    }
  });
}

Async<void> sleep_for(std::chrono::steady_clock::duration duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

Signal::Signal(asio::any_io_executor executor)
    : executor_(std::move(executor)),
      timer_(std::make_shared<asio::steady_timer>(executor_,
                                                  asio::steady_timer::time_point::max())) {}

Async<bool> Signal::wait(std::chrono::steady_clock::duration timeout) {
  // notify() cancels the generation's timer, which in turn cancels this waiter's own.
  auto deadline = std::make_shared<asio::steady_timer>(executor_, timeout);
  auto notified = std::make_shared<bool>(false);
  timer_->async_wait([deadline, notified](boost::system::error_code) {
    *notified = true;
    deadline->cancel();
  });
  boost::system::error_code ignored;
  co_await deadline->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return *notified;
}

Async<void> Signal::wait() {
  auto generation = timer_;
  boost::system::error_code ignored;
  co_await generation->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

void Signal::notify() {
  auto generation = std::exchange(
      timer_, std::make_shared<asio::steady_timer>(executor_, asio::steady_timer::time_point::max()));
  generation->cancel();
}

Async<AsyncMutex::Guard> AsyncMutex::lock() {
  const auto ticket = next_ticket_++;
  while (held_ || serving_ != ticket) co_await released_.wait();
  held_ = true;
  co_return Guard(this);
}

void AsyncMutex::unlock() {
  held_ = false;
  ++serving_;
  released_.notify();
}

}  // namespace virga
