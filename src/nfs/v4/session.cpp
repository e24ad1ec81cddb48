#include "nfs/v4/session.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/uuid.h"

namespace virga::nfs::v4 {
namespace {

using namespace std::chrono_literals;

constexpr const char* kPort = "2049";
constexpr auto kConnectPatience = 5s;  // until there is a session
constexpr auto kClosePatience = 2s;
constexpr auto kPause = Export::patience;  // before the next attempt, or to ask a busy server
// After that without an acknowledgement the connection is taken for lost.
constexpr unsigned kUnacknowledged = 8'000;  // ms
constexpr auto kFirstLease = 15s;            // until the server has told its own
constexpr std::size_t kOverhead = 2 << 10;   // of a message, beside its data
constexpr std::size_t kPage = 4 << 10;

std::string machine_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

// Empty: the name is not known.
AddressList resolve(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  ::getaddrinfo(host.c_str(), kPort, &hints, &found);
  return {found, ::freeaddrinfo};
}

// To a port below 1024, where there is one left: servers may ask for that of root.
void bind_to_reserved_port(int fd, int family) {
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(family);
  const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  constexpr unsigned lowest = 600, count = IPPORT_RESERVED - lowest;
  const auto first = static_cast<unsigned>(std::stoul(random_hex(2), nullptr, 16));
  for (unsigned i = 0; i < count; ++i) {
    // At the same place in both kinds of addresses.
    reinterpret_cast<sockaddr_in&>(any).sin_port =
        htons(static_cast<std::uint16_t>(lowest + (first + i) % count));
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&any), size) == 0) return;
  }
}

}  // namespace

Session::Session(std::vector<std::string> hosts, Told told)
    : hosts_(std::move(hosts)),
      told_(std::move(told)),
      machine_(machine_name()),
      owner_("virga-nfs " + make_uuid()) {}

// A power of two: what the kernel asks for then comes in parts of one size.
std::size_t Session::max_data() const {
  const std::size_t message = std::min(session_.max_request, session_.max_response);
  return message < kOverhead + kPage ? kPage : std::bit_floor(message - kOverhead);
}

// --- The connection ----------------------------------------------------------------------------

void Session::connect() {
  connect_at_ = Clock::now();
  const AddressList addresses = resolve(host());
  if (!addresses) return disconnect("its name is not known");
  const addrinfo& address = *addresses;
  socket_ = Fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_) return disconnect(std::strerror(errno));
  bind_to_reserved_port(fd(), address.ai_family);
  if (::connect(fd(), address.ai_addr, address.ai_addrlen) != 0 && errno != EINPROGRESS)
    disconnect(std::strerror(errno));
}

void Session::connected() {
  int failure = 0;
  socklen_t size = sizeof failure;
  ::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &failure, &size);
  if (failure != 0) return disconnect(std::strerror(failure));
  const int on = 1;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledged, sizeof kUnacknowledged);
  is_connected_ = true;
  if (session_.id.empty())
    begin();
  else
    start_using();
}

void Session::disconnect(const std::string& reason) {
  const std::string lost = host();
  is_in_use_ = false;
  socket_.reset();
  is_connected_ = false;
  records_ = {};
  out_.clear();
  sent_ = 0;
  expected_.clear();
  connect_at_ = Clock::now() + kPause;
  ++turn_;
  if (!was_in_use_ && turn_ >= hosts_.size())
    throw error(ErrorKind::timed_out, lost, "the NFS server {} does not answer: {}", lost, reason);
  if (std::exchange(is_told_up_, false)) told_(reason);
}

// --- Messages ----------------------------------------------------------------------------------

void Session::send(const Compound& compound, std::string_view sequence, Done done) {
  const std::uint32_t xid = next_xid_++;
  XdrWriter message = rpc_call(xid, machine_);
  compound.encode(message, sequence);
  out_.push_back(record_mark(message.bytes().size()));
  out_.push_back(message.bytes());
  expected_[xid] = std::move(done);
  flush();
}

// A connection that is broken shows when it is waited for.
void Session::flush() {
  while (!out_.empty()) {
    const std::string& first = out_.front();
    const int more = out_.size() > 1 ? MSG_MORE : 0;
    const ssize_t sent =
        ::send(fd(), first.data() + sent_, first.size() - sent_, MSG_NOSIGNAL | more);
    if (sent < 0) return;
    sent_ += static_cast<std::size_t>(sent);
    if (sent_ < first.size()) return;
    out_.pop_front();
    sent_ = 0;
  }
}

void Session::receive() {
  std::string buffer(256 << 10, '\0');
  const ssize_t received = ::recv(fd(), buffer.data(), buffer.size(), 0);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received <= 0) return disconnect("the connection was lost");
  records_.feed({buffer.data(), static_cast<std::size_t>(received)});
  while (socket_) {
    const auto record = records_.next();
    if (!record) return;
    take(*record);
  }
}

void Session::take(const std::string& record) {
  const RpcReply reply = parse_rpc_reply(record);
  const auto expected = expected_.extract(reply.xid);
  if (expected.empty()) return;
  if (reply.failure.empty()) {
    Results results(reply.results);
    expected.mapped()(&results);
  } else if (!was_in_use_) {
    refuse(ErrorKind::unsupported, reply.failure);
  } else {
    expected.mapped()(nullptr);
  }
}

// --- The session -------------------------------------------------------------------------------

// A new incarnation of this client, as the verifier says: the server forgets what it knew of it.
void Session::begin() {
  const Compound compound = Compound().exchange_id(random_hex(verifier_bytes / 2), owner_);
  send(compound, {}, [this](Results* results) {
    if (!results) return refuse(ErrorKind::io, "it does not take clients");
    if (results->status() == Status::minor_vers_mismatch)
      return refuse(ErrorKind::unsupported, "it does not speak NFS 4.1");
    if (results->status() != Status::ok)
      return refuse(ErrorKind::io, fmt::format("it does not take this client: {}",
                                               static_cast<unsigned>(results->status())));
    create_session(results->client());
  });
}

void Session::create_session(const Results::Client& client) {
  client_ = client.id;
  send(Compound().create_session(client.id, client.sequence), {}, [this](Results* results) {
    if (!results || results->status() != Status::ok)
      return refuse(ErrorKind::io, "it does not make a session");
    session_ = results->session();
    slots_.clear();
    slots_.resize(std::clamp<std::size_t>(session_.slots, 1, max_slots));
    lease_ = kFirstLease;
    const auto done = [this](Results* complete) {
      if (!complete || complete->status() != Status::ok) return;
      complete->skip({Operation::reclaim_complete, Operation::putrootfh});
      lease_ = std::chrono::seconds(std::max(1U, complete->attributes().lease_time));
    };
    Compound compound;
    compound.reclaim_complete().put_root().get_attributes({Attribute::lease_time}).once();
    waiting_.push_front({std::move(compound), done});
    start_using();
  });
}

void Session::start_using() {
  is_in_use_ = was_in_use_ = true;
  if (!std::exchange(is_told_up_, true)) told_("");
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot)
    if (!slots_[slot].call.empty()) send_in(slot);
  issue();
}

void Session::renew() {
  session_ = {};
  is_in_use_ = false;
  expected_.clear();
  Calls unanswered;
  for (SlotState& slot : slots_) unanswered.splice(unanswered.end(), slot.call);
  waiting_.splice(waiting_.begin(), unanswered);
  connect_at_ = Clock::now();
  begin();
}

void Session::refuse(ErrorKind kind, const std::string& why) {
  if (!was_in_use_) throw error(kind, host(), "the NFS server {} cannot be used: {}", host(), why);
  disconnect(why);
}

void Session::close() {
  bool is_over = !is_in_use_;
  const auto forgotten = [&is_over](Results*) { is_over = true; };
  const auto ended = [this, forgotten](Results*) {
    send(Compound().destroy_client(client_), {}, forgotten);
  };
  if (!is_over) send(Compound().destroy_session(session_.id), {}, ended);
  const auto deadline = Clock::now() + kClosePatience;
  while (!is_over && socket_ && Clock::now() < deadline) {
    pollfd event{fd(), events(), 0};
    if (::poll(&event, 1, static_cast<int>(kPause.count())) > 0) service(event.revents);
  }
}

// --- Calls -------------------------------------------------------------------------------------

void Session::call(Compound compound, Done done) {
  waiting_.push_back({std::move(compound), std::move(done)});
  issue();
}

void Session::issue() {
  for (std::uint32_t slot = 0; is_in_use_ && slot < slots_.size() && !waiting_.empty(); ++slot) {
    Calls& call = slots_[slot].call;
    if (!call.empty()) continue;
    call.splice(call.begin(), waiting_, waiting_.begin());
    send_in(slot);
  }
}

void Session::send_in(std::uint32_t slot) {
  const Call& call = slots_[slot].call.front();
  const Slot place{slot, slots_[slot].sequence, static_cast<std::uint32_t>(slots_.size() - 1)};
  renew_at_ = Clock::now() + lease_ / 3;
  send(call.compound, sequence_arguments(session_.id, place, call.compound.is_once()),
       [this, slot](Results* results) { answered(slot, results); });
}

void Session::answered(std::uint32_t number, Results* results) {
  SlotState& slot = slots_[number];
  const Status in_session = results ? results->sequence() : Status::ok;
  if (in_session != Status::ok && in_session != Status::delay &&
      in_session != Status::retry_uncached_rep)
    return renew();
  if (results && in_session != Status::delay) ++slot.sequence;
  Calls call = std::move(slot.call);
  slot.call.clear();
  if (in_session == Status::retry_uncached_rep) {
    waiting_.splice(waiting_.begin(), call);
  } else if (results &&
             (results->status() == Status::delay || results->status() == Status::grace)) {
    delayed_.splice(delayed_.end(), call);
    retry_at_ = Clock::now() + kPause;
  } else {
    call.front().done(results);
  }
  issue();
}

// --- Events ------------------------------------------------------------------------------------

short Session::events() const {
  if (!socket_) return 0;
  return static_cast<short>(!is_connected_ || !out_.empty() ? POLLIN | POLLOUT : POLLIN);
}

void Session::service(int events) {
  try {
    if (socket_ && !is_connected_) return connected();
    if (socket_ && (events & (POLLIN | POLLHUP | POLLERR)) != 0) receive();
    if (socket_) flush();
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::damaged) throw;
    disconnect(failure.what());
  }
}

void Session::time_passed() {
  const auto now = Clock::now();
  if (!socket_) {
    if (now >= connect_at_) connect();
    return;
  }
  if (!is_in_use_) {
    if (now - connect_at_ > kConnectPatience) disconnect("it does not answer in time");
    return;
  }
  if (now >= retry_at_) waiting_.splice(waiting_.end(), delayed_);
  issue();
  if (now >= renew_at_) call(Compound(), [](Results*) {});
}

}  // namespace virga::nfs::v4
