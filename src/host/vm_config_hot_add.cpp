#include "host/vm_config_hot_add.h"

#include <algorithm>

#include "host/guest_os.h"
#include "host/hardware_version.h"
#include "host/vm_config_words.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

// Each processor that may come costs the guest some memory from its start.
constexpr int kFewestRoomForCpus = 32;
constexpr std::int64_t kFactor = 16;
constexpr std::int64_t kSmallLinux = 3 * 1024;  // MiB
// Linux takes memory in blocks of 128 MiB, and from 64 GiB on of up to 2 GiB.
constexpr std::int64_t kStep = 128, kLargeStep = 2048, kLarge = 64 * 1024;

bool has_version(const vmx::MachineConfig& config) {
  return config.hardware_version >= first_version_with(features::hot_add);
}

const GuestOs* guest_of(const vmx::MachineConfig& config) {
  return find_guest_os_by_short_name(config.guest_os);
}

bool guest_takes_cpus(const vmx::MachineConfig& config) {
  const GuestOs* guest = guest_of(config);
  return guest && supports_cpu_hot_add(*guest);
}

bool guest_takes_memory(const vmx::MachineConfig& config) {
  const GuestOs* guest = guest_of(config);
  return guest && supports_memory_hot_add(*guest);
}

// The device that reaches into the guest's memory, and was told where it is; empty: there is none.
std::string device_in_memory(const vmx::MachineConfig& config) {
  if (!config.passthrough.empty()) return label(config.passthrough.front());
  for (const vmx::NetworkAdapter& adapter : config.network_adapters)
    if (adapter.model == vmx::AdapterModel::vrdma) return label(adapter);
  return {};
}

template <class Detail>
class Refusal {
 public:
  Refusal(const vmx::MachineConfig& config, const char* what) : config_(config), what_(what) {}

  [[noreturn]] void because(const std::string& why) const {
    throw kernel::Fault(Detail{}, fmt::format("The {} of {} cannot change while it runs: {}.",
                                              what_, config_.display_name, why));
  }

  // The rules that hold for both.
  void check(bool enabled, const char* option, bool guest_takes, const Growth& growth) const {
    if (!enabled)
      because(fmt::format("hot add is not enabled ({}), which takes it powered off", option));
    if (!has_version(config_))
      because(fmt::format("hardware version {} has no {}; {} is the first that has",
                          format_hardware_version(config_.hardware_version), features::hot_add,
                          format_hardware_version(first_version_with(features::hot_add))));
    if (!guest_takes)
      because(fmt::format("its guest operating system, {}, does not support it",
                          guest_full_name(guest_id_of_os(config_.guest_os))));
    if (!growth.tools_running) because("the tools are not running in the guest");
  }

 private:
  const vmx::MachineConfig& config_;
  const char* what_;
};

}  // namespace

int hot_add_limit_of_cpus(const vmx::MachineConfig& config, const ConfigContext& context) {
  if (!config.cpu_hot_add || !has_version(config) || !guest_takes_cpus(config)) return 0;
  const int room = std::max({context.processors, kFewestRoomForCpus, config.cpus});
  const int most =
      std::min({room, context.max_vcpus, hardware_version(config.hardware_version).max_vcpus});
  return std::max(most - most % config.cores_per_socket, config.cpus);
}

std::int64_t hot_add_limit_of_memory(const vmx::MachineConfig& config,
                                     const ConfigContext& context) {
  if (!config.memory_hot_add || !has_version(config) || !guest_takes_memory(config)) return 0;
  if (!device_in_memory(config).empty()) return 0;
  const bool is_linux = guest_of(config)->family == GuestFamily::linux;
  const std::int64_t most =
      is_linux && config.memory_mib <= kSmallLinux ? kSmallLinux : config.memory_mib * kFactor;
  // What may come has addresses apart from the rest, and the hypervisor's limit is one of
  // addresses.
  const auto addressable = static_cast<std::int64_t>(context.max_memory_mib / 2);
  const std::int64_t of_version = hardware_version(config.hardware_version).max_memory_mib;
  return std::max(std::min({most, addressable, of_version}), config.memory_mib);
}

std::int64_t hot_add_step_of_memory(const vmx::MachineConfig& config) {
  return config.memory_mib < kLarge ? kStep : kLargeStep;
}

void require_cpu_hot_add(const vmx::MachineConfig& config, const ConfigContext& context, int cpus) {
  const Refusal<vim::CpuHotPlugNotSupported> refusal(config, "number of processors");
  const Growth growth = context.growth.value_or(Growth{});
  if (cpus < config.cpus)
    refusal.because(fmt::format("it has {}, and the hypervisor takes none away", config.cpus));
  refusal.check(config.cpu_hot_add, "cpuHotAddEnabled", guest_takes_cpus(config), growth);
  if (cpus > growth.max_vcpus)
    refusal.because(fmt::format("{} are more than the {} it was powered on with room for", cpus,
                                growth.max_vcpus));
}

void require_memory_hot_add(const vmx::MachineConfig& config, const ConfigContext& context,
                            std::int64_t memory_mib) {
  const Refusal<vim::MemoryHotPlugNotSupported> refusal(config, "memory");
  const Growth growth = context.growth.value_or(Growth{});
  if (memory_mib < config.memory_mib)
    refusal.because(fmt::format("it has {} MB, and none of it can go", config.memory_mib));
  refusal.check(config.memory_hot_add, "memoryHotAddEnabled", guest_takes_memory(config), growth);
  if (const std::string device = device_in_memory(config); !device.empty())
    refusal.because(fmt::format("its {} reaches into it", device));
  if (memory_mib > growth.max_memory_mib)
    refusal.because(fmt::format("{} MB are more than its hotPlugMemoryLimit of {} MB", memory_mib,
                                growth.max_memory_mib));
  const std::int64_t step = hot_add_step_of_memory(config);
  if ((memory_mib - config.memory_mib) % step != 0)
    refusal.because(
        fmt::format("{} MB more are no multiple of its hotPlugMemoryIncrementSize of "
                    "{} MB",
                    memory_mib - config.memory_mib, step));
  if (!growth.has_free_slot)
    refusal.because("memory has come too many times; there is room again after a power off");
}

}  // namespace virga::host
