#include "nfs/v3/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nfsc/libnfs-raw-mount.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace virga::nfs::v3 {
namespace {

using namespace std::chrono_literals;

constexpr auto kMountPatience = 10s;
constexpr auto kConnectPatience = 5s;
constexpr auto kPause = Export::patience;  // before the next attempt to connect
// After that without an acknowledgement the connection is taken for lost.
constexpr unsigned kUnacknowledged = 8'000;  // ms

using Context = std::unique_ptr<rpc_context, decltype(&rpc_destroy_context)>;

Context make_context() {
  Context context(rpc_init_context(), rpc_destroy_context);
  if (!context) throw std::bad_alloc();
  return context;
}

// --- MOUNT -------------------------------------------------------------------------------------

struct MountAnswer {
  bool is_over = false;
  std::string failure;
  std::optional<mountstat3> status;
  Handle root;
};

void on_mounted(rpc_context*, int status, void* data, void* private_data) {
  auto& answer = *static_cast<MountAnswer*>(private_data);
  answer.is_over = true;
  if (status != RPC_STATUS_SUCCESS) {
    answer.failure = data ? static_cast<const char*>(data) : "no answer";
    return;
  }
  const auto& result = *static_cast<const mountres3*>(data);
  answer.status = result.fhs_status;
  if (result.fhs_status != MNT3_OK) return;
  const auto& handle = result.mountres3_u.mountinfo.fhandle;
  answer.root = {handle.fhandle3_val, handle.fhandle3_len};
}

void on_mount_service(rpc_context*, int status, void* data, void* private_data) {
  auto& answer = *static_cast<MountAnswer*>(private_data);
  answer.is_over = true;
  if (status != RPC_STATUS_SUCCESS)
    answer.failure = data ? static_cast<const char*>(data) : "no connection";
}

// false: the server did not answer in time.
bool wait_for(rpc_context* rpc, const MountAnswer& answer, Server::Clock::time_point deadline) {
  while (!answer.is_over) {
    pollfd event{rpc_get_fd(rpc), static_cast<short>(rpc_which_events(rpc)), 0};
    const auto left = deadline - Server::Clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
    if (ms <= 0) return false;
    if (::poll(&event, 1, static_cast<int>(ms)) > 0 && rpc_service(rpc, event.revents) < 0)
      return answer.is_over;
  }
  return true;
}

}  // namespace

Handle mount_export(const std::string& host, const std::string& path) {
  const std::string subject = host + ":" + path;
  const auto deadline = Server::Clock::now() + kMountPatience;
  const auto silent = [&](const std::string& why) {
    return error(ErrorKind::timed_out, subject, "the NFS server {} does not answer: {}", host, why);
  };
  MountAnswer connected, answer;
  const Context context = make_context();
  rpc_context* rpc = context.get();
  if (rpc_connect_program_async(rpc, host.c_str(), MOUNT_PROGRAM, MOUNT_V3, on_mount_service,
                                &connected) != 0)
    throw silent(rpc_get_error(rpc));
  if (!wait_for(rpc, connected, deadline)) throw silent("not in time");
  if (!connected.failure.empty()) throw silent(connected.failure);
  std::string name = path;
  if (rpc_mount3_mnt_async(rpc, on_mounted, name.data(), &answer) != 0)
    throw silent(rpc_get_error(rpc));
  if (!wait_for(rpc, answer, deadline)) throw silent("not in time");
  if (!answer.status) throw silent(answer.failure);
  switch (*answer.status) {
    case MNT3_OK:
      return answer.root;
    case MNT3ERR_NOENT:
    case MNT3ERR_NOTDIR:
      throw error(ErrorKind::not_found, subject, "{} does not export {}", host, path);
    case MNT3ERR_PERM:
    case MNT3ERR_ACCES:
      throw error(ErrorKind::access_denied, subject, "{} does not let this host mount {}", host,
                  path);
    default:
      throw error(ErrorKind::io, subject, "{} cannot mount {}: status {}", host, path,
                  static_cast<int>(*answer.status));
  }
}

// --- The connection ----------------------------------------------------------------------------

Server::Server(std::string host, Told told) : host_(std::move(host)), told_(std::move(told)) {
  connect();
}

Server::~Server() {
  if (rpc_) rpc_destroy_context(rpc_);
}

void Server::connect() {
  rpc_ = make_context().release();
  connect_at_ = Clock::now();
  failure_.clear();
  if (rpc_connect_program_async(rpc_, host_.c_str(), NFS_PROGRAM, NFS_V3, on_connected, this) != 0)
    failure_ = "it cannot be connected to";
}

void Server::on_connected(rpc_context* rpc, int status, void* data, void* server) {
  auto& self = *static_cast<Server*>(server);
  if (status != RPC_STATUS_SUCCESS) {
    self.failure_ = data ? static_cast<const char*>(data) : "it cannot be connected to";
    return;
  }
  const int fd = rpc_get_fd(rpc);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledged, sizeof kUnacknowledged);
  self.connected_ = true;
  self.told_("");
  for (auto& call : std::exchange(self.waiting_, {})) self.issue(std::move(call));
}

void Server::disconnect(const std::string& reason) {
  const bool was_connected = std::exchange(connected_, false);
  rpc_destroy_context(std::exchange(rpc_, nullptr));
  settle_unanswered(true);
  connect_at_ = Clock::now() + kPause;
  if (was_connected) told_(reason);
}

// --- Calls -------------------------------------------------------------------------------------

void Server::call(Send send, Done done) {
  issue(std::make_unique<Call>(Call{this, std::move(send), std::move(done)}));
}

void Server::issue(std::unique_ptr<Call> call) {
  if (connected_ && call->send(rpc_, on_answer, call.get()) == 0)
    (void)call.release();  // on_answer() takes it up again
  else
    waiting_.push_back(std::move(call));
}

void Server::on_answer(rpc_context*, int status, void* data, void* private_data) {
  std::unique_ptr<Call> call(static_cast<Call*>(private_data));
  Server& self = *call->server;
  if (status != RPC_STATUS_SUCCESS) {
    self.unanswered_.push_back(std::move(call));
  } else if (*static_cast<nfsstat3*>(data) == NFS3ERR_JUKEBOX) {
    self.waiting_.push_back(std::move(call));
  } else {
    call->done(data);
  }
}

void Server::settle_unanswered(bool lost) {
  Calls calls = std::exchange(unanswered_, {});
  if (lost) {
    waiting_.splice(waiting_.begin(), calls);
    return;
  }
  for (const auto& call : calls) call->done(nullptr);
}

// --- Events ------------------------------------------------------------------------------------

int Server::fd() const {
  return rpc_ ? rpc_get_fd(rpc_) : -1;
}

short Server::events() const {
  return rpc_ ? static_cast<short>(rpc_which_events(rpc_)) : 0;
}

void Server::service(int events) {
  if (!rpc_) return;
  if (rpc_service(rpc_, events) < 0)
    disconnect("the connection was lost");
  else if (!failure_.empty())
    disconnect(failure_);
  else
    settle_unanswered(false);
}

void Server::time_passed() {
  const auto now = Clock::now();
  if (!rpc_ && now >= connect_at_) {
    connect();
  } else if (rpc_ && !connected_ && (!failure_.empty() || now - connect_at_ > kConnectPatience)) {
    disconnect(failure_);
  } else if (connected_) {
    for (auto& call : std::exchange(waiting_, {})) issue(std::move(call));
  }
}

}  // namespace virga::nfs::v3
