// What a VirtualMachineConfigSpec asks for, apart from devices.
#include "base/error.h"
#include "host/hardware_version.h"
#include "host/vm_config_hot_add.h"
#include "host/vm_config_planning.h"
#include "host/vm_config_unserved.h"
#include "host/vm_config_words.h"
#include "kernel/faults.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

using Spec = vim::VirtualMachineConfigSpec;

kernel::Fault invalid(const std::string& field, const std::string& why) {
  return kernel::invalid_argument("configSpec." + field, why);
}

// Runs what may throw an engine's Error for a value of the caller's.
template <class Parse>
auto parsed(const char* field, Parse&& parse) {
  try {
    return parse();
  } catch (const Error& failure) {
    throw invalid(field, failure.what());
  }
}

// --- Identity ----------------------------------------------------------------------------------

void set_name(const Spec& spec, Planning& planning) {
  constexpr std::size_t longest = 80;  // bytes: an inventory name
  const std::string& name = *spec.name;
  if (vmx::trim(name).empty()) throw kernel::invalid_name(name, "it is empty");
  if (name.size() > longest)
    throw kernel::invalid_name(name, fmt::format("it is longer than {} bytes", longest));
  const bool has_control = std::ranges::any_of(
      name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (has_control || !vmx::is_utf8(name))
    throw kernel::invalid_name(name, "it has characters that cannot be shown");
  planning.plan.config.display_name = name;
}

// The number of a version that VMs of this host can have.
int served_version(const std::string& word, const char* field, const ConfigContext& context) {
  const auto number = parse_hardware_version(word);
  const auto newest = parse_hardware_version(context.host_version);
  if (number > newest) throw unsupported_version(*number, context);
  if (!number || !is_hardware_version(*number))
    throw kernel::invalid_argument(field, fmt::format("there is no hardware version '{}'", word));
  return *number;
}

void set_version(const Spec& spec, Planning& planning) {
  const int wanted = served_version(*spec.version, "configSpec.version", planning.context);
  int& version = planning.plan.config.hardware_version;
  if (!planning.is_new() && wanted < version)
    throw kernel::not_supported(fmt::format("Going back from hardware version {} to {}",
                                            format_hardware_version(version), *spec.version));
  version = wanted;
}

void require_feature(const Planning& planning, const char* field, std::string_view feature) {
  const int version = planning.plan.config.hardware_version;
  const int first = first_version_with(feature);
  if (version < first)
    throw invalid(field, fmt::format("hardware version {} has no {}; {} is the first that has",
                                     format_hardware_version(version), feature,
                                     format_hardware_version(first)));
}

void set_uuid(const Spec& spec, Planning& planning) {
  planning.plan.config.bios_uuid = parsed("uuid", [&] { return vmx::canonical_uuid(*spec.uuid); });
}

void set_instance_uuid(const Spec& spec, Planning& planning) {
  planning.plan.config.instance_uuid =
      parsed("instanceUuid", [&] { return vmx::canonical_uuid(*spec.instanceUuid); });
}

void set_guest(const Spec& spec, Planning& planning) {
  std::string& guest_os = planning.plan.config.guest_os;
  if (!planning.is_new() && guest_id_of_os(guest_os) == *spec.guestId) return;
  const auto known = guest_os_of_id(*spec.guestId);
  if (!known)
    throw invalid("guestId", fmt::format("there is no guest operating system '{}'", *spec.guestId));
  guest_os = *known;
}

void set_alternate_guest_name(const Spec& spec, Planning& planning) {
  planning.plan.config.guest_os_alternate = *spec.alternateGuestName;
}

void set_annotation(const Spec& spec, Planning& planning) {
  constexpr std::size_t longest = 65'536;  // bytes
  if (spec.annotation->size() > longest)
    throw invalid("annotation", fmt::format("it is longer than {} bytes", longest));
  planning.plan.config.annotation = *spec.annotation;
}

// --- Processors and memory ---------------------------------------------------------------------

void set_processors(const Spec& spec, Planning& planning) {
  vmx::MachineConfig& config = planning.plan.config;
  const auto& version = hardware_version(config.hardware_version);
  const int cpus = spec.numCPUs.value_or(config.cpus);
  if (cpus < 1) throw invalid("numCPUs", fmt::format("{} virtual processors are too few", cpus));
  if (cpus > version.max_vcpus)
    throw invalid("numCPUs",
                  fmt::format("{} virtual processors are more than the {} of hardware version {}",
                              cpus, version.max_vcpus, format_hardware_version(version.number)));
  if (cpus > planning.context.max_vcpus)
    throw invalid("numCPUs", fmt::format("{} virtual processors are more than the {} of this host",
                                         cpus, planning.context.max_vcpus));
  const int cores = spec.numCoresPerSocket.value_or(config.cores_per_socket);
  if (cores < 1 || cpus % cores != 0)
    throw invalid(
        "numCoresPerSocket",
        fmt::format("{} virtual processors do not divide into sockets of {} cores", cpus, cores));
  if (cores > version.max_cores_per_socket)
    throw invalid(
        "numCoresPerSocket",
        fmt::format("{} cores per socket are more than the {} of hardware version {}", cores,
                    version.max_cores_per_socket, format_hardware_version(version.number)));
  if (cpus != config.cpus && planning.is_running())
    require_cpu_hot_add(config, planning.context, cpus);
  else if (cpus != config.cpus)
    planning.require_powered_off("configSpec.numCPUs");
  if (cores != config.cores_per_socket)
    planning.require_powered_off("configSpec.numCoresPerSocket");
  config.cpus = cpus;
  config.cores_per_socket = cores;
}

void set_memory(const Spec& spec, Planning& planning) {
  constexpr std::int64_t step = 4;  // MiB
  vmx::MachineConfig& config = planning.plan.config;
  const auto& version = hardware_version(config.hardware_version);
  const std::int64_t memory = *spec.memoryMB;
  if (memory < step || memory % step != 0)
    throw invalid("memoryMB", fmt::format("{} MB is not a positive multiple of {}", memory, step));
  if (memory > version.max_memory_mib)
    throw invalid("memoryMB",
                  fmt::format("{} MB is more than the {} MB of hardware version {}", memory,
                              version.max_memory_mib, format_hardware_version(version.number)));
  if (static_cast<std::uint64_t>(memory) > planning.context.max_memory_mib)
    throw invalid("memoryMB", fmt::format("{} MB is more than the {} MB of this host", memory,
                                          planning.context.max_memory_mib));
  if (memory != config.memory_mib && planning.is_running())
    require_memory_hot_add(config, planning.context, memory);
  else if (memory != config.memory_mib)
    planning.require_powered_off("configSpec.memoryMB");
  config.memory_mib = memory;
  if (config.memory_reservation_locked) config.memory.reservation = memory;
}

}  // namespace

void set_shares(const vim::SharesInfo& shares, const std::string& field,
                vmx::Allocation& allocation) {
  constexpr int most = 1'000'000;
  switch (shares.level) {
    case vim::SharesLevel::low:
      allocation.level = vmx::SharesLevel::low;
      break;
    case vim::SharesLevel::normal:
      allocation.level = vmx::SharesLevel::normal;
      break;
    case vim::SharesLevel::high:
      allocation.level = vmx::SharesLevel::high;
      break;
    case vim::SharesLevel::custom:
      if (shares.shares < 0 || shares.shares > most)
        throw invalid(field + ".shares",
                      fmt::format("{} shares are not within 0 and {}", shares.shares, most));
      allocation.level = vmx::SharesLevel::custom;
      allocation.custom_shares = shares.shares;
      break;
  }
}

void set_allocation(const vim::ResourceAllocationInfo& wanted, const std::string& field,
                    vmx::Allocation& allocation) {
  if (wanted.reservation) {
    if (*wanted.reservation < 0)
      throw invalid(field + ".reservation", fmt::format("{} is negative", *wanted.reservation));
    allocation.reservation = *wanted.reservation;
  }
  if (wanted.limit) {
    if (*wanted.limit < -1)
      throw invalid(field + ".limit",
                    fmt::format("{} is neither a limit nor -1, unlimited", *wanted.limit));
    allocation.limit = *wanted.limit == -1 ? std::nullopt : std::optional(*wanted.limit);
  }
  if (wanted.shares) set_shares(*wanted.shares, field, allocation);
  if (allocation.limit && *allocation.limit < allocation.reservation)
    throw invalid(field + ".limit", fmt::format("{} is less than the reservation of {}",
                                                *allocation.limit, allocation.reservation));
}

namespace {

void set_cpu_allocation(const Spec& spec, Planning& planning) {
  set_allocation(*spec.cpuAllocation, "cpuAllocation", planning.plan.config.cpu);
}

void set_memory_allocation(const Spec& spec, Planning& planning) {
  vmx::MachineConfig& config = planning.plan.config;
  set_allocation(*spec.memoryAllocation, "memoryAllocation", config.memory);
  if (config.memory.reservation > config.memory_mib)
    throw invalid("memoryAllocation.reservation",
                  fmt::format("{} MB is more than the VM's {} MB", config.memory.reservation,
                              config.memory_mib));
}

// All of the memory, whatever its size is going to be.
void set_memory_locked(const Spec& spec, Planning& planning) {
  vmx::MachineConfig& config = planning.plan.config;
  config.memory_reservation_locked = *spec.memoryReservationLockedToMax;
  if (config.memory_reservation_locked) config.memory.reservation = config.memory_mib;
}

void set_cpu_hot_add(const Spec& spec, Planning& planning) {
  planning.plan.config.cpu_hot_add = *spec.cpuHotAddEnabled;
}

void set_memory_hot_add(const Spec& spec, Planning& planning) {
  planning.plan.config.memory_hot_add = *spec.memoryHotAddEnabled;
}

void set_nested_virtualization(const Spec& spec, Planning& planning) {
  if (*spec.nestedHVEnabled)
    require_feature(planning, "nestedHVEnabled", features::nested_virtualization);
  planning.plan.config.nested_virtualization = *spec.nestedHVEnabled;
}

// --- Firmware and power ------------------------------------------------------------------------

void set_firmware(const Spec& spec, Planning& planning) {
  vmx::Firmware& firmware = planning.plan.config.firmware;
  if (*spec.firmware == "bios")
    firmware = vmx::Firmware::bios;
  else if (*spec.firmware == "efi")
    firmware = vmx::Firmware::efi;
  else
    throw invalid("firmware", fmt::format("'{}' is neither bios nor efi", *spec.firmware));
  if (firmware == vmx::Firmware::bios) planning.plan.config.secure_boot = false;
  if (firmware == vmx::Firmware::bios && !planning.plan.config.tpms.empty())
    throw invalid("firmware", "the virtual TPM needs EFI firmware");
  if (firmware == vmx::Firmware::efi) require_feature(planning, "firmware", features::efi);
}

// The .vmx's word for a boot device, and for disks their own order.
class BootOrder {
 public:
  explicit BootOrder(const vmx::MachineConfig& config) : config_(config) {}

  void add(const vim::VirtualMachineBootOptionsBootableDevice& device) {
    const auto& type = device.type_info();
    if (&type == &vim::VirtualMachineBootOptionsBootableDiskDevice::static_type()) {
      add_disk(static_cast<const vim::VirtualMachineBootOptionsBootableDiskDevice&>(device));
    } else if (&type == &vim::VirtualMachineBootOptionsBootableEthernetDevice::static_type()) {
      add_adapter(static_cast<const vim::VirtualMachineBootOptionsBootableEthernetDevice&>(device));
    } else if (&type == &vim::VirtualMachineBootOptionsBootableCdromDevice::static_type()) {
      add_word("cdrom");
    } else {
      throw kernel::not_supported(fmt::format("config.bootOptions.bootOrder: a {}", type.name));
    }
  }

  const std::vector<std::string>& words() const { return words_; }
  const std::string& disks() const { return disks_; }

 private:
  void add_word(const std::string& word) {
    if (std::ranges::find(words_, word) == words_.end()) words_.push_back(word);
  }
  void add_disk(const vim::VirtualMachineBootOptionsBootableDiskDevice& device) {
    const auto disk = std::ranges::find_if(
        config_.disks, [&](const vmx::Disk& it) { return device_key(it) == device.deviceKey; });
    if (disk == config_.disks.end()) throw unknown("disk", device.deviceKey);
    add_word("hdd");
    disks_ += (disks_.empty() ? "" : ",") + disk->slot.key();
  }
  void add_adapter(const vim::VirtualMachineBootOptionsBootableEthernetDevice& device) {
    const auto adapter = std::ranges::find_if(
        config_.network_adapters,
        [&](const vmx::NetworkAdapter& it) { return device_key(it) == device.deviceKey; });
    if (adapter == config_.network_adapters.end())
      throw unknown("network adapter", device.deviceKey);
    add_word(fmt::format("ethernet{}", adapter->number));
  }
  static kernel::Fault unknown(const char* what, int key) {
    return invalid("bootOptions.bootOrder", fmt::format("there is no {} {}", what, key));
  }

  const vmx::MachineConfig& config_;
  std::vector<std::string> words_;
  std::string disks_;
};

std::int64_t milliseconds(std::int64_t value, const char* field) {
  constexpr std::int64_t most = 1 << 30;  // twelve days; what a .vmx is read with
  if (value < 0 || value > most)
    throw invalid(field, fmt::format("{} ms are not within 0 and {}", value, most));
  return value;
}

void set_boot_options(const Spec& spec, Planning& planning) {
  const vim::VirtualMachineBootOptions& wanted = *spec.bootOptions;
  vmx::MachineConfig& config = planning.plan.config;
  vmx::BootOptions& boot = config.boot;
  if (wanted.bootDelay) boot.delay_ms = milliseconds(*wanted.bootDelay, "bootOptions.bootDelay");
  if (wanted.bootRetryEnabled) boot.retry = *wanted.bootRetryEnabled;
  if (wanted.bootRetryDelay)
    boot.retry_delay_ms = milliseconds(*wanted.bootRetryDelay, "bootOptions.bootRetryDelay");
  if (wanted.efiSecureBootEnabled && *wanted.efiSecureBootEnabled != config.secure_boot) {
    planning.require_powered_off("Secure Boot");
    if (*wanted.efiSecureBootEnabled) {
      require_feature(planning, "bootOptions.efiSecureBootEnabled", features::secure_boot);
      if (config.firmware != vmx::Firmware::efi)
        throw invalid("bootOptions.efiSecureBootEnabled", "Secure Boot needs EFI firmware");
    }
    config.secure_boot = *wanted.efiSecureBootEnabled;
  }
  if (wanted.bootOrder.empty()) return;
  BootOrder order(config);
  for (const auto& device : wanted.bootOrder) order.add(*device);
  boot.order = order.words();
  vmx::set_extra(config, disk_boot_order_key, order.disks());
}

// Of all disks; a new one follows suit (DevicePlanner::add_disk()).
void set_change_tracking(const Spec& spec, Planning& planning) {
  vmx::MachineConfig& config = planning.plan.config;
  if (*spec.changeTrackingEnabled)
    require_feature(planning, "changeTrackingEnabled", features::change_tracking);
  config.changes_tracked = *spec.changeTrackingEnabled;
  for (vmx::Disk& disk : config.disks)
    disk.changes_tracked = config.changes_tracked && disk.mode == vmx::DiskMode::persistent;
}

void set_power_option(const std::optional<std::string>& word, const char* field,
                      vmx::PowerOption& option) {
  if (!word) return;
  const auto known = power_option_of(*word);
  if (!known)
    throw invalid(std::string("powerOpInfo.") + field,
                  fmt::format("'{}' is none of soft, hard and preset", *word));
  option = *known;
}

void set_power_options(const Spec& spec, Planning& planning) {
  const vim::VirtualMachineDefaultPowerOpInfo& wanted = *spec.powerOpInfo;
  vmx::PowerOptions& power = planning.plan.config.power;
  set_power_option(wanted.powerOffType, "powerOffType", power.power_off);
  set_power_option(wanted.suspendType, "suspendType", power.suspend);
  set_power_option(wanted.resetType, "resetType", power.reset);
}

void set_tools(const Spec& spec, Planning& planning) {
  const vim::ToolsConfigInfo& wanted = *spec.tools;
  vmx::ToolsOptions& tools = planning.plan.config.tools;
  tools.after_power_on = wanted.afterPowerOn.value_or(tools.after_power_on);
  tools.after_resume = wanted.afterResume.value_or(tools.after_resume);
  tools.before_suspend = wanted.beforeGuestStandby.value_or(tools.before_suspend);
  tools.before_power_off = wanted.beforeGuestShutdown.value_or(tools.before_power_off);
  tools.sync_time_with_host = wanted.syncTimeWithHost.value_or(tools.sync_time_with_host);
}

void set_flags(const Spec& spec, Planning& planning) {
  bool& shown = planning.plan.config.disk_uuids_shown;
  shown = spec.flags->diskUuidEnabled.value_or(shown);
}

// --- Extra configuration -----------------------------------------------------------------------

std::string option_text(const vim::OptionValue& option) {
  if (const auto* text = option.value.get<std::string>()) return *text;
  if (const auto* flag = option.value.get<bool>()) return *flag ? "TRUE" : "FALSE";
  if (const auto* number = option.value.get<std::int32_t>()) return std::to_string(*number);
  if (const auto* number = option.value.get<std::int64_t>()) return std::to_string(*number);
  if (!option.value) return "";
  throw invalid("extraConfig", fmt::format("the value of {} is no text", option.key));
}

// The settings with a place of their own that everybody knows by their .vmx keys.
bool* find_known_flag(const std::string& key, vmx::MachineConfig& config) {
  if (vmx::equal_ignoring_case(key, "disk.EnableUUID")) return &config.disk_uuids_shown;
  if (vmx::equal_ignoring_case(key, "ctkEnabled")) return &config.changes_tracked;
  for (vmx::Disk& disk : config.disks)
    if (vmx::equal_ignoring_case(key, disk.slot.key() + ".ctkEnabled"))
      return &disk.changes_tracked;
  return nullptr;
}

void set_extra_option(const vim::OptionValue& option, vmx::MachineConfig& config) {
  const std::string text = option_text(option);
  if (bool* flag = find_known_flag(option.key, config)) {
    *flag = vmx::equal_ignoring_case(text, "TRUE") || text == "1";
    return;
  }
  const bool plain = !option.key.empty() && option.key.size() <= vmx::VmxFile::max_key &&
                     vmx::is_ascii(option.key) &&
                     option.key.find_first_of(" \t\r\n\"#=") == std::string::npos;
  if (!plain) throw invalid("extraConfig", fmt::format("'{}' is no key", option.key));
  if (!vmx::is_utf8(text))
    throw invalid("extraConfig", fmt::format("the value of {} is no text", option.key));
  parsed("extraConfig", [&] { vmx::set_extra(config, option.key, text); });
}

void set_extra_config(const Spec& spec, Planning& planning) {
  for (const auto& option : spec.extraConfig) set_extra_option(*option, planning.plan.config);
}

// --- All together ------------------------------------------------------------------------------

struct Setting {
  std::string_view field;
  const char* privilege;
  bool while_running;  // takes effect, or is to, without a restart of the guest
  void (*apply)(const Spec&, Planning&);
};

// In the order of dependence. A setting is changed when it makes the configuration another.
constexpr Setting kSettings[] = {
    {"name", "VirtualMachine.Config.Rename", true, set_name},
    {"version", "VirtualMachine.Config.UpgradeVirtualHardware", false, set_version},
    {"uuid", "VirtualMachine.Config.Settings", false, set_uuid},
    {"instanceUuid", "VirtualMachine.Config.Settings", false, set_instance_uuid},
    {"guestId", "VirtualMachine.Config.Settings", false, set_guest},
    {"alternateGuestName", "VirtualMachine.Config.Settings", false, set_alternate_guest_name},
    {"annotation", "VirtualMachine.Config.Annotation", true, set_annotation},
    {"cpuHotAddEnabled", "VirtualMachine.Config.CPUCount", false, set_cpu_hot_add},
    {"memoryHotAddEnabled", "VirtualMachine.Config.Memory", false, set_memory_hot_add},
    {"numCPUs", "VirtualMachine.Config.CPUCount", true, set_processors},
    {"numCoresPerSocket", "VirtualMachine.Config.CPUCount", true, set_processors},
    {"memoryMB", "VirtualMachine.Config.Memory", true, set_memory},
    {"cpuAllocation", "VirtualMachine.Config.Resource", true, set_cpu_allocation},
    {"memoryAllocation", "VirtualMachine.Config.Resource", true, set_memory_allocation},
    {"memoryReservationLockedToMax", "VirtualMachine.Config.Resource", true, set_memory_locked},
    {"nestedHVEnabled", "VirtualMachine.Config.Settings", false, set_nested_virtualization},
    {"changeTrackingEnabled", "VirtualMachine.Config.ChangeTracking", true, set_change_tracking},
    {"firmware", "VirtualMachine.Config.Settings", false, set_firmware},
    {"powerOpInfo", "VirtualMachine.Config.Settings", true, set_power_options},
    {"tools", "VirtualMachine.Config.Settings", true, set_tools},
    {"flags", "VirtualMachine.Config.Settings", false, set_flags},
    {"extraConfig", "VirtualMachine.Config.AdvancedConfig", true, set_extra_config},
};
// Names devices, so it follows them.
constexpr Setting kBootOptions = {"bootOptions", "VirtualMachine.Config.Settings", true,
                                  set_boot_options};

void apply(const Setting& setting, const Spec& spec, Planning& planning) {
  if (!spec.type_info().field(setting.field)->get(spec)) return;
  const vmx::MachineConfig before = planning.plan.config;
  setting.apply(spec, planning);
  if (planning.is_new() || planning.plan.config == before) return;
  if (!setting.while_running)
    planning.require_powered_off("configSpec." + std::string(setting.field));
  planning.need(setting.privilege);
}

// What is left after the settings above must be what the VM has anyway.
void refuse_the_rest(const Spec& spec, const Planning& planning) {
  FieldPaths served = {"changeVersion", "deviceChange",    "vmProfile",   "files",
                       "tools",         "flags",           "powerOpInfo", "bootOptions",
                       "cpuAllocation", "memoryAllocation"};
  for (const Setting& setting : kSettings) served.emplace(setting.field);
  const auto info = config_info(planning.plan.config, planning.context, {}, planning.is_running());
  refuse_unserved(spec, &info, served, "config");
  const auto check = [](const auto& asked, const auto& granted, const char* name,
                        const FieldPaths& but = {}) {
    if (asked) refuse_unserved(*asked, &granted, but, name);
  };
  check(spec.files, info.files, "config.files",
        planning.is_new() ? FieldPaths{"vmPathName"} : FieldPaths{});
  check(spec.tools, *info.tools, "config.tools");
  check(spec.flags, info.flags, "config.flags");
  check(spec.powerOpInfo, info.defaultPowerOps, "config.powerOpInfo");
  check(spec.bootOptions, *info.bootOptions, "config.bootOptions");
  check(spec.cpuAllocation, *info.cpuAllocation, "config.cpuAllocation");
  check(spec.memoryAllocation, *info.memoryAllocation, "config.memoryAllocation");
  refuse_profiles(spec.vmProfile, "config.vmProfile");
}

// In the order a .vmx is read, so that devices keep their labels.
void sort_devices(vmx::MachineConfig& config) {
  std::ranges::sort(config.controllers, {},
                    [](const vmx::Controller& it) { return std::pair(it.bus, it.number); });
  std::ranges::sort(config.disks, {}, &vmx::Disk::slot);
  std::ranges::sort(config.cdroms, {}, &vmx::CdRom::slot);
  std::ranges::sort(config.network_adapters, {}, &vmx::NetworkAdapter::number);
}

ConfigPlan make_plan(const Spec& spec, Planning planning) {
  for (const Setting& setting : kSettings) apply(setting, spec, planning);
  plan_devices(planning, spec.deviceChange);
  apply(kBootOptions, spec, planning);
  sort_devices(planning.plan.config);
  refuse_the_rest(spec, planning);
  if (!planning.plan.config.bios_uuid.empty())
    vmx::generate_missing_macs(planning.plan.config, planning.context.mac_in_use);
  return std::move(planning.plan);
}

}  // namespace

void Planning::require_powered_off(const std::string& what) const {
  if (life == Life::created || life == Life::powered_off) return;
  vim::InvalidPowerState detail;
  detail.requestedState = vim::VirtualMachinePowerState::poweredOff;
  detail.existingState = life == Life::suspended ? vim::VirtualMachinePowerState::suspended
                                                 : vim::VirtualMachinePowerState::poweredOn;
  throw kernel::Fault(
      std::move(detail),
      fmt::format("{} cannot change while {} is {}.", what, plan.config.display_name,
                  life == Life::suspended ? "suspended" : "powered on"));
}

void refuse_profiles(const model::List<vim::VirtualMachineProfileSpec>& profiles,
                     const std::string& name) {
  for (const auto& profile : profiles) {
    const auto& type = profile->type_info();
    if (&type != &vim::VirtualMachineDefaultProfileSpec::static_type() &&
        &type != &vim::VirtualMachineEmptyProfileSpec::static_type())
      throw kernel::not_supported(fmt::format("{} (a {})", name, type.name));
  }
}

int upgraded_version(const vmx::MachineConfig& config, const std::optional<std::string>& asked,
                     const ConfigContext& context) {
  const bool any = !asked || asked->empty();
  const int wanted = served_version(any ? context.host_version : *asked, "version", context);
  if (config.hardware_version >= wanted)
    throw kernel::Fault(vim::AlreadyUpgraded{},
                        fmt::format("{} has hardware version {} already.", config.display_name,
                                    format_hardware_version(config.hardware_version)));
  return wanted;
}

ConfigPlan plan_creation(const Spec& spec, const ConfigContext& context) {
  if (!spec.name) throw kernel::invalid_name("", "it is empty");
  Planning planning{context, Life::created, {}};
  vmx::MachineConfig& config = planning.plan.config;
  config.hardware_version = parse_hardware_version(context.host_version).value_or(0);
  config.guest_os = *guest_os_of_id("otherGuest");
  config.nvram = context.config_file.stem() + ".nvram";
  return make_plan(spec, std::move(planning));
}

ConfigPlan plan_change(const vmx::MachineConfig& present, const Spec& spec,
                       const ConfigContext& context, bool powered_on) {
  const Life life = powered_on                      ? Life::powered_on
                    : present.suspend_state.empty() ? Life::powered_off
                                                    : Life::suspended;
  Planning planning{context, life, {.config = present}};
  if (spec.changeVersion && !spec.changeVersion->empty()) {
    const auto info = config_info(present, context, {}, powered_on);
    if (*spec.changeVersion != info.changeVersion)
      throw kernel::Fault(vim::ConcurrentAccess{},
                          fmt::format("The configuration of {} has changed: it is {} now, not {}.",
                                      info.name, info.changeVersion, *spec.changeVersion));
  }
  return make_plan(spec, std::move(planning));
}

}  // namespace virga::host
