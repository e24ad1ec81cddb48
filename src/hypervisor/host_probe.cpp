#include "hypervisor/host_probe.h"

#include <cpuid.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/sysfs.h"

namespace virga::hypervisor {
namespace {

// "key: value" lines, as in /proc/meminfo and /proc/cpuinfo.
std::map<std::string, std::string> key_values(const std::string& text) {
  std::map<std::string, std::string> all;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const auto key_end = line.find_last_not_of(" \t", colon ? colon - 1 : 0);
    const auto value = line.find_first_not_of(" \t", colon + 1);
    all[line.substr(0, key_end + 1)] = value == std::string::npos ? "" : line.substr(value);
  }
  return all;
}

// Paragraphs between empty lines.
std::vector<std::string> paragraphs(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find("\n\n", start), text.size());
    all.push_back(text.substr(start, end - start));
    start = end + 2;
  }
  return all;
}

double to_double(const std::string& text) {
  try {
    return std::stod(text);
  } catch (const std::exception&) {
    return 0;
  }
}

int to_int(const std::string& text) {
  return static_cast<int>(to_double(text));
}

// "0-3,8" as in /sys/…/cpulist.
std::vector<int> parse_list(const std::string& text) {
  std::vector<int> all;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    const auto dash = range.find('-');
    const int first = to_int(range);
    const int last = dash == std::string::npos ? first : to_int(range.substr(dash + 1));
    for (int i = first; i <= last; ++i) all.push_back(i);
  }
  return all;
}

// "value kB"
std::uint64_t kib(const std::map<std::string, std::string>& table, const std::string& key) {
  const auto found = table.find(key);
  return found == table.end() ? 0 : static_cast<std::uint64_t>(to_double(found->second)) * 1024;
}

// ---- Processor

std::vector<CpuId> read_cpuid() {
  std::vector<CpuId> all;
  for (const std::uint32_t level : {0x0u, 0x1u, 0x80000000u, 0x80000001u, 0x80000008u}) {
    CpuId id{.level = level};
    if (__get_cpuid(level, &id.eax, &id.ebx, &id.ecx, &id.edx)) all.push_back(id);
  }
  return all;
}

double nominal_mhz(const fs::path& cpu, double current) {
  const std::uint64_t base_khz = read_number(cpu / "cpufreq/base_frequency");
  const std::uint64_t maximum_khz = read_number(cpu / "cpufreq/cpuinfo_max_freq");
  if (base_khz) return static_cast<double>(base_khz) / 1000;
  return maximum_khz ? static_cast<double>(maximum_khz) / 1000 : current;
}

CpuFacts probe_cpu(const fs::path& root) {
  CpuFacts facts;
  std::map<int, CpuPackage> packages;
  std::set<std::pair<int, int>> cores;
  for (const std::string& text : paragraphs(read_text(root / "proc/cpuinfo"))) {
    auto fields = key_values(text);
    if (!fields.contains("processor")) continue;
    const int thread = to_int(fields["processor"]);
    const int index = to_int(fields["physical id"]);
    CpuPackage& package = packages[index];
    if (package.threads.empty()) {
      const fs::path cpu = root / "sys/devices/system/cpu" / fmt::format("cpu{}", thread);
      package = {.index = index,
                 .vendor = fields["vendor_id"],
                 .model = fields["model name"],
                 .mhz = nominal_mhz(cpu, to_double(fields["cpu MHz"]))};
    }
    package.threads.push_back(thread);
    cores.emplace(index, fields.contains("core id") ? to_int(fields["core id"]) : thread);
    ++facts.threads;
    if (facts.flags.empty()) {
      std::istringstream words(fields["flags"]);
      for (std::string word; words >> word;) facts.flags.push_back(word);
    }
  }
  for (auto& [index, package] : packages) facts.packages.push_back(std::move(package));
  facts.cores = static_cast<int>(cores.size());
  if (!facts.packages.empty()) facts.mhz = facts.packages.front().mhz;
  facts.cpuid = read_cpuid();
  return facts;
}

// ---- The rest of the machine

SystemFacts probe_system(const fs::path& root) {
  const fs::path dmi = root / "sys/class/dmi/id";
  return {.vendor = read_text(dmi / "sys_vendor"),
          .product = read_text(dmi / "product_name"),
          .serial = read_text(dmi / "product_serial"),
          .uuid = read_text(dmi / "product_uuid"),
          .bios_vendor = read_text(dmi / "bios_vendor"),
          .bios_version = read_text(dmi / "bios_version"),
          .bios_date = read_text(dmi / "bios_date")};
}

std::vector<NumaNode> probe_numa(const fs::path& root) {
  std::vector<NumaNode> nodes;
  for (const fs::path& path : entries(root / "sys/devices/system/node")) {
    const std::string name = path.filename();
    if (!name.starts_with("node")) continue;
    NumaNode node{.id = to_int(name.substr(4)), .cpus = parse_list(read_text(path / "cpulist"))};
    // "Node 0 MemTotal:       24000000 kB"
    const std::string meminfo = read_text(path / "meminfo");
    const auto total = meminfo.find("MemTotal:");
    if (total != std::string::npos)
      node.memory_bytes = static_cast<std::uint64_t>(to_double(meminfo.substr(total + 9))) * 1024;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::vector<MediatedType> mediated_types(const fs::path& device) {
  std::vector<MediatedType> types;
  for (const fs::path& path : entries(device / "mdev_supported_types"))
    types.push_back({.id = path.filename(),
                     .name = read_text(path / "name"),
                     .available = static_cast<int>(read_number(path / "available_instances")),
                     .description = read_text(path / "description")});
  return types;
}

// Linked to by the device they are functions of, as virtfn0, virtfn1 and so on.
std::vector<std::string> virtual_functions(const fs::path& device) {
  std::vector<std::string> functions;
  for (;;) {
    std::string address = link_target_name(device / fmt::format("virtfn{}", functions.size()));
    if (address.empty()) return functions;
    functions.push_back(std::move(address));
  }
}

PciDevice probe_pci_device(const fs::path& path) {
  const auto id = [&](const char* name) {
    return static_cast<std::uint16_t>(read_number(path / name, 16));
  };
  PciDevice device = {.address = path.filename(),
                      .vendor = id("vendor"),
                      .device = id("device"),
                      .subsystem_vendor = id("subsystem_vendor"),
                      .subsystem_device = id("subsystem_device"),
                      .class_code = static_cast<std::uint32_t>(read_number(path / "class", 16)),
                      .driver = link_target_name(path / "driver"),
                      .revision = static_cast<std::uint8_t>(id("revision")),
                      .most_functions = static_cast<int>(read_number(path / "sriov_totalvfs")),
                      .functions = virtual_functions(path),
                      .physical_function = link_target_name(path / "physfn"),
                      .mediated = mediated_types(path)};
  const std::string group = link_target_name(path / "iommu_group");
  if (!group.empty()) device.iommu_group = to_int(group);
  const auto interfaces = entries(path / "net");
  if (!interfaces.empty()) device.interface = interfaces.front().filename();
  return device;
}

std::vector<PciDevice> probe_pci(const fs::path& root) {
  std::vector<PciDevice> devices;
  for (const fs::path& path : entries(root / "sys/bus/pci/devices"))
    devices.push_back(probe_pci_device(path));
  return devices;
}

// Loops, RAM disks and volumes made of others live under /sys/devices/virtual; so do the disks of a
// multipath NVMe subsystem, which are real.
bool is_physical(const fs::path& link) {
  std::error_code code;
  const std::string path = fs::canonical(link, code);
  return !path.empty() && (path.find("/devices/virtual/") == std::string::npos ||
                           path.find("/nvme-subsystem/") != std::string::npos);
}

std::vector<BlockDevice> probe_disks(const fs::path& root) {
  std::vector<BlockDevice> disks;
  for (const fs::path& path : entries(root / "sys/class/block")) {
    const std::string name = path.filename();
    if (fs::exists(path / "partition") || !is_physical(path)) continue;
    disks.push_back(
        {.name = name,
         .model = read_text(path / "device/model"),
         .vendor = read_text(path / "device/vendor"),
         .serial = read_text(path / "device/serial"),
         .bytes = read_number(path / "size") * 512,  // always in units of 512
         .sector_bytes = static_cast<std::uint32_t>(read_number(path / "queue/logical_block_size")),
         .rotational = read_number(path / "queue/rotational") != 0,
         .removable = read_number(path / "removable") != 0,
         .pci_address = pci_address_of(path)});
  }
  return disks;
}

std::vector<NetworkDevice> probe_nics(const fs::path& root) {
  std::vector<NetworkDevice> nics;
  for (const fs::path& path : entries(root / "sys/class/net")) {
    if (!fs::exists(path / "device")) continue;  // taps, bridges, loopback
    const std::string speed = read_text(path / "speed");
    nics.push_back({.name = path.filename(),
                    .mac = read_text(path / "address"),
                    .driver = link_target_name(path / "device/driver"),
                    .pci_address = pci_address_of(path),
                    .mtu = static_cast<std::uint32_t>(read_number(path / "mtu")),
                    .speed_mbps = std::max(0, to_int(speed)),
                    .full_duplex = read_text(path / "duplex") == "full",
                    .up = read_text(path / "operstate") == "up"});
  }
  return nics;
}

std::chrono::system_clock::time_point probe_boot_time(const fs::path& root) {
  std::istringstream lines(read_text(root / "proc/stat"));
  for (std::string word; lines >> word;) {
    if (word != "btime") continue;
    std::int64_t seconds = 0;
    lines >> seconds;
    return std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
  }
  return {};
}

std::vector<std::chrono::nanoseconds> busy_times(const std::string& stat) {
  static const auto tick =
      std::chrono::nanoseconds(std::chrono::seconds(1)) / ::sysconf(_SC_CLK_TCK);
  std::vector<std::chrono::nanoseconds> busy;
  std::istringstream lines(stat);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("cpu") || line.size() < 4 || line[3] == ' ') continue;
    std::istringstream fields(line);
    std::string name;
    // user nice system idle iowait irq softirq steal; what is stolen was not ours to use.
    std::uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
    fields >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
    busy.push_back(tick * (user + nice + system + irq + softirq));
  }
  return busy;
}

}  // namespace

std::vector<PciDevice> probe_pci_devices(const std::string& root) {
  return probe_pci(root.empty() ? "/" : root);
}

HostFacts probe_host(const std::string& root) {
  const fs::path top = root.empty() ? "/" : root;
  HostFacts facts;
  facts.cpu = probe_cpu(top);
  facts.memory_bytes = kib(key_values(read_text(top / "proc/meminfo")), "MemTotal");
  facts.system = probe_system(top);
  facts.kernel = read_text(top / "proc/sys/kernel/osrelease");
  facts.numa = probe_numa(top);
  facts.pci = probe_pci(top);
  facts.disks = probe_disks(top);
  facts.nics = probe_nics(top);
  facts.boot_time = probe_boot_time(top);
  return facts;
}

Volume probe_volume(const std::string& path) {
  struct statvfs stat {};
  if (::statvfs(path.c_str(), &stat) != 0) throw system_error(path, "cannot measure");
  return {.path = path,
          .total_bytes = std::uint64_t{stat.f_blocks} * stat.f_frsize,
          .free_bytes = std::uint64_t{stat.f_bavail} * stat.f_frsize};
}

HostSample sample_host(const std::string& root) {
  const fs::path top = root.empty() ? "/" : root;
  HostSample sample{.at = std::chrono::steady_clock::now()};
  sample.cpu_busy = busy_times(read_text(top / "proc/stat"));
  const auto memory = key_values(read_text(top / "proc/meminfo"));
  sample.memory_used_bytes = kib(memory, "MemTotal") - kib(memory, "MemAvailable");
  sample.memory_free_bytes = kib(memory, "MemFree");
  sample.swap_used_bytes = kib(memory, "SwapTotal") - kib(memory, "SwapFree");
  std::istringstream load(read_text(top / "proc/loadavg"));
  load >> sample.load_1 >> sample.load_5 >> sample.load_15;
  return sample;
}

double cpu_usage(const HostSample& earlier, const HostSample& later) {
  const auto count = std::min(earlier.cpu_busy.size(), later.cpu_busy.size());
  const auto elapsed = later.at - earlier.at;
  if (count == 0 || elapsed <= elapsed.zero()) return 0;
  std::chrono::nanoseconds busy{};
  for (std::size_t i = 0; i < count; ++i) busy += later.cpu_busy[i] - earlier.cpu_busy[i];
  const double share = static_cast<double>(busy.count()) /
                       (static_cast<double>(elapsed.count()) * static_cast<double>(count));
  return std::clamp(share, 0.0, 1.0);
}

}  // namespace virga::hypervisor
