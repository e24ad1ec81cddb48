#include "base/async.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <string>

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

}  // namespace
}  // namespace virga
