// How a VM is sent: ExportVm. The task of the export has the VM as long as the lease lasts.
#include "datastore/files.h"
#include "host/http_nfc_lease.h"
#include "host/nfc_service.h"
#include "host/virtual_machine.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

constexpr const char* nvram_device = "nvram";

NfcFile plain_file(const datastore::Location& place, std::string device, std::string name) {
  NfcFile file;
  file.device = std::move(device);
  file.name = std::move(name);
  file.place = place;
  file.size = static_cast<std::uint64_t>(place.datastore->status(place.path).st_size);
  return file;
}

}  // namespace

// What it consists of elsewhere too: its disks, the variables of its firmware and the images in its
// drives.
std::vector<NfcFile> VirtualMachine::files_to_send() const {
  const ConfigContext here = context();
  std::vector<NfcFile> files;
  const auto next_name = [&](const char* kind, const char* extension) {
    return fmt::format("{}-{}.{}", kind, files.size(), extension);
  };
  for (const vmx::Disk& disk : config_.disks) {
    const auto path = resolve_file(here, disk.file);
    const auto info = disks_.find(path.format());
    if (info == disks_.end()) throw kernel::not_found(path.format());
    if (info->second.mapping)
      throw kernel::not_supported(
          fmt::format("Exporting {}, which is a raw device,", path.format()));
    NfcFile file;
    file.device = device_of_slot(config_, disk.slot);
    file.name = next_name("disk", "vmdk");
    file.place = host().locate(path.format());
    file.is_disk = true;
    file.capacity = info->second.capacity;
    file.size = info->second.allocated;
    files.push_back(std::move(file));
  }
  for (const vmx::CdRom& cdrom : config_.cdroms) {
    const auto image =
        cdrom.backing == vmx::CdRomBacking::image ? find_file(here, cdrom.file) : std::nullopt;
    if (!image) continue;
    const auto place = host().locate(image->format());
    if (place.datastore->exists(place.path))
      files.push_back(
          plain_file(place, device_of_slot(config_, cdrom.slot), next_name("file", "iso")));
  }
  const auto nvram = host().locate(nvram_file(config_, here).format());
  if (nvram.datastore->exists(nvram.path))
    files.push_back(plain_file(nvram, nvram_device, next_name("file", "nvram")));
  return files;
}

Async<Any> VirtualMachine::export_files(std::shared_ptr<HttpNfcLease> lease, std::string user,
                                        kernel::TaskHandle& handle) {
  require_accessible();
  require_power_state(vim::VirtualMachinePowerState::poweredOff);
  disks_ = co_await query_disks(config_);
  lease->open(self(), properties().name, files_to_send());
  log("Export begun by " + user);
  co_await lease->wait_for_end(handle);
  log("Exported by " + user);
  co_return Any();
}

Async<MoRef> VirtualMachine::ExportVm(model::Call& call, const vim::ExportVmRequestType&) {
  require_accessible();
  require_power_state(vim::VirtualMachinePowerState::poweredOff);
  refuse_while_busy();
  const auto lease = host().nfc->open(call, HttpNfcLease::Direction::sending);
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  const std::string user = kernel::context(call).user();
  const Work work = [this, lease, user](kernel::TaskHandle& handle) -> Async<Any> {
    return export_files(lease, user, handle);
  };
  kernel::TaskSpec spec{"ExportVm", "VirtualMachine.exportVm", self(), properties().name, true};
  host().kernel.tasks.run(call, std::move(spec),
                          [me, lease, work](kernel::TaskHandle& handle) -> Async<Any> {
                            return settle_after(lease, exclusively(me, work, handle));
                          });
  co_return lease->self();
}

}  // namespace virga::host
