#include "base/async.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <future>
#include <string>
#include <thread>

namespace virga {
namespace {

using namespace std::chrono_literals;

TEST(Signal, WakesEveryWaiterOnceAndOnlyThoseWhoWait) {
  asio::io_context io;
  Signal signal(io.get_executor());
  int woken = 0;
  auto waiter = [&]() -> Async<void> {
    co_await signal.wait();
    ++woken;
  };
  spawn(io.get_executor(), "waiter", waiter());
  spawn(io.get_executor(), "waiter", waiter());
  io.poll();
  EXPECT_EQ(woken, 0);
  signal.notify();
  io.poll();
  EXPECT_EQ(woken, 2);
}

TEST(Signal, TellsATimeoutFromANotice) {
  asio::io_context io;
  Signal signal(io.get_executor());
  std::string seen;
  spawn(io.get_executor(), "waiter", [](Signal& s, std::string& out) -> Async<void> {
    out += co_await s.wait(1ms) ? "notified " : "expired ";
    out += co_await s.wait(1h) ? "notified" : "expired";
  }(signal, seen));
  io.run_one();
  while (seen.empty()) io.run_one();
  signal.notify();
  io.poll();
  EXPECT_EQ(seen, "expired notified");
}

TEST(AsyncMutex, ServesInTheOrderOfAsking) {
  asio::io_context io;
  AsyncMutex mutex(io.get_executor());
  Signal step(io.get_executor());
  std::string order;
  auto holder = [&](char name) -> Async<void> {
    auto guard = co_await mutex.lock();
    order += name;
    co_await step.wait();
  };
  for (const char name : {'a', 'b', 'c'}) spawn(io.get_executor(), "holder", holder(name));
  io.poll();
  EXPECT_EQ(order, "a");
  for (int i = 0; i < 3; ++i) {
    step.notify();
    io.poll();
  }
  EXPECT_EQ(order, "abc");
}

TEST(Offload, CarriesTheExceptionBack) {
  asio::io_context io;
  asio::thread_pool pool(1);
  std::string caught;
  spawn(io.get_executor(), "caller", [](asio::thread_pool& p, std::string& out) -> Async<void> {
    try {
      co_await offload(p, []() -> int { throw std::runtime_error("from the pool"); });
    } catch (const std::runtime_error& e) {
      out = e.what();
    }
  }(pool, caught));
  io.run();
  EXPECT_EQ(caught, "from the pool");
}

TEST(RunOn, ResumesTheCallerOnItsOwnExecutor) {
  asio::io_context io;
  asio::thread_pool pool(1);
  std::thread::id inside, after;
  spawn(io.get_executor(), "caller",
        [](asio::any_io_executor other, std::thread::id& in, std::thread::id& out) -> Async<void> {
          const int value = co_await run_on(other, [](std::thread::id& id) -> Async<int> {
            id = std::this_thread::get_id();
            co_return 7;
          }(in));
          EXPECT_EQ(value, 7);
          out = std::this_thread::get_id();
        }(pool.get_executor(), inside, after));
  io.run();
  EXPECT_NE(inside, std::this_thread::get_id());
  EXPECT_EQ(after, std::this_thread::get_id());
}

TEST(RunOn, CarriesTheCancellationAcross) {
  asio::io_context io;
  asio::thread_pool pool(1);
  asio::cancellation_signal cancel;
  bool ended = false;
  std::promise<void> waiting;
  asio::co_spawn(io,
                 run_on(pool.get_executor(),
                        [](std::promise<void>& here) -> Async<void> {
                          here.set_value();
                          co_await sleep_for(1h);
                        }(waiting)),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure) {
                   EXPECT_THROW(std::rethrow_exception(failure), boost::system::system_error);
                   ended = true;
                 }));
  io.poll();
  waiting.get_future().get();
  cancel.emit(asio::cancellation_type::terminal);
  io.run();
  EXPECT_TRUE(ended);
}

// Cancellations that race with the end of what they cancel: for the sanitizers to watch.
TEST(RunOn, CancellationMayMeetTheEnd) {
  asio::io_context io;
  asio::thread_pool pool(1);
  int ended = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    asio::cancellation_signal cancel;
    asio::co_spawn(
        io, run_on(pool.get_executor(), []() -> Async<void> { co_await sleep_for(0s); }()),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr) { ++ended; }));
    io.poll_one();
    cancel.emit(asio::cancellation_type::terminal);
    io.restart();
    io.run();
  }
  EXPECT_EQ(ended, kRounds);
}

}  // namespace
}  // namespace virga
