// Coroutines: Async<T> is what every operation that waits returns, and offload() takes work that
// blocks (file copies, key derivation) off the thread that runs them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <list>
#include <memory>
#include <utility>

namespace virga {

namespace asio = boost::asio;

template <class T = void>
using Async = asio::awaitable<T>;

namespace detail {
template <class Work>
auto run_work(Work work) -> Async<decltype(work())> {
  co_return work();
}
}  // namespace detail

// Runs `work` on `pool` and resumes the caller, on its own executor, with the result or exception.
// Cancelling the caller does not interrupt the work; the caller learns of it at its next co_await.
//
// `work` must be a named lambda, or capture nothing that has a destructor: of a temporary lambda or
// aggregate within a co_await expression g++ 12 destroys the members twice.
template <class Work>
auto offload(asio::thread_pool& pool, Work work) -> Async<decltype(work())> {
  auto running = detail::run_work(std::move(work));
  co_return co_await asio::co_spawn(
      pool, std::move(running),
      asio::bind_cancellation_slot(asio::cancellation_slot(), asio::use_awaitable));
}

// Runs `coroutine` on `executor` (a strand, or one with a single thread) and resumes the caller, on
// its own executor, with the result or exception. Cancelling the caller cancels the coroutine.
//
// co_spawn() alone must not be used to cross executors in a coroutine that may be cancelled: in
// this version of Asio a cancellation that meets the coroutine's end refers to freed memory. Here
// what it refers to lives as long as the last who does.
template <class T>
Async<T> run_on(asio::any_io_executor executor, Async<T> coroutine) {
  const auto signal = std::make_shared<asio::cancellation_signal>();
  const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
  asio::cancellation_slot caller = state.slot();
  if (caller.is_connected())
    caller.assign([signal, executor](asio::cancellation_type type) {
      asio::post(executor, [signal, type] { signal->emit(type); });
    });
  co_return co_await asio::co_spawn(
      executor, std::move(coroutine),
      asio::bind_cancellation_slot(signal->slot(), asio::use_awaitable));
}

// Starts a coroutine nobody waits for. An exception that leaves it is logged with `what` and ends
// there; the daemon goes on.
void spawn(asio::any_io_executor executor, const char* what, Async<void> coroutine);

Async<void> sleep_for(std::chrono::steady_clock::duration duration);

// A condition several coroutines of one executor may wait for. Not thread-safe: use on one strand.
class Signal {
 public:
  explicit Signal(asio::any_io_executor executor);
  // Returns at the next notify(), never before; false when `timeout` passed first.
  Async<bool> wait(std::chrono::steady_clock::duration timeout);
  Async<void> wait();
  // Wakes everybody who waits now.
  void notify();

 private:
  struct Waiter {
    explicit Waiter(asio::any_io_executor executor) : timer(std::move(executor)) {}
    asio::steady_timer timer;
    bool notified = false;
  };
  using Waiters = std::list<Waiter*>;
  static Async<bool> wait_until(asio::any_io_executor executor, std::shared_ptr<Waiters> waiters,
                                std::chrono::steady_clock::time_point deadline);

  asio::any_io_executor executor_;
  std::shared_ptr<Waiters> waiters_;    // each in its coroutine's frame, for as long as it waits
};

// Mutual exclusion among coroutines of one executor, in the order of asking.
//   auto guard = co_await mutex.lock();
class AsyncMutex {
 public:
  class Guard {
   public:
    explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (mutex_) mutex_->unlock();
    }

   private:
    AsyncMutex* mutex_;
  };

  explicit AsyncMutex(asio::any_io_executor executor) : released_(std::move(executor)) {}
  Async<Guard> lock();

 private:
  void unlock();

  bool held_ = false;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
  Signal released_;
};

}  // namespace virga
