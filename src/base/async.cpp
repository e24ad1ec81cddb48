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
    : executor_(std::move(executor)), waiters_(std::make_shared<Waiters>()) {}

Async<bool> Signal::wait_until(asio::any_io_executor executor, std::shared_ptr<Waiters> waiters,
                               std::chrono::steady_clock::time_point deadline) {
  Waiter waiter(std::move(executor));
  // Leaves the list however the wait ends, even by the end of the coroutine's frame.
  struct Place {
    Waiters& list;
    Waiters::iterator at;
    ~Place() { list.erase(at); }
  } const place{*waiters, waiters->insert(waiters->end(), &waiter)};
  waiter.timer.expires_at(deadline);
  boost::system::error_code ignored;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return waiter.notified;
}

Async<bool> Signal::wait(std::chrono::steady_clock::duration timeout) {
  return wait_until(executor_, waiters_, std::chrono::steady_clock::now() + timeout);
}

Async<void> Signal::wait() {
  // Named: the coroutine's own copies, whatever becomes of the signal.
  Async<bool> notified =
      wait_until(executor_, waiters_, std::chrono::steady_clock::time_point::max());
  co_await std::move(notified);
}

void Signal::notify() {
  for (Waiter* waiter : *waiters_) {
    waiter->notified = true;
    waiter->timer.cancel();
  }
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
