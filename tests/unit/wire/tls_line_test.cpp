#include "wire/tls_line.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace virga::wire {
namespace {

const Certificate& authority() {
  static const Certificate made = make_authority("Lines", std::chrono::days(30));
  return made;
}
Certificate issued_by(const Certificate& issuer) {
  return issue_certificate(issuer, {"127.0.0.1", "localhost"}, std::chrono::days(2));
}

std::uint16_t free_port() {
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  return acceptor.local_endpoint().port();
}

// The near ends that a line has opened, one after another.
class NearEnds {
 public:
  TlsLine::Opening opening() {
    return [this]() -> Async<Fd> { return make(); };
  }
  // The next one; waits for it.
  Fd take() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return !ends_.empty(); });
    Fd end = std::move(ends_.front());
    ends_.pop_front();
    return end;
  }

 private:
  Async<Fd> make() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw system_error("socket", "cannot make");
    const timeval patience{20, 0};
    ::setsockopt(ends[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const std::lock_guard guard(mutex_);
    ends_.emplace_back(ends[1]);
    changed_.notify_one();
    co_return Fd(ends[0]);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Fd> ends_;
};

std::string receive(const Fd& fd, std::size_t size) {
  std::string text(size, '\0');
  const ssize_t got = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}
void send(const Fd& fd, const std::string& text) {
  ASSERT_EQ(::send(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
}

class TlsLines : public testing::Test {
 protected:
  TlsLines() : port(free_port()), runner([this] { io.run(); }) {}
  ~TlsLines() override {
    std::promise<void> stopped;
    asio::post(io, [&] {
      for (const auto& line : lines) line->stop();
      stopped.set_value();
    });
    stopped.get_future().get();
    io.stop();
    runner.join();
  }

  TlsLineOptions server() {
    return {.host = "127.0.0.1",
            .port = port,
            .identity = issued_by(authority()),
            .authorities = authority().certificate};
  }
  TlsLineOptions client() {
    TlsLineOptions options = server();
    options.server = false;
    return options;
  }
  void run(TlsLineOptions options, NearEnds& ends) {
    auto line = std::make_shared<TlsLine>(io.get_executor(), std::move(options));
    lines.push_back(line);
    spawn(io.get_executor(), "line", TlsLine::run(line, ends.opening()));
  }

  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  const std::uint16_t port;
  std::vector<std::shared_ptr<TlsLine>> lines;
  NearEnds served, called;
  std::thread runner;
};

TEST_F(TlsLines, CarryBytesBothWays) {
  run(server(), served);
  TlsLineOptions verifying = client();
  verifying.verify_peer = true;
  run(verifying, called);
  const Fd one = served.take(), other = called.take();
  send(one, "from the server");
  EXPECT_EQ(receive(other, 15), "from the server");
  const std::string much(100'000, 'x');
  std::thread sender([&] { send(other, much); });
  EXPECT_EQ(receive(one, much.size()), much);
  sender.join();
}

TEST_F(TlsLines, ServeOnePeerAfterAnother) {
  run(server(), served);
  run(client(), called);
  Fd one = served.take(), other = called.take();
  other = Fd();
  EXPECT_EQ(receive(one, 1), "");  // it was hung up
  one = served.take();
  other = called.take();
  send(other, "again");
  EXPECT_EQ(receive(one, 5), "again");
}

TEST_F(TlsLines, TakeNoServerThatDoesNotProveItself) {
  TlsLineOptions strange = server();
  strange.identity = issued_by(make_authority("Strangers", std::chrono::days(30)));
  run(strange, served);
  TlsLineOptions trusting = client();
  trusting.verify_peer = true;
  run(trusting, called);
  trusting.verify_peer = false;
  trusting.thumbprint = inspect_certificate(strange.identity.certificate).sha256_thumbprint;
  NearEnds known;
  run(trusting, known);
  const Fd end = known.take();
  Fd far = served.take();
  send(end, "known");
  std::string heard = receive(far, 5);
  for (; heard.empty(); heard = receive(far, 5)) far = served.take();  // the other one tried first
  EXPECT_EQ(heard, "known");
}

TEST_F(TlsLines, TakeNoClientWithoutACertificate) {
  TlsLineOptions asking = server();
  asking.verify_peer = true;
  run(asking, served);
  run(client(), called);
  const Fd end = called.take();
  EXPECT_EQ(receive(end, 1), "");
}

TEST_F(TlsLines, NameAPortThatSomebodyHas) {
  const TlsLine first(io.get_executor(), server());
  try {
    const TlsLine second(io.get_executor(), server());
    FAIL();
  } catch (const Error& refused) {
    EXPECT_NE(std::string(refused.what()).find(fmt::format("127.0.0.1:{}", port)),
              std::string::npos);
  }
}

}  // namespace
}  // namespace virga::wire
