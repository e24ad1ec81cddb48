#include "host/guest_file_transfers.h"

#include "base/log.h"
#include "base/uuid.h"
#include "host/client_url.h"
#include "kernel/call.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr auto kLife = std::chrono::minutes(10);
constexpr const char* kRoute = "/guestFile";
// Each is a program's run in the guest, so they are large, yet in base64 they fit into an answer.
constexpr std::size_t kPiece = 1 << 20;
static_assert(kPiece <= hypervisor::max_guest_program_data);
constexpr std::uint32_t kNewFile = 0644;

// All as the user. A piece of the file $1: the $2-th of $3 bytes.
constexpr const char* read_piece = R"(exec dd if="$1" bs="$3" skip="$2" count=1 2>/dev/null)";
constexpr const char* check_readable = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ ! -d "$1" ] || { echo "Is a directory" >&2; exit 1; }
: <"$1"
)";
// $2: whether it may replace a file.
constexpr const char* check_writable = R"(
[ ! -d "$1" ] || { echo "Is a directory" >&2; exit 1; }
[ ! -e "$1" ] || [ "$2" = yes ] || { echo "File exists" >&2; exit 1; }
stat -c %n -- "${1%/*}/" >/dev/null || exit 1
[ -w "${1%/*}/" ] || { echo "Permission denied" >&2; exit 1; }
)";
constexpr const char* make_part = R"(umask 077; set -C; : >"$1")";
constexpr const char* write_piece = R"(exec cat >>"$1")";
constexpr const char* remove_part = R"(rm -f -- "$1")";
// The part $1 gets its name $2.
constexpr const char* complete = R"(
[ ! -d "$2" ] || { echo "Is a directory" >&2; exit 1; }
[ ! -e "$2" ] || [ "$3" = yes ] || { echo "File exists" >&2; exit 1; }
mv -f -- "$1" "$2"
)";

const char* yes_or_no(bool value) {
  return value ? "yes" : "no";
}

// Reads a file of a guest in pieces, each when it is asked for.
class Outgoing final : public wire::ByteSource {
 public:
  Outgoing(Host& host, GuestSession session, std::string path)
      : host_(host), session_(std::move(session)), path_(std::move(path)) {}

  Async<std::size_t> read(std::span<char> buffer) override {
    if (read_to_ == piece_.size()) {
      piece_ = co_await run_on(host_.kernel.executor, next());
      read_to_ = 0;
    }
    const std::size_t n = std::min(buffer.size(), piece_.size() - read_to_);
    std::copy_n(piece_.begin() + static_cast<std::ptrdiff_t>(read_to_), n, buffer.begin());
    read_to_ += n;
    co_return n;
  }

 private:
  Async<std::string> next() {
    std::vector<std::string> arguments = {path_, std::to_string(number_++), std::to_string(kPiece)};
    return session_.run(read_piece, std::move(arguments), path_);
  }

  Host& host_;
  GuestSession session_;
  std::string path_;
  std::uint64_t number_ = 0;  // of the next piece
  std::string piece_;
  std::size_t read_to_ = 0;
};

int status_of(const kernel::Fault& fault) {
  const auto is = [&](const model::TypeInfo& type) {
    return model::is_a(fault.detail()->type_info(), type);
  };
  if (is(vim::GuestPermissionDenied::static_type())) return 403;
  if (is(vim::FileNotFound::static_type())) return 404;
  if (is(vim::FileAlreadyExists::static_type())) return 409;
  if (is(vim::NoDiskSpace::static_type())) return 507;
  if (is(vim::GuestOperationsUnavailable::static_type()) ||
      is(vim::InvalidPowerState::static_type()))
    return 503;
  return 500;
}

// What did not arrive whole. In a guest that is gone nobody misses it.
Async<void> remove(const GuestSession& session, std::string path) {
  std::vector<std::string> arguments = {path};
  try {
    co_await session.run(remove_part, std::move(arguments), path);
  } catch (const kernel::Fault& fault) {
    logger("host")->warn("{} stays in its guest: {}", path, fault.message());
  }
}

// Fills the buffer as far as the client sends.
Async<std::size_t> fill(wire::ByteSource& source, std::span<char> buffer) {
  std::size_t filled = 0;
  while (filled < buffer.size()) {
    const std::size_t n = co_await source.read(buffer.subspan(filled));
    if (n == 0) break;
    filled += n;
  }
  co_return filled;
}

}  // namespace

const char* const set_attributes_script = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ -z "$2$3" ] || chown -- "$2${3:+:$3}" "$1" || exit 1
[ -z "$4" ] || chmod -- "$4" "$1" || exit 1
[ -z "$5" ] || touch -m -d "@$5" -- "$1" || exit 1
[ -z "$6" ] || touch -a -d "@$6" -- "$1"
)";

std::vector<std::string> FileAttributes::arguments(const std::string& path) const {
  const auto number = [](const auto& value) {
    return value ? std::to_string(*value) : std::string();
  };
  const auto time = [](const auto& value) {
    return value ? std::to_string(value->time_since_epoch().count()) : std::string();
  };
  const std::string mode = permissions ? fmt::format("{:04o}", *permissions) : std::string();
  return {path, number(uid), number(gid), mode, time(modified), time(accessed)};
}

FileAttributes read_attributes(const vim::GuestFileAttributes& from) {
  if (dynamic_cast<const vim::GuestWindowsFileAttributes*>(&from))
    throw kernel::invalid_argument("fileAttributes", "these are attributes of Windows");
  if (from.symlinkTarget)
    throw kernel::invalid_argument("fileAttributes.symlinkTarget",
                                   "what a symbolic link leads to does not change");
  FileAttributes attributes;
  const auto seconds = [](const std::optional<model::Time>& time) {
    std::optional<std::chrono::sys_seconds> whole;
    if (time) whole = std::chrono::floor<std::chrono::seconds>(*time);
    return whole;
  };
  attributes.modified = seconds(from.modificationTime);
  attributes.accessed = seconds(from.accessTime);
  if (const auto* posix = dynamic_cast<const vim::GuestPosixFileAttributes*>(&from)) {
    if (posix->ownerId) attributes.uid = static_cast<std::uint32_t>(*posix->ownerId);
    if (posix->groupId) attributes.gid = static_cast<std::uint32_t>(*posix->groupId);
    if (posix->permissions) attributes.permissions = *posix->permissions & 07777;
  }
  return attributes;
}

Async<hypervisor::GuestFile> file_to_send(const GuestSession& session, std::string path) {
  std::vector<std::string> readable = {path}, listed = {path, std::string()};
  co_await session.run(check_readable, std::move(readable), path);
  const std::string output =
      co_await session.run(hypervisor::file_list_script, std::move(listed), path);
  const auto files = hypervisor::parse_file_list(output);
  if (files.size() != 1)
    throw kernel::Fault(vim::GuestOperationsFault{},
                        fmt::format("The guest does not tell what {} is.", path));
  co_return files.front();
}

Async<void> check_arrival(const GuestSession& session, const Arrival& arrival) {
  std::vector<std::string> arguments = {arrival.path, yes_or_no(arrival.overwrite)};
  co_await session.run(check_writable, std::move(arguments), arrival.path);
}

std::string GuestFileTransfers::admit(GuestSession session, std::variant<Departure, Arrival> file,
                                      model::Call& call) {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(transfers_, [&](const auto& entry) { return entry.second->expiry < now; });
  const std::string token = random_hex(20);
  transfers_[token] =
      std::make_shared<const Transfer>(Transfer{std::move(session), std::move(file), now + kLife});
  return fmt::format("{}{}?id={}&token={}", client_url(kernel::context(call).local_address), kRoute,
                     ++last_id_, token);
}

std::string GuestFileTransfers::offer(GuestSession session, std::string path, std::uint64_t size,
                                      model::Call& call) {
  return admit(std::move(session), Departure{std::move(path), size}, call);
}

std::string GuestFileTransfers::expect(GuestSession session, Arrival arrival, model::Call& call) {
  if (!arrival.attributes.permissions) arrival.attributes.permissions = kNewFile;
  return admit(std::move(session), std::move(arrival), call);
}

void GuestFileTransfers::serve(wire::HttpServer& server) {
  wire::RouteOptions options;
  options.stream_body = true;
  server.route(
      kRoute, {"GET", "PUT"}, [this](wire::Request& request) { return handle(request); }, options);
}

Async<GuestFileTransfers::TransferPtr> GuestFileTransfers::redeem(std::string token,
                                                                  std::string method) {
  const auto found = transfers_.find(token);
  const bool arrives = method == "PUT";
  if (found == transfers_.end() || found->second->expiry < std::chrono::steady_clock::now() ||
      std::holds_alternative<Arrival>(found->second->file) != arrives)
    throw error(ErrorKind::not_found, "token", "the token is unknown, used or too old");
  TransferPtr transfer = found->second;
  if (method != "HEAD") transfers_.erase(found);
  co_return transfer;
}

Async<wire::Response> GuestFileTransfers::handle(wire::Request& request) {
  std::optional<kernel::Fault> fault;
  try {
    std::string token(request.query.get("token"));
    TransferPtr transfer =
        co_await run_on(host_.kernel.executor, redeem(std::move(token), request.method));
    if (request.method == "PUT") co_return co_await receive(request, std::move(transfer));
    co_return send(*transfer);
  } catch (const kernel::Fault& thrown) {
    fault = thrown;
  }
  co_return wire::respond_error(status_of(*fault), fault->message());
}

wire::Response GuestFileTransfers::send(const Transfer& transfer) {
  const Departure& file = std::get<Departure>(transfer.file);
  wire::Response response = wire::respond(200, "application/octet-stream", "");
  response.stream_length = file.size;
  response.stream = std::make_shared<Outgoing>(host_, transfer.session, file.path);
  return response;
}

Async<wire::Response> GuestFileTransfers::receive(wire::Request& request, TransferPtr transfer) {
  const GuestSession& session = transfer->session;
  const Arrival& arrival = std::get<Arrival>(transfer->file);
  const std::string part = fmt::format("{}.{}", arrival.path, random_hex(8));
  const auto run = [&](const char* script, std::vector<std::string> arguments, std::string input) {
    return run_on(host_.kernel.executor,
                  session.run(script, std::move(arguments), arrival.path, std::move(input)));
  };
  std::exception_ptr failure;
  const std::vector<std::string> the_part = {part};
  try {
    co_await run(make_part, the_part, std::string());
    std::uint64_t arrived = 0;
    std::vector<char> buffer(kPiece);
    while (const std::size_t n = co_await fill(*request.stream, buffer)) {
      arrived += n;
      if (arrived > arrival.size) break;
      std::string piece(buffer.data(), n);
      co_await run(write_piece, the_part, std::move(piece));
    }
    if (arrived != arrival.size)
      throw error(ErrorKind::invalid_argument, arrival.path, "{} was to have {} bytes, not {}{}",
                  arrival.path, arrival.size, arrived > arrival.size ? "more, at least " : "",
                  arrived);
    std::vector<std::string> attributes = arrival.attributes.arguments(part);
    std::vector<std::string> names = {part, arrival.path, yes_or_no(arrival.overwrite)};
    co_await run(set_attributes_script, std::move(attributes), std::string());
    co_await run(complete, std::move(names), std::string());
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return wire::respond(200, "", "");
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await run_on(host_.kernel.executor, remove(session, part));
  std::rethrow_exception(failure);
}

}  // namespace virga::host
