// Facts about the machine the host runs on, read from /proc, /sys and the processor, and the check
// of what a host needs. What cannot be read is empty or 0, never guessed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace virga::hypervisor {

struct CpuId {
  std::uint32_t level = 0, eax = 0, ebx = 0, ecx = 0, edx = 0;
};

struct CpuPackage {
  int index = 0;
  std::string vendor;  // GenuineIntel, AuthenticAMD
  std::string model;   // AMD EPYC 7763 64-Core Processor
  double mhz = 0;
  std::vector<int> threads;  // logical processors in it
};

struct CpuFacts {
  std::vector<CpuPackage> packages;
  int cores = 0;
  int threads = 0;
  double mhz = 0;                  // of one core: nominal where known, else current
  std::vector<std::string> flags;  // as in /proc/cpuinfo
  std::vector<CpuId> cpuid;        // leaves 0, 1, 0x80000000, 0x80000001, 0x80000008
};

struct SystemFacts {  // SMBIOS types 0 and 1
  std::string vendor, product, serial, uuid;
  std::string bios_vendor, bios_version, bios_date;
};

struct NumaNode {
  int id = 0;
  std::uint64_t memory_bytes = 0;
  std::vector<int> cpus;
};

// A way to divide a device among guests (mdev): a profile of virtual GPUs.
struct MediatedType {
  std::string id;    // "nvidia-63", its name in sysfs
  std::string name;  // "GRID P4-1Q"
  int available = 0;
  std::string description;  // "num_heads=4, frl_config=60, framebuffer=1024M, …"

  bool operator==(const MediatedType&) const = default;
};

struct PciDevice {
  std::string address;  // 0000:00:1f.2
  std::uint16_t vendor = 0, device = 0, subsystem_vendor = 0, subsystem_device = 0;
  std::uint32_t class_code = 0;  // 24 bits: base class, subclass, interface
  std::string driver;
  std::uint8_t revision = 0;
  std::optional<int> iommu_group;      // none: nothing holds its DMA to a guest's memory
  int most_functions = 0;              // virtual ones that it can have (SR-IOV)
  std::vector<std::string> functions;  // those it has: their addresses, by index
  std::string physical_function;       // of a virtual one: whose it is, by address
  std::string interface;               // of a network card: eth0
  std::vector<MediatedType> mediated;

  // A bridge has an IOMMU's group too, and is nobody's.
  bool can_be_passed_through() const { return iommu_group && class_code >> 16 != 0x06; }
};

struct BlockDevice {
  std::string name;  // sda
  std::string model, vendor, serial;
  std::uint64_t bytes = 0;
  std::uint32_t sector_bytes = 512;
  bool rotational = false, removable = false;
  std::string pci_address;  // of its adapter; empty: none found
};

struct NetworkDevice {
  std::string name, mac, driver;
  std::string pci_address;
  std::uint32_t mtu = 0;
  int speed_mbps = 0;  // 0: no link or not told
  bool full_duplex = false, up = false;
};

struct Volume {  // where guests' disks are to lie
  std::string path;
  std::uint64_t total_bytes = 0, free_bytes = 0;
};

struct HostFacts {
  CpuFacts cpu;
  std::uint64_t memory_bytes = 0;
  SystemFacts system;
  std::string kernel;  // 6.1.0-18-amd64
  std::vector<NumaNode> numa;
  std::vector<PciDevice> pci;
  std::vector<BlockDevice> disks;
  std::vector<NetworkDevice>
      nics;  // physical and virtual ports of the machine, not taps or bridges
  std::chrono::system_clock::time_point boot_time;
};

// Reads everything; blocks for a few milliseconds. `root` stands before /proc and /sys (tests).
HostFacts probe_host(const std::string& root = "");
std::vector<PciDevice> probe_pci_devices(const std::string& root = "");
Volume probe_volume(const std::string& path);

// One reading of the running totals; usage is the difference of two.
struct HostSample {
  std::chrono::steady_clock::time_point at;
  std::vector<std::chrono::nanoseconds> cpu_busy;  // by logical processor, since boot
  std::uint64_t memory_used_bytes = 0;             // total less what is available
  std::uint64_t memory_free_bytes = 0;
  std::uint64_t swap_used_bytes = 0;
  double load_1 = 0, load_5 = 0, load_15 = 0;
};
HostSample sample_host(const std::string& root = "");
// Busy share of all processors between two samples, 0…1.
double cpu_usage(const HostSample& earlier, const HostSample& later);

struct Requirement {
  enum class Verdict { met, degraded, missing };  // degraded: runs, but slower or with less
  std::string name;                               // "processor virtualization"
  Verdict verdict = Verdict::missing;
  std::string found;  // "AMD EPYC, 2 cores"
  std::string why;    // what a host needs and what follows from its lack
};

struct CheckInput {
  HostFacts facts;
  std::string hypervisor;                    // "qemu 7.2.22"; empty: it cannot be run
  std::string no_hypervisor_reason;          // then
  std::optional<std::string> no_kvm_reason;  // Capabilities::accelerator_reason; none: KVM works
  Volume datastore;
};
// Pure. One entry for each: 64-bit processor, cores, no-execute, virtualization, hypervisor,
// memory, network adapter, storage adapter, disk space.
std::vector<Requirement> check(const CheckInput& input);

}  // namespace virga::hypervisor
