// A configuration as the API shows it, apart from its devices.
#include <fmt/format.h>

#include "host/hardware_version.h"
#include "host/vm_config_devices.h"
#include "host/vm_config_hot_add.h"
#include "host/vm_config_words.h"
#include "host/vm_swap.h"

namespace virga::host {
namespace {

std::string display_name(const vmx::MachineConfig& config, const ConfigContext& context) {
  return config.display_name.empty() ? context.config_file.stem() : config.display_name;
}

bool is_template(const ConfigContext& context) {
  return context.config_file.extension() == ".vmtx";
}

std::string guest_full_name_of(const vmx::MachineConfig& config) {
  return config.guest_os_alternate.empty() ? guest_full_name(guest_id_of_os(config.guest_os))
                                           : config.guest_os_alternate;
}

// Whatever a run leaves in the .vmx is no change of the configuration.
std::string change_version(vmx::MachineConfig config) {
  config.clean_shutdown = true;
  config.suspend_state.clear();
  config.location_uuid.clear();
  vmx::set_extra(config, swap_file_key, "");
  return fmt::format("{:016x}", digest(vmx::make_vmx(config).serialise()));
}

vim::VirtualMachineFileInfo files(const vmx::MachineConfig& config, const ConfigContext& context) {
  const std::string folder = context.config_file.parent().format_folder();
  vim::VirtualMachineFileInfo files;
  files.vmPathName = context.config_file.format();
  files.snapshotDirectory = files.suspendDirectory = files.logDirectory = folder;
  if (!config.working_directory.empty()) {
    if (const auto place = find_file(context, config.working_directory))
      files.snapshotDirectory = files.suspendDirectory = place->format_folder();
  }
  return files;
}

vim::ToolsConfigInfo tools(const vmx::ToolsOptions& options) {
  vim::ToolsConfigInfo info;
  info.toolsVersion = 0;
  info.afterPowerOn = options.after_power_on;
  info.afterResume = options.after_resume;
  info.beforeGuestStandby = options.before_suspend;
  info.beforeGuestShutdown = options.before_power_off;
  info.toolsUpgradePolicy = options.upgrade_policy;
  info.syncTimeWithHostAllowed = true;
  info.syncTimeWithHost = options.sync_time_with_host;
  return info;
}

vim::VirtualMachineFlagInfo flags(const vmx::MachineConfig& config) {
  vim::VirtualMachineFlagInfo flags;
  flags.disableAcceleration = false;
  flags.enableLogging = true;
  flags.useToe = false;
  flags.runWithDebugInfo = false;
  flags.monitorType = "release";
  flags.htSharing = "any";
  flags.snapshotDisabled = false;
  flags.snapshotLocked = false;
  flags.diskUuidEnabled = config.disk_uuids_shown;
  flags.virtualMmuUsage = "automatic";
  flags.virtualExecUsage = "hvAuto";
  flags.snapshotPowerOffBehavior = "powerOff";
  flags.recordReplayEnabled = false;
  flags.faultToleranceType = "unset";
  flags.cbrcCacheEnabled = false;
  flags.vvtdEnabled = false;
  flags.vbsEnabled = false;
  return flags;
}

vim::VirtualMachineDefaultPowerOpInfo power(const vmx::PowerOptions& options) {
  vim::VirtualMachineDefaultPowerOpInfo power;
  power.powerOffType = api_word(options.power_off);
  power.suspendType = api_word(options.suspend);
  power.resetType = api_word(options.reset);
  power.defaultPowerOffType = "soft";
  power.defaultSuspendType = "hard";
  power.defaultResetType = "soft";
  power.standbyAction = "checkpoint";
  return power;
}

// `normal` shares: 1000 a processor, 10 a MiB (vSphere Resource Management).
vim::ResourceAllocationInfo allocation(const vmx::Allocation& granted, std::int64_t normal) {
  vim::ResourceAllocationInfo info;
  info.reservation = granted.reservation;
  info.expandableReservation = false;
  info.limit = granted.limit.value_or(-1);
  info.shares = model::share(shares_info(granted, normal));
  return info;
}

void add_bootable_disk(vim::VirtualMachineBootOptions& boot, int key) {
  vim::VirtualMachineBootOptionsBootableDiskDevice device;
  device.deviceKey = key;
  boot.bootOrder.push_back(model::share(device));
}

void add_bootable(vim::VirtualMachineBootOptions& boot, const vmx::MachineConfig& config,
                  const std::string& device) {
  if (device == "hdd") {
    for (const vmx::Disk& disk : disks_in_boot_order(config, false))
      add_bootable_disk(boot, device_key(disk));
  } else if (device == "cdrom") {
    boot.bootOrder.push_back(model::share(vim::VirtualMachineBootOptionsBootableCdromDevice{}));
  } else if (device == "floppy") {
    boot.bootOrder.push_back(model::share(vim::VirtualMachineBootOptionsBootableFloppyDevice{}));
  } else {
    for (const vmx::NetworkAdapter& adapter : config.network_adapters) {
      if (device != fmt::format("ethernet{}", adapter.number)) continue;
      vim::VirtualMachineBootOptionsBootableEthernetDevice bootable;
      bootable.deviceKey = device_key(adapter);
      boot.bootOrder.push_back(model::share(bootable));
    }
  }
}

vim::VirtualMachineBootOptions boot_options(const vmx::MachineConfig& config) {
  vim::VirtualMachineBootOptions boot;
  boot.bootDelay = config.boot.delay_ms;
  boot.enterBIOSSetup = config.boot.enter_setup_once;
  boot.efiSecureBootEnabled = config.secure_boot;
  boot.bootRetryEnabled = config.boot.retry;
  boot.bootRetryDelay = config.boot.retry_delay_ms;
  for (const std::string& device : config.boot.order) add_bootable(boot, config, device);
  boot.networkBootProtocol = "ipv4";
  return boot;
}

void fill_fixed(vim::VirtualMachineConfigInfo& info) {
  vim::LatencySensitivity latency;
  latency.level = vim::LatencySensitivitySensitivityLevel::normal;
  info.latencySensitivity = model::share(latency);
  info.swapPlacement = "inherit";
  info.vAssertsEnabled = false;
  info.maxMksConnections = -1;
  info.guestAutoLockEnabled = false;
  info.messageBusTunnelEnabled = false;
  info.migrateEncryption = "opportunistic";
  info.ftEncryptionMode = "ftEncryptionOpportunistic";
  info.sevEnabled = false;
  info.pmemFailoverEnabled = false;
  info.vmOpNotificationToAppEnabled = false;
}

void fill_identity(vim::VirtualMachineConfigInfo& info, const vmx::MachineConfig& config,
                   const ConfigContext& context) {
  info.changeVersion = change_version(config);
  info.name = display_name(config, context);
  info.guestId = guest_id_of_os(config.guest_os);
  info.guestFullName = guest_full_name_of(config);
  info.alternateGuestName = config.guest_os_alternate;
  info.version = format_hardware_version(config.hardware_version);
  info.uuid = config.bios_uuid;
  if (!config.instance_uuid.empty()) info.instanceUuid = config.instance_uuid;
  info.template_ = is_template(context);
  info.annotation = config.annotation;
}

}  // namespace

vim::VirtualMachineConfigInfo config_info(const vmx::MachineConfig& config,
                                          const ConfigContext& context, const DeviceState& state,
                                          bool powered_on) {
  vim::VirtualMachineConfigInfo info;
  fill_identity(info, config, context);
  fill_fixed(info);
  info.files = files(config, context);
  info.tools = model::share(tools(config.tools));
  info.flags = flags(config);
  info.defaultPowerOps = power(config.power);
  info.hardware.numCPU = config.cpus;
  info.hardware.numCoresPerSocket = config.cores_per_socket;
  info.hardware.memoryMB = static_cast<std::int32_t>(config.memory_mib);
  info.hardware.virtualICH7MPresent = false;
  info.hardware.virtualSMCPresent = false;
  info.hardware.device = devices(config, context, state, powered_on);
  info.cpuAllocation = model::share(allocation(config.cpu, 1000 * config.cpus));
  info.memoryAllocation = model::share(allocation(config.memory, 10 * config.memory_mib));
  info.memoryHotAddEnabled = config.memory_hot_add;
  if (config.memory_hot_add) {
    info.hotPlugMemoryLimit =
        context.growth ? context.growth->max_memory_mib : hot_add_limit_of_memory(config, context);
    info.hotPlugMemoryIncrementSize = hot_add_step_of_memory(config);
  }
  info.cpuHotAddEnabled = config.cpu_hot_add;
  info.cpuHotRemoveEnabled = config.cpu_hot_remove;
  info.bootOptions = model::share(boot_options(config));
  info.firmware = config.firmware == vmx::Firmware::efi ? "efi" : "bios";
  info.memoryReservationLockedToMax = config.memory_reservation_locked;
  info.nestedHVEnabled = config.nested_virtualization;
  info.changeTrackingEnabled = config.changes_tracked;
  info.vPMCEnabled = config.cpu_counters;
  for (const auto& [key, value] : config.extra) {
    vim::OptionValue& option = info.extraConfig.emplace_back();
    option.key = key;
    option.value = model::any(value);
  }
  return info;
}

vim::VirtualMachineConfigSummary config_summary(const vmx::MachineConfig& config,
                                                const ConfigContext& context) {
  vim::VirtualMachineConfigSummary summary;
  summary.name = display_name(config, context);
  summary.template_ = is_template(context);
  summary.vmPathName = context.config_file.format();
  summary.memorySizeMB = static_cast<std::int32_t>(config.memory_mib);
  summary.cpuReservation = static_cast<std::int32_t>(config.cpu.reservation);
  summary.memoryReservation = static_cast<std::int32_t>(config.memory.reservation);
  summary.numCpu = config.cpus;
  summary.numEthernetCards = static_cast<std::int32_t>(config.network_adapters.size());
  summary.numVirtualDisks = static_cast<std::int32_t>(config.disks.size());
  summary.uuid = config.bios_uuid;
  if (!config.instance_uuid.empty()) summary.instanceUuid = config.instance_uuid;
  summary.guestId = guest_id_of_os(config.guest_os);
  summary.guestFullName = guest_full_name_of(config);
  summary.annotation = config.annotation;
  summary.installBootRequired = false;
  summary.tpmPresent = false;
  summary.numVmiopBackings = static_cast<std::int32_t>(std::ranges::count_if(
      config.passthrough, [](const auto& device) { return !device.vgpu.empty(); }));
  summary.hwVersion = format_hardware_version(config.hardware_version);
  return summary;
}

}  // namespace virga::host
