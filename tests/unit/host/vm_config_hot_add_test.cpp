#include "host/vm_config_hot_add.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vm_config_specs.h"

namespace virga::host {
namespace {

class HotAdd : public PlanTest {
 protected:
  HotAdd() {
    present.cpu_hot_add = present.memory_hot_add = true;
    around.context.growth = Growth{
        .max_vcpus = 32, .max_memory_mib = 3072, .has_free_slot = true, .tools_running = true};
  }

  static Spec cpus(int number) {
    Spec spec;
    spec.numCPUs = number;
    return spec;
  }
  static Spec memory(std::int64_t mib) {
    Spec spec;
    spec.memoryMB = mib;
    return spec;
  }
  void expect_cpu_refusal(const std::string& why, int number = 4) {
    expect_fault<vim::CpuHotPlugNotSupported>(why, [&] { change_vm(cpus(number), true); });
  }
  void expect_memory_refusal(const std::string& why, std::int64_t mib = 2176) {
    expect_fault<vim::MemoryHotPlugNotSupported>(why, [&] { change_vm(memory(mib), true); });
  }
};

TEST_F(HotAdd, ProcessorsAndMemoryComeWhileTheVmRuns) {
  Spec spec = cpus(4);
  spec.memoryMB = 2048 + 3 * 128;
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_EQ(plan.config.cpus, 4);
  EXPECT_EQ(plan.config.memory_mib, 2432);
  EXPECT_THAT(plan.privileges, testing::ElementsAre("VirtualMachine.Config.CPUCount",
                                                    "VirtualMachine.Config.Memory"));
}

TEST_F(HotAdd, ReservedMemoryGrowsAlong) {
  present.memory_reservation_locked = true;
  present.memory.reservation = present.memory_mib;
  EXPECT_EQ(change_vm(memory(2176), true).config.memory.reservation, 2176);
}

TEST_F(HotAdd, NamesTheRuleInTheWay) {
  expect_cpu_refusal("it has 2, and the hypervisor takes none away", 1);
  expect_memory_refusal("it has 2048 MB, and none of it can go", 1920);
  expect_memory_refusal("3200 MB are more than its hotPlugMemoryLimit of 3072 MB", 3200);
  expect_memory_refusal("hotPlugMemoryIncrementSize of 128 MB", 2112);
}

TEST_F(HotAdd, TakesTheOption) {
  present.cpu_hot_add = present.memory_hot_add = false;
  expect_cpu_refusal("(cpuHotAddEnabled)");
  expect_memory_refusal("(memoryHotAddEnabled)");
}

TEST_F(HotAdd, TakesHardwareVersion11) {
  present.hardware_version = 10;
  expect_cpu_refusal("hardware version vmx-10 has no hot add");
  expect_memory_refusal("vmx-11 is the first that has");
}

TEST_F(HotAdd, TakesAGuestThatKnowsIt) {
  present.guest_os = "windows7-64";
  expect_cpu_refusal("Microsoft Windows 7 (64-bit), does not support it");
  present.guest_os = "longhorn";
  expect_cpu_refusal("does not support it");
  EXPECT_NO_THROW(change_vm(memory(2176), true));
}

TEST_F(HotAdd, TakesRunningTools) {
  around.context.growth->tools_running = false;
  expect_cpu_refusal("the tools are not running");
  expect_memory_refusal("the tools are not running");
}

TEST_F(HotAdd, TakesRoomInTheMachineThatRuns) {
  around.context.growth->max_vcpus = 3;
  expect_cpu_refusal("more than the 3 it was powered on with room for");
  around.context.growth->has_free_slot = false;
  expect_memory_refusal("come too many times");
}

TEST_F(HotAdd, LeavesSocketsAsTheyAre) {
  Spec spec = cpus(4);
  spec.numCoresPerSocket = 2;
  expect_fault<vim::InvalidPowerState>("numCoresPerSocket", [&] { change_vm(spec, true); });
  present.cores_per_socket = 2;
  EXPECT_EQ(change_vm(spec, true).config.cpus, 4);
  expect_fault<vim::InvalidArgument>("sockets of 2 cores", [&] { change_vm(cpus(3), true); });
}

TEST_F(HotAdd, IsSwitchedWhileTheVmIsOff) {
  Spec spec;
  spec.cpuHotAddEnabled = false;
  expect_fault<vim::InvalidPowerState>("cpuHotAddEnabled", [&] { change_vm(spec, true); });
  EXPECT_FALSE(change_vm(spec).config.cpu_hot_add);
  present.suspend_state = "web.vmss";
  expect_fault<vim::InvalidPowerState>("numCPUs", [&] { change_vm(cpus(4)); });
  expect_fault<vim::InvalidPowerState>("memoryMB", [&] { change_vm(memory(4096)); });
}

TEST_F(HotAdd, LimitsMemoryBySixteenTimesAndSmallLinuxGuestsByThreeGigabytes) {
  const auto limit = [&](std::int64_t mib, const char* guest) {
    present.memory_mib = mib;
    present.guest_os = guest;
    return hot_add_limit_of_memory(present, around.context);
  };
  around.context.max_memory_mib = 1 << 20;
  EXPECT_EQ(limit(1024, "debian11-64"), 3072);
  EXPECT_EQ(limit(3072, "debian11-64"), 3072);
  EXPECT_EQ(limit(4096, "debian11-64"), 65'536);
  EXPECT_EQ(limit(1024, "windows9srv-64"), 16'384);
  EXPECT_EQ(limit(1 << 16, "debian11-64"), 1 << 19);
  EXPECT_EQ(limit(1 << 20, "debian11-64"), 1 << 20);
  EXPECT_EQ(limit(1024, "other"), 0);
  present.passthrough.push_back({});
  EXPECT_EQ(limit(1024, "debian11-64"), 0);
}

TEST_F(HotAdd, GivesAMachineRoomForProcessors) {
  EXPECT_EQ(hot_add_limit_of_cpus(present, around.context), 32);
  present.cpus = present.cores_per_socket = 3;
  EXPECT_EQ(hot_add_limit_of_cpus(present, around.context), 30);
  around.context.max_vcpus = 3;
  EXPECT_EQ(hot_add_limit_of_cpus(present, around.context), 3);
  present.cpu_hot_add = false;
  EXPECT_EQ(hot_add_limit_of_cpus(present, around.context), 0);
  const auto spec = machine_spec(present, around.context, "web");
  EXPECT_EQ(spec.max_vcpus, 0);
  EXPECT_EQ(spec.max_memory_mib, 3072u);
}

TEST_F(HotAdd, ShowsWhatTheVmThatRunsCanGrowTo) {
  EXPECT_EQ(info(true).hotPlugMemoryLimit, 3072);
  EXPECT_EQ(info(true).hotPlugMemoryIncrementSize, 128);
  around.context.growth.reset();
  present.memory_mib = 3584;
  EXPECT_EQ(info().hotPlugMemoryLimit, 32'768);
  present.memory_hot_add = false;
  EXPECT_FALSE(info().hotPlugMemoryLimit);
}

}  // namespace
}  // namespace virga::host
