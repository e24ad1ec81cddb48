// HttpNfcLease: holds a VM while its files are sent or received over HTTPS (nfc_service.h).
//
// The task that made the lease does what surrounds the transfers: it makes the lease ready, waits
// until the client asks for the end or cannot be waited for any longer, and settles it. Kernel
// executor only, but for transfers.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "datastore/virtual_disk.h"
#include "host/host.h"
#include "kernel/faults.h"
#include "kernel/task.h"
#include "vim/interfaces.h"
#include "vmx/machine_config.h"

namespace virga::host {

// What one URL of a lease stands for.
struct NfcFile {
  std::string device;  // which of the VM's it is: "VirtualLsiLogicController0:0", "nvram"
  std::string name;    // in the URL: "disk-0.vmdk"
  datastore::Location place;
  bool is_disk = false;
  std::uint64_t capacity = 0;  // of a disk, bytes
  std::uint64_t size = 0;      // of a file that is none, or what a disk occupies
  datastore::DiskSpec spec;    // of a disk that is received
};

// What was sent of a file.
struct NfcSent {
  std::uint64_t size = 0;
  std::uint64_t data_bytes = 0;  // of a disk
  std::string sha1;
  std::string checksum;  // of the type that was asked for
};

// A transfer under way, which its lease can end from another thread.
class NfcTransfer {
 public:
  virtual ~NfcTransfer() = default;
  // Waits for the piece that is being worked on; the transfer gets no further.
  virtual void close() = 0;
};

class HttpNfcLease final : public kernel::Implements<vim::HttpNfcLease> {
 public:
  enum class Direction { sending, receiving };

  struct Terms {
    std::string url;         // how its URLs begin: "https://*/nfc/TOKEN/"
    std::string thumbprint;  // of their server
    std::chrono::milliseconds timeout = std::chrono::seconds(300);  // without progress
  };

  HttpNfcLease(Host& host, MoRef self, Direction direction, Terms terms);

  Direction direction() const { return direction_; }

  // --- For the task ---

  // Any thread.
  std::stop_token stop_token() const { return stop_.get_token(); }
  void show_initializing(int percent);
  // Ready: the URLs can be used. `entity_name`: of a VM that is received.
  void open(const MoRef& entity, const std::string& entity_name, std::vector<NfcFile> files);
  // Returns once the client completes the lease; throws the fault that ends it otherwise: that of
  // an abort, Timedout, RequestCanceled. No transfer goes on then.
  Async<void> wait_for_end(kernel::TaskHandle& handle);
  // What the whole came to.
  void settle(std::exception_ptr failure);

  // The lease ends, for a reason of the host's.
  void end(kernel::Fault reason);

  // --- For transfers ---

  // Throws Error: gone when the lease is not ready, not_found, busy for a file that is being
  // received.
  NfcFile begin(const std::string& name, std::shared_ptr<NfcTransfer> transfer);
  // Whether something of the file came before: `name` is begun anew.
  bool begin_receiving(const std::string& name);
  void end_receiving(const std::string& name, bool is_whole);
  // "sha1" or "sha256", as the manifest is to have of the file.
  std::string checksum_type(const NfcFile& file) const;
  void note_sent(const NfcFile& file, NfcSent sent);

  Async<model::List<vim::HttpNfcLeaseManifestEntry>> HttpNfcLeaseGetManifest(
      model::Call&, const vim::HttpNfcLeaseGetManifestRequestType&) override;
  Async<void> HttpNfcLeaseSetManifestChecksumType(
      model::Call&, const vim::HttpNfcLeaseSetManifestChecksumTypeRequestType&) override;
  Async<void> HttpNfcLeaseComplete(model::Call&,
                                   const vim::HttpNfcLeaseCompleteRequestType&) override;
  Async<void> HttpNfcLeaseAbort(model::Call&, const vim::HttpNfcLeaseAbortRequestType&) override;
  Async<void> HttpNfcLeaseProgress(model::Call&,
                                   const vim::HttpNfcLeaseProgressRequestType&) override;

 private:
  enum class Receipt { nothing, begun, partial, whole };

  std::string key_of(const NfcFile& file) const;
  vim::HttpNfcLeaseDeviceUrl url_of(const NfcFile& file, const std::string& entity_name) const;
  void require_ready() const;
  void require_received() const;
  Async<void> wait_until_settled();
  Async<void> close_transfers();

  Host& host_;
  const Direction direction_;
  const Terms terms_;
  std::stop_source stop_;
  Signal changed_;
  std::chrono::steady_clock::time_point deadline_;
  bool completed_ = false;                // the client asked for the end
  std::optional<kernel::Fault> failure_;  // why the lease ends without having been completed
  bool settled_ = false;
  std::vector<NfcFile> files_;
  std::map<std::string, Receipt> receipts_;  // by name
  std::vector<std::shared_ptr<NfcTransfer>> transfers_;
  std::map<std::string, std::string> checksum_types_;               // by key
  std::map<std::string, vim::HttpNfcLeaseManifestEntry> manifest_;  // by key
};

// The work of a task that a lease is for: settles the lease when `work` has ended.
Async<Any> settle_after(std::shared_ptr<HttpNfcLease> lease, Async<Any> work);

// "VirtualLsiLogicController0:0": how the keys of leases name the device in that slot.
std::string device_of_slot(const vmx::MachineConfig& config, const vmx::Slot& slot);

}  // namespace virga::host
