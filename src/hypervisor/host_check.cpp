// What a host needs to run guests well, held against what the machine has.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "hypervisor/host_probe.h"

namespace virga::hypervisor {
namespace {

using Verdict = Requirement::Verdict;

constexpr double gib = 1 << 30;
constexpr std::uint64_t least_memory = 4ull << 30;
constexpr std::uint64_t advised_memory = 8ull << 30;
constexpr std::uint64_t least_disk = 8ull << 30;
constexpr std::uint64_t advised_disk = 32ull << 30;
// Firmware and kernel keep some of the memory that is built in.
constexpr double built_in_share = 0.9;

bool has_flag(const CpuFacts& cpu, const char* flag) {
  return std::ranges::find(cpu.flags, flag) != cpu.flags.end();
}

std::string model(const CpuFacts& cpu) {
  const bool told = !cpu.packages.empty() && !cpu.packages.front().model.empty();
  return told ? cpu.packages.front().model : "unknown processor";
}

Verdict grade(bool enough, bool least) {
  if (enough) return Verdict::met;
  return least ? Verdict::degraded : Verdict::missing;
}

Requirement check_architecture(const CpuFacts& cpu) {
  return {.name = "64-bit x86 processor",
          .verdict = grade(has_flag(cpu, "lm"), false),
          .found = model(cpu),
          .why = "guests are 64-bit x86 machines"};
}

Requirement check_cores(const CpuFacts& cpu) {
  return {.name = "processor cores",
          .verdict = grade(cpu.threads >= 2, cpu.threads >= 1),
          .found = fmt::format("{} cores, {} threads", cpu.cores, cpu.threads),
          .why = "two or more keep the host responsive while a guest computes"};
}

Requirement check_no_execute(const CpuFacts& cpu) {
  const bool there = has_flag(cpu, "nx");
  return {.name = "no-execute bit",
          .verdict = grade(there, false),
          .found = there ? "NX" : "none",
          .why =
              "guests' operating systems protect their data with it; switch it on in the "
              "firmware (NX, XD)"};
}

Requirement check_virtualization(const CheckInput& input) {
  const CpuFacts& cpu = input.facts.cpu;
  const char* kind = has_flag(cpu, "vmx") ? "VT-x" : has_flag(cpu, "svm") ? "AMD-V" : "neither";
  if (!input.no_kvm_reason)
    return {.name = "processor virtualization",
            .verdict = Verdict::met,
            .found = kind,
            .why = "guests run on KVM, at the processor's own speed"};
  return {.name = "processor virtualization",
          .verdict = Verdict::degraded,
          .found = kind,
          .why = fmt::format("guests are emulated, many times slower than on KVM: {}",
                             *input.no_kvm_reason)};
}

Requirement check_hypervisor(const CheckInput& input) {
  const bool runs = !input.hypervisor.empty();
  return {.name = "hypervisor",
          .verdict = grade(runs, false),
          .found = runs ? input.hypervisor : "none",
          .why = "no guest can be started: " + input.no_hypervisor_reason};
}

Requirement check_memory(std::uint64_t bytes) {
  const auto has = [bytes](std::uint64_t wanted) {
    return static_cast<double>(bytes) >= built_in_share * static_cast<double>(wanted);
  };
  return {.name = "memory",
          .verdict = grade(has(advised_memory), has(least_memory)),
          .found = fmt::format("{:.1f} GiB", static_cast<double>(bytes) / gib),
          .why = "4 GiB are the least, 8 GiB leave room for guests"};
}

Requirement check_network(const std::vector<NetworkDevice>& nics) {
  const bool any_up = std::ranges::any_of(nics, [](const NetworkDevice& nic) { return nic.up; });
  std::vector<std::string> found;
  for (const NetworkDevice& nic : nics)
    found.push_back(fmt::format("{} ({}{})", nic.name, nic.driver, nic.up ? "" : ", no link"));
  return {.name = "network adapter",
          .verdict = grade(any_up, !nics.empty()),
          .found = found.empty() ? "none" : fmt::format("{}", fmt::join(found, ", ")),
          .why = "clients and guests reach the network through it"};
}

// PCI base class 01 is mass storage; some adapters (virtio) call themselves otherwise.
bool is_storage(const PciDevice& device, const std::vector<BlockDevice>& disks) {
  const auto serves = [&](const BlockDevice& disk) { return disk.pci_address == device.address; };
  return device.class_code >> 16 == 0x01 || std::ranges::any_of(disks, serves);
}

Requirement check_storage(const HostFacts& facts) {
  std::vector<std::string> found;
  for (const PciDevice& device : facts.pci)
    if (is_storage(device, facts.disks))
      found.push_back(fmt::format("{} {:04x}:{:04x} ({})", device.address, device.vendor,
                                  device.device,
                                  device.driver.empty() ? "no driver" : device.driver));
  const bool any_adapter = !found.empty();
  for (const BlockDevice& disk : facts.disks) found.push_back(disk.name);
  return {.name = "storage adapter",
          .verdict = grade(!facts.disks.empty(), any_adapter),
          .found = found.empty() ? "none" : fmt::format("{}", fmt::join(found, ", ")),
          .why = "guests' disks lie on what hangs on it; one without a driver or disks is no use"};
}

Requirement check_disk_space(const Volume& volume) {
  return {.name = "disk space",
          .verdict = grade(volume.free_bytes >= advised_disk, volume.free_bytes >= least_disk),
          .found = fmt::format("{:.1f} of {:.1f} GiB free in {}",
                               static_cast<double>(volume.free_bytes) / gib,
                               static_cast<double>(volume.total_bytes) / gib, volume.path),
          .why = "8 GiB are the least, 32 GiB leave room for guests"};
}

}  // namespace

std::vector<Requirement> check(const CheckInput& input) {
  const HostFacts& facts = input.facts;
  return {
      check_architecture(facts.cpu), check_cores(facts.cpu),  check_no_execute(facts.cpu),
      check_virtualization(input),   check_hypervisor(input), check_memory(facts.memory_bytes),
      check_network(facts.nics),     check_storage(facts),    check_disk_space(input.datastore)};
}

}  // namespace virga::hypervisor
