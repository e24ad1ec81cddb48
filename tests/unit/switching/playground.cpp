#include "playground.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <future>
#include <random>

#include "base/error.h"
#include "base/process.h"
#include "switching/ovs/netdev.h"

extern char** environ;

namespace virga::switching {
namespace {

Fd this_network() {
  return open_file("/proc/thread-self/ns/net", O_RDONLY);
}

void enter_new_network() {
  if (::unshare(CLONE_NEWNET) != 0) throw system_error("network namespace", "cannot make");
  ovs::set_up("lo");
}

void set_mac(const std::string& device, const std::string& mac) {
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (std::size_t i = 0; i < 6; ++i)
    request.ifr_hwaddr.sa_data[i] = static_cast<char>(std::stoi(mac.substr(3 * i, 2), nullptr, 16));
  const Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::ioctl(fd.get(), SIOCSIFHWADDR, &request) != 0) throw system_error(device, "cannot name");
}

// Carries what can be read from `from` to `to`, a frame at a time. A full queue drops, as a wire
// does.
void carry(const Fd& from, const Fd& to) {
  char frame[65536];
  for (;;) {
    const ssize_t n = ::read(from.get(), frame, sizeof frame);
    if (n <= 0) return;
    [[maybe_unused]] const ssize_t sent = ::write(to.get(), frame, static_cast<std::size_t>(n));
  }
}

sockaddr_in address_of(const std::string& address, int port) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
  return in;
}

std::string receive(const Fd& fd, std::size_t length) {
  std::string text(length, '\0');
  std::size_t have = 0;
  while (have < length) {
    const ssize_t n = ::read(fd.get(), text.data() + have, length - have);
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  text.resize(have);
  return text;
}

}  // namespace

Machine::Machine() {
  char folder[] = "/tmp/virga-switching-XXXXXX";
  if (!::mkdtemp(folder)) throw system_error(folder, "cannot make");
  folder_ = folder;
  fs::create_directories(run_dir());
  former_network_ = this_network();
  enter_new_network();

  // Waits for the end of its input, which is this object's end or the test's.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error("pipe", "cannot make");
  const Fd output(ends[0]);
  reaper_input_ = Fd(ends[1]);
  const std::string script =
      "cat >/dev/null; for f in \"$1\"/run/*.pid; do [ -f \"$f\" ] && kill -9 $(cat \"$f\"); done;"
      "rm -rf \"$1\"";
  const char* argv[] = {"sh", "-c", script.c_str(), "sh", folder_.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output.get(), 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  ::posix_spawnp(&reaper_, "sh", &actions, nullptr, const_cast<char**>(argv), environ);
  posix_spawn_file_actions_destroy(&actions);
}

Machine::~Machine() {
  reaper_input_.reset();
  ::waitpid(reaper_, nullptr, 0);
  ::setns(former_network_.get(), CLONE_NEWNET);
}

int Machine::pid_of(const std::string& pid_file) const {
  return std::stoi(read_file(run_dir() / pid_file));
}

Guest::Guest(Fd tap, const std::string& mac) : stop_(::eventfd(0, EFD_CLOEXEC)) {
  std::promise<void> alive;
  thread_ = std::thread([&, tap = std::move(tap)]() mutable {
    Fd card;
    try {
      enter_new_network();
      card = ovs::create_tap("eth0", 1500);
      set_mac("eth0", mac);
      network_fd_ = this_network();
      alive.set_value();
    } catch (...) {
      alive.set_exception(std::current_exception());
      return;
    }
    // From here on the constructor's frame is gone: only members and locals.
    pollfd polls[] = {{tap.get(), POLLIN, 0}, {card.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    while (::poll(polls, 3, -1) >= 0 && !polls[2].revents) {
      carry(tap, card);
      carry(card, tap);
    }
  });
  try {
    alive.get_future().get();
  } catch (...) {
    thread_.join();
    throw;
  }
  network_ = fmt::format("/proc/{}/fd/{}", ::getpid(), network_fd_.get());
}

Guest::~Guest() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

std::string Guest::run(std::vector<std::string> command) const {
  command.insert(command.begin(), {"nsenter", "--net=" + network_});
  return run_checked(command);
}

void Guest::set_address(const std::string& address) const {
  run({"ip", "address", "add", address, "dev", "eth0"});
}

bool Guest::pings(const std::string& address) const {
  return run_process({"nsenter", "--net=" + network_, "ping", "-c1", "-W1", address}).exit_code ==
         0;
}

bool Guest::reaches(const std::string& address) const {
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (pings(address)) return true;
  }
  return false;
}

Fd tcp_socket() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

// A socket belongs to the network of the thread that made it, whoever uses it.
Fd Guest::socket() const {
  Fd fd;
  std::thread([&] {
    ::setns(network_fd_.get(), CLONE_NEWNET);
    fd = tcp_socket();
  }).join();
  return fd;
}

Conversation talk(Fd client, Fd server, const std::string& address, int port) {
  sockaddr_in local = address_of("0.0.0.0", port);
  if (::bind(server.get(), reinterpret_cast<sockaddr*>(&local), sizeof local) != 0 ||
      ::listen(server.get(), 1) != 0)
    throw system_error("server", "cannot listen as");
  std::string sent(1 << 20, '\0');
  std::minstd_rand random(static_cast<unsigned>(port));
  for (char& byte : sent) byte = static_cast<char>(random());
  Conversation seen;
  std::thread serving([&] {
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const Fd connection(
        ::accept4(server.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC));
    if (!connection) return;
    char text[INET_ADDRSTRLEN];
    seen.client = ::inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
    const std::string received = receive(connection, sent.size());
    ::send(connection.get(), received.data(), received.size(), MSG_NOSIGNAL);
  });
  const sockaddr_in remote = address_of(address, port);
  if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&remote), sizeof remote) == 0 &&
      ::send(client.get(), sent.data(), sent.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(sent.size()))
    seen.complete = receive(client, sent.size()) == sent;
  serving.join();
  return seen;
}

void Loop::run_until(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    io_.restart();
    io_.run_one_until(deadline);
    if (std::chrono::steady_clock::now() >= deadline)
      throw error(ErrorKind::timed_out, "test", "what the test waits for did not happen");
  }
}

}  // namespace virga::switching
