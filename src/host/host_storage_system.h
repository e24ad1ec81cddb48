// HostStorageSystem: the machine's adapters, disks and paths, the software iSCSI adapter, and what
// is mounted.
#pragma once

#include "host/host.h"
#include "storage/devices.h"
#include "storage/iscsi/adapter.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostStorageSystem final : public kernel::Implements<vim::HostStorageSystem> {
 public:
  explicit HostStorageSystem(Host& host);

  // Reads the machine, and logs in to the iSCSI targets it knew when it last ran.
  Async<void> start();
  // Waits for what blocks; nothing of it goes on afterwards.
  void stop() {
    if (iscsi_) iscsi_->stop();
  }

  // As last read, those of the software iSCSI adapter among them.
  const storage::Devices& devices() const { return devices_; }
  const storage::IscsiAdapter& iscsi() const { return *iscsi_; }

  // Brings fileSystemVolumeInfo up to date with the host's datastores.
  void refresh_volumes();

  Async<void> RescanVmfs(model::Call&, const vim::RescanVmfsRequestType&) override;
  Async<void> RescanHba(model::Call&, const vim::RescanHbaRequestType&) override;
  Async<void> RescanAllHba(model::Call&, const vim::RescanAllHbaRequestType&) override;
  Async<void> RefreshStorageSystem(model::Call&,
                                   const vim::RefreshStorageSystemRequestType&) override;
  Async<model::List<vim::HostDiskPartitionInfo>> RetrieveDiskPartitionInfo(
      model::Call&, const vim::RetrieveDiskPartitionInfoRequestType&) override;
  Async<model::Ptr<vim::HostDiskPartitionInfo>> ComputeDiskPartitionInfo(
      model::Call&, const vim::ComputeDiskPartitionInfoRequestType&) override;
  Async<void> EnableMultipathPath(model::Call&,
                                  const vim::EnableMultipathPathRequestType&) override;
  Async<void> DisableMultipathPath(model::Call&,
                                   const vim::DisableMultipathPathRequestType&) override;
  Async<void> SetMultipathLunPolicy(model::Call&,
                                    const vim::SetMultipathLunPolicyRequestType&) override;
  Async<model::List<vim::HostPathSelectionPolicyOption>> QueryPathSelectionPolicyOptions(
      model::Call&, const vim::QueryPathSelectionPolicyOptionsRequestType&) override;

  // host_storage_iscsi.cpp
  Async<void> UpdateSoftwareInternetScsiEnabled(
      model::Call&, const vim::UpdateSoftwareInternetScsiEnabledRequestType&) override;
  Async<void> UpdateInternetScsiDiscoveryProperties(
      model::Call&, const vim::UpdateInternetScsiDiscoveryPropertiesRequestType&) override;
  Async<void> UpdateInternetScsiAuthenticationProperties(
      model::Call&, const vim::UpdateInternetScsiAuthenticationPropertiesRequestType&) override;
  Async<void> UpdateInternetScsiDigestProperties(
      model::Call&, const vim::UpdateInternetScsiDigestPropertiesRequestType&) override;
  Async<void> UpdateInternetScsiAdvancedOptions(
      model::Call&, const vim::UpdateInternetScsiAdvancedOptionsRequestType&) override;
  Async<void> UpdateInternetScsiName(model::Call&,
                                     const vim::UpdateInternetScsiNameRequestType&) override;
  Async<void> UpdateInternetScsiAlias(model::Call&,
                                      const vim::UpdateInternetScsiAliasRequestType&) override;
  Async<void> AddInternetScsiSendTargets(
      model::Call&, const vim::AddInternetScsiSendTargetsRequestType&) override;
  Async<void> RemoveInternetScsiSendTargets(
      model::Call&, const vim::RemoveInternetScsiSendTargetsRequestType&) override;
  Async<void> AddInternetScsiStaticTargets(
      model::Call&, const vim::AddInternetScsiStaticTargetsRequestType&) override;
  Async<void> RemoveInternetScsiStaticTargets(
      model::Call&, const vim::RemoveInternetScsiStaticTargetsRequestType&) override;

 private:
  Async<void> read_machine();
  Async<void> set_path_enabled(const std::string& name, bool enabled);
  Async<void> enforce_path_rules();
  const storage::LogicalUnit& unit(const std::string& device) const;
  void publish();

  storage::IscsiSettings recorded_iscsi_settings() const;
  // The adapter's settings, to be changed; NotFound or NotSupported when it is another adapter.
  storage::IscsiSettings iscsi_settings(const std::string& device) const;
  void apply(storage::IscsiSettings settings);

  Host& host_;
  storage::Devices machine_;  // what the kernel has
  storage::Devices devices_;  // with the software iSCSI adapter's
  std::unique_ptr<storage::IscsiAdapter> iscsi_;
};

}  // namespace virga::host
