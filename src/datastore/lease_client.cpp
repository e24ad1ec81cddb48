#include "datastore/lease_client.h"

#include <sys/wait.h>

#include <chrono>
#include <thread>

#include "base/companion.h"
#include "base/error.h"
#include "datastore/lease_keeper.h"

namespace virga::datastore {
namespace {

// More than the keeper lets its clients wait.
constexpr auto answer_within = std::chrono::seconds(10);
constexpr auto pause = std::chrono::milliseconds(50);  // before another attempt

std::string receive_answer(int socket) {
  if (!is_readable(socket, answer_within)) return lease_protocol::late;
  const auto message = receive_message(socket);
  if (!message) throw error(ErrorKind::gone, "lease", "the lease's keeper has ended");
  return message->text;
}

}  // namespace

LeaseClient::~LeaseClient() {
  socket_.reset();
  if (keeper_) ::waitpid(*keeper_, nullptr, WNOHANG);
}

Fd LeaseClient::connect_or_start() {
  fs::create_directories(options_.run_folder);
  const std::string socket = options_.run_folder + "/" + options_.datastore_id;
  if (Fd fd = connect_to_companion(socket)) return fd;
  if (keeper_) ::waitpid(*keeper_, nullptr, WNOHANG);
  Companion started = start_companion({options_.program, "--datastore", options_.datastore,
                                       "--host-uuid", options_.host_uuid},
                                      socket);
  keeper_ = started.pid;
  return std::move(started.connection);
}

void LeaseClient::request(const std::string& text, int descriptor) {
  const std::lock_guard lock(mutex_);
  // One that has ended since the last request is replaced by another; one that is just ending may
  // still seem to listen.
  for (int attempts = 10;; --attempts) {
    try {
      if (!socket_) socket_ = connect_or_start();
      send_message(socket_.get(), text, descriptor);
      if (receive_answer(socket_.get()) == lease_protocol::held) return;
      break;
    } catch (const Error&) {
      socket_.reset();
      if (attempts == 1) throw;
      std::this_thread::sleep_for(pause);
    }
  }
  socket_.reset();  // an answer that comes after all is not the next request's
  throw error(ErrorKind::timed_out, options_.datastore,
              "the lease on {} is not held: the datastore does not answer", options_.datastore);
}

void LeaseClient::renew() {
  request(lease_protocol::renew, -1);
}

void LeaseClient::guard(const std::string& lock_file, int guest) {
  request(lease_protocol::guard + lock_file, guest);
}

Fd LeaseClient::watch() {
  const std::lock_guard lock(mutex_);
  return connect_or_start();
}

}  // namespace virga::datastore
