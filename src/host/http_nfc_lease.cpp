#include "host/http_nfc_lease.h"

#include <algorithm>

#include "host/datastore.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

using State = vim::HttpNfcLeaseState;

std::int64_t seconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

}  // namespace

HttpNfcLease::HttpNfcLease(Host& host, MoRef self, Direction direction, Terms terms)
    : Implements(host.kernel.inventory, std::move(self),
                 [] {
                   Properties properties;
                   properties.state = State::initializing;
                   properties.mode = "pushOrGet";
                   properties.capabilities = model::share(vim::HttpNfcLeaseCapabilities{});
                   return properties;
                 }()),
      host_(host),
      direction_(direction),
      terms_(std::move(terms)),
      changed_(host.kernel.executor) {}

// --- For the task ------------------------------------------------------------------------------

void HttpNfcLease::show_initializing(int percent) {
  update([percent](Properties& p) { p.initializeProgress = percent; });
}

std::string HttpNfcLease::key_of(const NfcFile& file) const {
  return fmt::format("/{}/{}", properties().info->entity.value, file.device);
}

vim::HttpNfcLeaseDeviceUrl HttpNfcLease::url_of(const NfcFile& file,
                                                const std::string& entity_name) const {
  vim::HttpNfcLeaseDeviceUrl url;
  url.key = key_of(file);
  if (direction_ == Direction::receiving)
    url.importKey = fmt::format("/{}/{}", entity_name, file.device);
  url.url = terms_.url + file.name;
  url.sslThumbprint = terms_.thumbprint;
  url.disk = file.is_disk;
  url.targetId = file.name;
  url.datastoreKey = file.place.datastore->url();
  if (direction_ == Direction::sending) url.fileSize = static_cast<std::int64_t>(file.size);
  return url;
}

void HttpNfcLease::open(const MoRef& entity, const std::string& entity_name,
                        std::vector<NfcFile> files) {
  if (failure_) throw *failure_;
  files_ = std::move(files);
  std::uint64_t capacity = 0;
  for (const NfcFile& file : files_) capacity += file.capacity;
  vim::HttpNfcLeaseInfo info;
  info.lease = self();
  info.entity = entity;
  info.totalDiskCapacityInKB = static_cast<std::int64_t>(capacity >> 10);
  info.leaseTimeout = static_cast<std::int32_t>(seconds(terms_.timeout));
  update([&](Properties& p) { p.info = model::share(std::move(info)); });
  deadline_ = std::chrono::steady_clock::now() + terms_.timeout;
  update([&](Properties& p) {
    for (const NfcFile& file : files_)
      p.info.edit().deviceUrl.push_back(model::share(url_of(file, entity_name)));
    p.initializeProgress = 100;
    p.state = State::ready;
  });
}

Async<void> HttpNfcLease::wait_for_end(kernel::TaskHandle& handle) {
  const auto cancel = [lease = std::static_pointer_cast<HttpNfcLease>(shared_from_this())] {
    asio::post(lease->inventory().executor(),
               [lease] { lease->end(kernel::request_canceled("The transfer was cancelled.")); });
  };
  const std::stop_callback on_stop(handle.stop_token(), cancel);
  while (!completed_ && !failure_) {
    const auto left = deadline_ - std::chrono::steady_clock::now();
    if (left <= left.zero()) {
      end(kernel::Fault(vim::Timedout{},
                        fmt::format("Nobody told of progress for {} s.", seconds(terms_.timeout))));
      break;
    }
    co_await changed_.wait(left);
    handle.report(properties().transferProgress);
  }
  co_await close_transfers();
  if (failure_) throw *failure_;
}

Async<void> HttpNfcLease::close_transfers() {
  const auto transfers = std::exchange(transfers_, {});
  const auto close = [transfers] {
    for (const auto& transfer : transfers) transfer->close();
  };
  co_await offload(host_.kernel.workers, close);
}

void HttpNfcLease::settle(std::exception_ptr failure) {
  if (failure && !failure_) failure_ = kernel::from_exception(failure, "the transfer");
  update([&](Properties& p) {
    p.state = failure_ ? State::error : State::done;
    if (!failure_) return;
    vim::LocalizedMethodFault error;
    error.fault = model::Ptr<vim::MethodFault>(failure_->detail());
    error.localizedMessage = failure_->message();
    p.error = model::share(std::move(error));
  });
  settled_ = true;
  changed_.notify();
}

void HttpNfcLease::end(kernel::Fault reason) {
  if (completed_ || failure_ || settled_) return;
  failure_ = std::move(reason);
  stop_.request_stop();
  changed_.notify();
}

Async<Any> settle_after(std::shared_ptr<HttpNfcLease> lease, Async<Any> work) {
  Any result;
  std::exception_ptr failure;
  try {
    result = co_await std::move(work);
  } catch (...) {
    failure = std::current_exception();
  }
  lease->settle(failure);
  if (failure) std::rethrow_exception(failure);
  co_return result;
}

// --- For transfers -----------------------------------------------------------------------------

NfcFile HttpNfcLease::begin(const std::string& name, std::shared_ptr<NfcTransfer> transfer) {
  if (properties().state != State::ready || completed_ || failure_)
    throw error(ErrorKind::gone, name, "the lease of {} is not open", name);
  const auto found = std::ranges::find(files_, name, &NfcFile::name);
  if (found == files_.end()) throw error(ErrorKind::not_found, name, "there is no file {}", name);
  if (receipts_[name] == Receipt::begun)
    throw error(ErrorKind::busy, name, "{} is being received", name);
  transfers_.push_back(std::move(transfer));
  return *found;
}

bool HttpNfcLease::begin_receiving(const std::string& name) {
  return std::exchange(receipts_[name], Receipt::begun) != Receipt::nothing;
}

void HttpNfcLease::end_receiving(const std::string& name, bool is_whole) {
  receipts_[name] = is_whole ? Receipt::whole : Receipt::partial;
}

std::string HttpNfcLease::checksum_type(const NfcFile& file) const {
  const auto found = checksum_types_.find(key_of(file));
  return found == checksum_types_.end() ? "sha1" : found->second;
}

void HttpNfcLease::note_sent(const NfcFile& file, NfcSent sent) {
  vim::HttpNfcLeaseManifestEntry entry;
  entry.key = key_of(file);
  entry.sha1 = std::move(sent.sha1);
  entry.checksum = std::move(sent.checksum);
  entry.checksumType = checksum_type(file);
  entry.size = static_cast<std::int64_t>(sent.size);
  entry.disk = file.is_disk;
  if (file.is_disk) {
    entry.capacity = static_cast<std::int64_t>(file.capacity);
    entry.populatedSize = static_cast<std::int64_t>(sent.data_bytes);
  }
  manifest_[entry.key] = std::move(entry);
}

// --- For clients -------------------------------------------------------------------------------

void HttpNfcLease::require_ready() const {
  if (settled_ && failure_ &&
      model::is_a(failure_->detail()->type_info(), vim::Timedout::static_type()))
    throw *failure_;
  if (properties().state != State::ready || completed_ || failure_)
    throw kernel::invalid_state(
        fmt::format("The lease is {}.", settled_ ? "over" : "not ready, or ends already"));
}

void HttpNfcLease::require_received() const {
  for (const auto& [name, receipt] : receipts_)
    if (receipt == Receipt::begun || receipt == Receipt::partial)
      throw kernel::invalid_state(name + " has not been received as a whole.");
}

Async<void> HttpNfcLease::wait_until_settled() {
  while (!settled_) co_await changed_.wait();
}

Async<model::List<vim::HttpNfcLeaseManifestEntry>> HttpNfcLease::HttpNfcLeaseGetManifest(
    model::Call&, const vim::HttpNfcLeaseGetManifestRequestType&) {
  require_ready();
  model::List<vim::HttpNfcLeaseManifestEntry> entries;
  for (const auto& [key, entry] : manifest_) entries.push_back(model::share(entry));
  co_return entries;
}

Async<void> HttpNfcLease::HttpNfcLeaseSetManifestChecksumType(
    model::Call&, const vim::HttpNfcLeaseSetManifestChecksumTypeRequestType& r) {
  require_ready();
  for (const auto& wanted : r.deviceUrlsToChecksumTypes) {
    const bool is_known = std::ranges::any_of(
        files_, [&](const NfcFile& file) { return key_of(file) == wanted->key; });
    if (!is_known)
      throw kernel::invalid_argument("deviceUrlsToChecksumTypes",
                                     wanted->key + " is the key of none of the lease's URLs");
    if (wanted->value != "sha1" && wanted->value != "sha256")
      throw kernel::invalid_argument("deviceUrlsToChecksumTypes",
                                     wanted->value + " is neither sha1 nor sha256");
    checksum_types_[wanted->key] = wanted->value;
  }
  co_return;
}

Async<void> HttpNfcLease::HttpNfcLeaseComplete(model::Call&,
                                               const vim::HttpNfcLeaseCompleteRequestType&) {
  require_ready();
  require_received();
  completed_ = true;
  changed_.notify();
  co_await wait_until_settled();
  if (failure_) throw *failure_;
}

Async<void> HttpNfcLease::HttpNfcLeaseAbort(model::Call&,
                                            const vim::HttpNfcLeaseAbortRequestType& r) {
  if (properties().state != State::initializing) require_ready();
  if (r.fault)
    end(kernel::Fault(r.fault->fault.data(), r.fault->localizedMessage.value_or("Aborted.")));
  else
    end(kernel::request_canceled("The lease was aborted."));
  co_await wait_until_settled();
}

Async<void> HttpNfcLease::HttpNfcLeaseProgress(model::Call&,
                                               const vim::HttpNfcLeaseProgressRequestType& r) {
  require_ready();
  if (r.percent < 0 || r.percent > 100)
    throw kernel::invalid_argument("percent", fmt::format("{} is not 0 to 100", r.percent));
  deadline_ = std::chrono::steady_clock::now() + terms_.timeout;
  update([&](Properties& p) { p.transferProgress = r.percent; });
  changed_.notify();
  co_return;
}

std::string device_of_slot(const vmx::MachineConfig& config, const vmx::Slot& slot) {
  std::string_view type = "VirtualIDEController";
  for (const vmx::Controller& controller : config.controllers)
    if (controller.bus == slot.bus && controller.number == slot.controller)
      type = api_type(controller.model);
  return fmt::format("{}{}:{}", type, slot.controller, slot.unit);
}

}  // namespace virga::host
