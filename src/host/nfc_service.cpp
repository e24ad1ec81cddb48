#include "host/nfc_service.h"

#include <openssl/evp.h>

#include <mutex>

#include "base/uuid.h"
#include "datastore/disk_stream.h"
#include "datastore/files.h"
#include "host/client_url.h"
#include "kernel/session_references.h"

namespace virga::host {
namespace {

constexpr std::string_view route = "/nfc";
constexpr std::size_t piece_size = 1 << 20;

class Checksum {
 public:
  explicit Checksum(const EVP_MD* type) : context_(::EVP_MD_CTX_new()) {
    ::EVP_DigestInit_ex(context_.get(), type, nullptr);
  }

  void add(std::string_view bytes) {
    ::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  // In hexadecimal; once.
  std::string take() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    ::EVP_DigestFinal_ex(context_.get(), digest, &size);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

// What a transfer works on, a piece at a time, until the lease takes it away.
template <class T>
class Lent final : public NfcTransfer {
 public:
  template <class Make>
  void open(Make make) {
    const std::lock_guard lock(mutex_);
    require_open();
    object_ = make();
  }
  template <class Use>
  auto use(Use use) {
    const std::lock_guard lock(mutex_);
    require_open();
    return use(*object_);
  }
  void close() override {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    object_.reset();
  }

 private:
  void require_open() const {
    if (is_closed_) throw error(ErrorKind::gone, "the lease", "the lease has ended");
  }

  std::mutex mutex_;
  bool is_closed_ = false;
  std::unique_ptr<T> object_;
};

// --- Sending -----------------------------------------------------------------------------------

class Outgoing {
 public:
  virtual ~Outgoing() = default;
  // As DiskExport has them.
  virtual std::optional<std::string> next() = 0;
  virtual std::uint64_t data_bytes() const = 0;
};

class OutgoingDisk final : public Outgoing {
 public:
  explicit OutgoingDisk(const NfcFile& file) : disk_(file.place, file.name) {}
  std::optional<std::string> next() override { return disk_.next(); }
  std::uint64_t data_bytes() const override { return disk_.data_bytes(); }

 private:
  datastore::DiskExport disk_;
};

class OutgoingFile final : public Outgoing {
 public:
  explicit OutgoingFile(const NfcFile& file) : file_(file.place) {}
  std::optional<std::string> next() override {
    std::string piece(piece_size, '\0');
    piece.resize(file_.read(at_, piece));
    at_ += piece.size();
    return piece.empty() ? std::nullopt : std::optional(std::move(piece));
  }
  std::uint64_t data_bytes() const override { return 0; }

 private:
  datastore::Download file_;
  std::uint64_t at_ = 0;
};

// The file's bytes as they are made; what was sent as a whole comes into the lease's manifest.
class Sending final : public wire::ByteSource {
 public:
  Sending(Host& host, std::shared_ptr<HttpNfcLease> lease, NfcFile file,
          const std::string& checksum_type, std::shared_ptr<Lent<Outgoing>> content)
      : host_(host),
        lease_(std::move(lease)),
        file_(std::move(file)),
        content_(std::move(content)),
        sha1_(::EVP_sha1()) {
    if (checksum_type == "sha256") sha256_.emplace(::EVP_sha256());
  }
  ~Sending() override { content_->close(); }

  Async<std::size_t> read(std::span<char> buffer) override {
    while (at_ == piece_.size()) {
      if (is_over_) co_return 0;
      const auto make = [this] { make_piece(); };
      co_await offload(host_.kernel.workers, make);
      if (is_over_) co_await run_on(host_.kernel.executor, note());
    }
    const std::size_t n = std::min(buffer.size(), piece_.size() - at_);
    std::copy_n(piece_.data() + at_, n, buffer.data());
    at_ += n;
    co_return n;
  }

 private:
  void make_piece() {
    const auto next = [](Outgoing& content) { return content.next(); };
    std::optional<std::string> piece = content_->use(next);
    at_ = 0;
    is_over_ = !piece;
    piece_ = std::move(piece).value_or("");
    sha1_.add(piece_);
    if (sha256_) sha256_->add(piece_);
    size_ += piece_.size();
  }

  Async<void> note() {
    NfcSent sent;
    sent.size = size_;
    const auto count = [](Outgoing& content) { return content.data_bytes(); };
    sent.data_bytes = content_->use(count);
    sent.sha1 = sha1_.take();
    sent.checksum = sent.sha1;
    if (sha256_) sent.checksum = sha256_->take();
    lease_->note_sent(file_, std::move(sent));
    co_return;
  }

  Host& host_;
  std::shared_ptr<HttpNfcLease> lease_;
  const NfcFile file_;
  std::shared_ptr<Lent<Outgoing>> content_;
  Checksum sha1_;
  std::optional<Checksum> sha256_;
  std::string piece_;
  std::size_t at_ = 0;  // in it
  std::uint64_t size_ = 0;
  bool is_over_ = false;
};

// What a transfer begins with. Kernel executor.
struct Begun {
  NfcFile file;
  std::string checksum_type;
  bool is_anew = false;  // something of a file that is received came before
};

Async<Begun> begin(std::shared_ptr<HttpNfcLease> lease, std::string name,
                   HttpNfcLease::Direction direction, std::shared_ptr<NfcTransfer> transfer) {
  const bool is_receiving = direction == HttpNfcLease::Direction::receiving;
  if (lease->direction() != direction)
    throw wire::HttpError(405, name + (is_receiving ? " is to be read" : " is to be written"));
  Begun begun;
  begun.file = lease->begin(name, std::move(transfer));
  begun.checksum_type = lease->checksum_type(begun.file);
  if (is_receiving) begun.is_anew = lease->begin_receiving(name);
  co_return begun;
}

Async<void> end_receiving(std::shared_ptr<HttpNfcLease> lease, std::string name, bool is_whole) {
  lease->end_receiving(name, is_whole);
  co_return;
}

}  // namespace

NfcService::NfcService(Host& host, std::string thumbprint)
    : host_(host), thumbprint_(std::move(thumbprint)) {
  host_.kernel.sessions.on_end([this] { end_leases_of_nobody(); });
}

std::shared_ptr<HttpNfcLease> NfcService::open(model::Call& call,
                                               HttpNfcLease::Direction direction) {
  const kernel::Call& context = kernel::context(call);
  std::erase_if(leases_, [](const auto& entry) { return entry.second.expired(); });
  const std::string token = random_hex(20), session = context.session->key;
  HttpNfcLease::Terms terms;
  terms.url = fmt::format("{}{}/{}/", client_url(context.local_address), route, token);
  terms.thumbprint = thumbprint_;
  auto lease = std::make_shared<HttpNfcLease>(
      host_, kernel::session_reference("HttpNfcLease", session), direction, std::move(terms));
  lease->set_owner(session);
  host_.kernel.inventory.add(lease);
  leases_[token] = lease;
  return lease;
}

void NfcService::end_leases_of_nobody() {
  for (const auto& [token, known] : std::map(leases_)) {
    const auto lease = known.lock();
    if (lease && !host_.kernel.sessions.find(lease->owner()))
      lease->end(kernel::request_canceled("The session of the lease has ended."));
  }
}

Async<std::shared_ptr<HttpNfcLease>> NfcService::find(std::string token) const {
  const auto found = leases_.find(token);
  const auto lease = found == leases_.end() ? nullptr : found->second.lock();
  if (!lease) throw error(ErrorKind::not_found, "the lease", "there is no such lease");
  co_return lease;
}

void NfcService::serve(wire::HttpServer& server) {
  wire::RouteOptions options;
  options.stream_body = true;
  server.route(
      std::string(route), {"GET", "PUT", "POST"},
      [this](wire::Request& request) { return handle(request); }, options);
}

Async<wire::Response> NfcService::handle(wire::Request& request) {
  std::string_view rest = std::string_view(request.path).substr(route.size());
  if (rest.starts_with('/')) rest.remove_prefix(1);
  std::string token(wire::cut(rest, '/')), name(rest);
  auto lease = co_await run_on(host_.kernel.executor, find(std::move(token)));
  if (request.method == "PUT" || request.method == "POST")
    co_return co_await receive(request, std::move(lease), std::move(name));
  co_return co_await send(request, std::move(lease), std::move(name));
}

Async<wire::Response> NfcService::send(wire::Request& request, LeasePtr lease, std::string name) {
  const auto content = std::make_shared<Lent<Outgoing>>();
  const Begun begun = co_await run_on(
      host_.kernel.executor, begin(lease, name, HttpNfcLease::Direction::sending, content));
  const NfcFile& file = begun.file;
  wire::Response response = wire::respond(
      200, file.is_disk ? "application/x-vnd.vmware-streamVmdk" : "application/octet-stream", "");
  if (!file.is_disk) response.stream_length = file.size;
  if (request.method == "HEAD") co_return response;
  const auto open = [content, &file] {
    content->open([&file]() -> std::unique_ptr<Outgoing> {
      if (file.is_disk) return std::make_unique<OutgoingDisk>(file);
      return std::make_unique<OutgoingFile>(file);
    });
  };
  co_await offload(host_.kernel.workers, open);
  response.stream = std::make_shared<Sending>(host_, lease, file, begun.checksum_type, content);
  co_return response;
}

// --- Receiving ---------------------------------------------------------------------------------

namespace {

// What a transfer that was broken off has left goes first.
std::unique_ptr<datastore::DiskImport> open_import(const NfcFile& file, bool is_anew) {
  if (is_anew) {
    if (file.place.datastore->exists(file.place.path)) datastore::delete_disk(file.place);
    datastore::create_disk(file.place, file.spec);
  }
  return std::make_unique<datastore::DiskImport>(file.place);
}

Async<void> receive_disk(asio::thread_pool& workers, wire::ByteSource& source,
                         std::shared_ptr<Lent<datastore::DiskImport>> disk, Begun begun) {
  const auto open = [disk, &begun] {
    disk->open([&begun] { return open_import(begun.file, begun.is_anew); });
  };
  co_await offload(workers, open);
  std::vector<char> buffer(piece_size);
  while (const std::size_t n = co_await source.read(buffer)) {
    const std::string_view piece(buffer.data(), n);
    const auto write = [disk, piece] {
      disk->use([piece](datastore::DiskImport& it) { it.write(piece); });
    };
    co_await offload(workers, write);
  }
  const auto finish = [disk] {
    disk->use([](datastore::DiskImport& it) { it.finish(); });
    disk->close();
  };
  co_await offload(workers, finish);
}

}  // namespace

Async<wire::Response> NfcService::receive(wire::Request& request, LeasePtr lease,
                                          std::string name) {
  const auto disk = std::make_shared<Lent<datastore::DiskImport>>();
  const auto executor = host_.kernel.executor;
  Begun begun =
      co_await run_on(executor, begin(lease, name, HttpNfcLease::Direction::receiving, disk));
  std::exception_ptr failure;
  try {
    co_await receive_disk(host_.kernel.workers, *request.stream, disk, std::move(begun));
  } catch (...) {
    failure = std::current_exception();
  }
  disk->close();
  if (failure) {
    // The client may be gone, and this coroutine cancelled.
    asio::post(executor, [lease, name] { lease->end_receiving(name, false); });
    std::rethrow_exception(failure);
  }
  co_await run_on(executor, end_receiving(lease, name, true));
  co_return wire::respond(200, "", "");
}

}  // namespace virga::host
