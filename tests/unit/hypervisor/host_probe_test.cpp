#include "hypervisor/host_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_machine.h"

namespace virga::hypervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Verdict = Requirement::Verdict;

TEST_F(FakeMachine, ReadsPackagesCoresAndThreads) {
  std::string cpuinfo;
  for (int thread = 0; thread < 8; ++thread)
    cpuinfo += fmt::format(
        "processor\t: {}\nvendor_id\t: GenuineIntel\nmodel name\t: Test CPU\ncpu MHz\t\t: 1800.5\n"
        "physical id\t: {}\ncore id\t\t: {}\nflags\t\t: lm nx vmx\n\n",
        thread, thread / 4, thread % 4 / 2);
  put("proc/cpuinfo", cpuinfo);
  put("sys/devices/system/cpu/cpu0/cpufreq/base_frequency", "2400000\n");
  const CpuFacts cpu = probe_host(root).cpu;
  ASSERT_EQ(cpu.packages.size(), 2u);
  EXPECT_EQ(cpu.packages[0].vendor, "GenuineIntel");
  EXPECT_EQ(cpu.packages[0].model, "Test CPU");
  EXPECT_THAT(cpu.packages[1].threads, ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(cpu.cores, 4);
  EXPECT_EQ(cpu.threads, 8);
  EXPECT_DOUBLE_EQ(cpu.mhz, 2400);
  EXPECT_DOUBLE_EQ(cpu.packages[1].mhz, 1800.5);  // nothing nominal known of it
  EXPECT_THAT(cpu.flags, ElementsAre("lm", "nx", "vmx"));
}

TEST_F(FakeMachine, ReadsDevicesAndWhatHangsOnThem) {
  const std::string adapter = "sys/devices/pci0000:00/0000:00:1f.2";
  put(adapter + "/vendor", "0x8086\n");
  put(adapter + "/device", "0x2922\n");
  put(adapter + "/class", "0x010601\n");
  link("sys/bus/pci/devices/0000:00:1f.2", adapter);
  put(adapter + "/ata1/host0/block/sda/size", "2048\n");
  put(adapter + "/ata1/host0/block/sda/queue/logical_block_size", "4096\n");
  put(adapter + "/ata1/host0/block/sda/queue/rotational", "1\n");
  link("sys/class/block/sda", adapter + "/ata1/host0/block/sda");
  put(adapter + "/ata1/host0/block/sda/sda1/partition", "1\n");
  link("sys/class/block/sda1", adapter + "/ata1/host0/block/sda/sda1");
  link("sys/class/block/loop0", "sys/devices/virtual/block/loop0");

  const std::string card = "sys/devices/pci0000:00/0000:00:03.0";
  put(card + "/net/eth0/address", "00:50:56:00:00:01\n");
  put(card + "/net/eth0/operstate", "up\n");
  put(card + "/net/eth0/speed", "10000\n");
  put(card + "/net/eth0/duplex", "full\n");
  put(card + "/net/eth0/mtu", "1500\n");
  link(card + "/net/eth0/device", card);
  link(card + "/driver", "sys/bus/pci/drivers/ixgbe");
  link("sys/class/net/eth0", card + "/net/eth0");
  link("sys/class/net/tap0", "sys/devices/virtual/net/tap0");

  const HostFacts facts = probe_host(root);
  ASSERT_EQ(facts.pci.size(), 1u);
  EXPECT_EQ(facts.pci[0].vendor, 0x8086);
  EXPECT_EQ(facts.pci[0].class_code, 0x010601u);
  ASSERT_EQ(facts.disks.size(), 1u);
  EXPECT_EQ(facts.disks[0].name, "sda");
  EXPECT_EQ(facts.disks[0].bytes, 1u << 20);
  EXPECT_EQ(facts.disks[0].sector_bytes, 4096u);
  EXPECT_TRUE(facts.disks[0].rotational);
  EXPECT_EQ(facts.disks[0].pci_address, "0000:00:1f.2");
  ASSERT_EQ(facts.nics.size(), 1u);
  EXPECT_EQ(facts.nics[0].mac, "00:50:56:00:00:01");
  EXPECT_EQ(facts.nics[0].driver, "ixgbe");
  EXPECT_EQ(facts.nics[0].speed_mbps, 10000);
  EXPECT_TRUE(facts.nics[0].up);
  EXPECT_EQ(facts.nics[0].pci_address, "0000:00:03.0");
}

TEST_F(FakeMachine, ReadsMemoryNumaAndBootTime) {
  put("proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 1000 kB\nMemAvailable: 12000000 kB\n");
  put("sys/devices/system/node/node1/cpulist", "0-2,6\n");
  put("sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:       8000000 kB\n");
  put("proc/stat", "cpu  1 2 3 4\ncpu0 100 0 50 900 0 0 0 0 0 0\nbtime 1700000000\n");
  put("sys/class/dmi/id/product_name", "PowerEdge\n");
  const HostFacts facts = probe_host(root);
  EXPECT_EQ(facts.memory_bytes, 16000000ull * 1024);
  ASSERT_EQ(facts.numa.size(), 1u);
  EXPECT_EQ(facts.numa[0].memory_bytes, 8000000ull * 1024);
  EXPECT_THAT(facts.numa[0].cpus, ElementsAre(0, 1, 2, 6));
  EXPECT_EQ(facts.boot_time.time_since_epoch(), std::chrono::seconds(1700000000));
  EXPECT_EQ(facts.system.product, "PowerEdge");
  const HostSample sample = sample_host(root);
  EXPECT_EQ(sample.memory_used_bytes, 4000000ull * 1024);
  EXPECT_THAT(sample.cpu_busy, ElementsAre(std::chrono::milliseconds(1500)));
}

TEST_F(FakeMachine, GuessesNothing) {
  const HostFacts facts = probe_host(root);
  EXPECT_TRUE(facts.cpu.packages.empty());
  EXPECT_EQ(facts.memory_bytes, 0u);
  EXPECT_TRUE(facts.disks.empty());
  EXPECT_EQ(facts.system.product, "");
}

TEST(CpuUsage, IsTheBusyShareOfAllProcessors) {
  using std::chrono::seconds;
  HostSample earlier{.cpu_busy = {seconds(10), seconds(20)}};
  HostSample later{.at = earlier.at + seconds(10), .cpu_busy = {seconds(20), seconds(20)}};
  EXPECT_DOUBLE_EQ(cpu_usage(earlier, later), 0.5);
  EXPECT_DOUBLE_EQ(cpu_usage(later, later), 0);
}

TEST(ProbeHost, FindsThisMachine) {
  const HostFacts facts = probe_host();
  EXPECT_GE(facts.cpu.threads, 1);
  EXPECT_GT(facts.cpu.mhz, 0);
  EXPECT_FALSE(facts.cpu.cpuid.empty());
  EXPECT_GT(facts.memory_bytes, 1u << 28);
  EXPECT_FALSE(facts.kernel.empty());
  EXPECT_GT(probe_volume("/").total_bytes, 0u);
}

// ---- The check

CheckInput good_machine() {
  CheckInput input;
  input.hypervisor = "qemu 7.2.22";
  input.facts.cpu = {
      .packages = {{.model = "Test CPU"}}, .cores = 4, .threads = 8, .flags = {"lm", "nx", "vmx"}};
  input.facts.memory_bytes = 16ull << 30;
  input.facts.pci = {{.address = "0000:00:1f.2", .class_code = 0x010601, .driver = "ahci"}};
  input.facts.disks = {{.name = "sda", .pci_address = "0000:00:1f.2"}};
  input.facts.nics = {{.name = "eth0", .driver = "ixgbe", .up = true}};
  input.datastore = {.path = "/state", .total_bytes = 100ull << 30, .free_bytes = 64ull << 30};
  return input;
}

Requirement named(const CheckInput& input, const std::string& name) {
  for (const Requirement& requirement : check(input))
    if (requirement.name == name) return requirement;
  throw std::runtime_error("no requirement " + name);
}

TEST(Check, FindsAGoodMachineGood) {
  for (const Requirement& requirement : check(good_machine()))
    EXPECT_EQ(requirement.verdict, Verdict::met) << requirement.name;
}

TEST(Check, SaysWhyGuestsAreEmulated) {
  CheckInput input = good_machine();
  input.facts.cpu.flags = {"lm", "nx"};
  input.no_kvm_reason = "the processor offers neither VT-x nor AMD-V";
  const Requirement virtualization = named(input, "processor virtualization");
  EXPECT_EQ(virtualization.verdict, Verdict::degraded);
  EXPECT_THAT(virtualization.why, HasSubstr("neither VT-x nor AMD-V"));
}

TEST(Check, GradesMemoryByWhatIsBuiltIn) {
  CheckInput input = good_machine();
  input.facts.memory_bytes = 3'900ull << 20;  // 4 GiB less the firmware's share
  EXPECT_EQ(named(input, "memory").verdict, Verdict::degraded);
  input.facts.memory_bytes = 3ull << 30;
  EXPECT_EQ(named(input, "memory").verdict, Verdict::missing);
}

TEST(Check, FindsWhatIsMissing) {
  CheckInput input = good_machine();
  input.facts.cpu.flags.clear();
  input.facts.nics.clear();
  input.facts.disks.clear();
  input.facts.pci.clear();
  input.datastore.free_bytes = 1 << 30;
  for (const char* name : {"64-bit x86 processor", "no-execute bit", "network adapter",
                           "storage adapter", "disk space"})
    EXPECT_EQ(named(input, name).verdict, Verdict::missing) << name;
}

TEST(Check, SaysWhyNoGuestCanBeStarted) {
  CheckInput input = good_machine();
  input.hypervisor.clear();
  input.no_hypervisor_reason = "cannot run qemu-system-x86_64";
  const Requirement hypervisor = named(input, "hypervisor");
  EXPECT_EQ(hypervisor.verdict, Verdict::missing);
  EXPECT_THAT(hypervisor.why, HasSubstr("cannot run qemu-system-x86_64"));
}

TEST(Check, AnAdapterWithoutLinkIsHalfTheWay) {
  CheckInput input = good_machine();
  input.facts.nics[0].up = false;
  const Requirement network = named(input, "network adapter");
  EXPECT_EQ(network.verdict, Verdict::degraded);
  EXPECT_THAT(network.found, HasSubstr("no link"));
}

}  // namespace
}  // namespace virga::hypervisor
