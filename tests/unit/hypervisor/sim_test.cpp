#include <gtest/gtest.h>

#include "base/error.h"
#include "hypervisor/sim/sim_hypervisor.h"
#include "lab.h"

namespace virga::hypervisor {
namespace {

struct Sim : ::testing::Test {
  Lab lab;
  std::unique_ptr<Hypervisor> hypervisor = make();

  std::unique_ptr<Hypervisor> make() {
    return make_sim_hypervisor(lab.io.get_executor(), {.state_directory = lab.path("sim")});
  }
  std::shared_ptr<Machine> start(MachineSpec spec, StartOptions options = {}) {
    const auto machine = lab.run(hypervisor->start(std::move(spec), std::move(options)));
    lab.run(machine->resume());
    return machine;
  }
};

TEST_F(Sim, GoesThroughTheStatesARealMachineDoes) {
  const auto machine = lab.run(hypervisor->start(lab.spec(), {}));
  Ear ear(lab, machine);
  EXPECT_EQ(machine->state(), MachineState::ready);
  lab.run(machine->resume());
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  EXPECT_TRUE(ear.next<AgentChanged>().connected);
  EXPECT_TRUE(machine->agent_connected());
  lab.run(machine->pause());
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::paused);
  lab.run(machine->resume());
  lab.run(machine->reset());
  EXPECT_FALSE(ear.next<WasReset>().by_guest);
  EXPECT_EQ(lab.run(machine->shutdown_guest()), ShutdownMeans::guest_agent);
  EXPECT_EQ(ear.next<Exited>().exit.cause, Exit::Cause::guest_shut_down);
  EXPECT_THROW(lab.run(machine->reset()), Error);
  EXPECT_NO_THROW(lab.run(machine->power_off()));
}

TEST_F(Sim, SuspendsAndResumes) {
  MachineSpec spec = lab.spec();
  auto machine = start(spec);
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  EXPECT_EQ(machine->exit()->cause, Exit::Cause::saved);
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  EXPECT_EQ(machine->state(), MachineState::running);
  lab.run(machine->power_off());
  spec.memory_mib *= 2;
  EXPECT_THROW(start(spec, {.restore_from = lab.path("guest.vmss")}), Error);
}

TEST_F(Sim, GoesOnWithWhatCameWhileItRan) {
  MachineSpec spec = lab.spec();
  spec.max_vcpus = 4;
  spec.max_memory_mib = 512;
  auto machine = start(spec);
  lab.run(machine->add_vcpus(2));
  lab.run(machine->add_memory(128));
  EXPECT_THROW(lab.run(machine->add_vcpus(2)), Error);
  EXPECT_THROW(lab.run(machine->add_memory(512)), Error);
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  spec.vcpus = 3;
  spec.memory_mib += 128;
  spec.max_memory_mib = 1024;  // of the configuration as it is now
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  EXPECT_EQ(machine->spec().dimms, std::vector<std::uint64_t>{128});
  EXPECT_EQ(machine->spec().max_memory_mib, 512u);
}

TEST_F(Sim, IsFoundAgain) {
  auto machine = start(lab.spec("one"));
  lab.run(machine->pause());
  lab.run(start(lab.spec("two"))->power_off());
  machine.reset();
  hypervisor = make();
  const auto machines = lab.run(hypervisor->adopt());
  ASSERT_EQ(machines.size(), 1u);
  EXPECT_EQ(machines[0]->id(), "one");
  EXPECT_EQ(machines[0]->state(), MachineState::paused);
  EXPECT_TRUE(lab.run(hypervisor->adopt()).empty());
}

TEST_F(Sim, AnswersLikeAGuest) {
  MachineSpec spec = lab.spec();
  spec.nics = {{.key = 4000, .slot = 0, .mac = "00:50:56:01:02:ff"}};
  const auto machine = start(spec);
  const GuestInfo info = lab.run(machine->guest_info());
  EXPECT_EQ(info.host_name, "guest");
  EXPECT_EQ(info.nics.at(0).addresses.at(0).ip, "10.1.2.255");
  EXPECT_EQ(lab.run(machine->counters()).nics.count(4000), 1u);
  EXPECT_THROW(lab.run(machine->screenshot()), Error);
}

TEST_F(Sim, KeepsTheRulesOfHotChanges) {
  const auto machine = start(lab.spec());
  lab.run(machine->add_disk({.key = 2001, .controller_key = 1000, .unit = 1, .chain = {{"/x"}}}));
  EXPECT_EQ(machine->spec().disks.size(), 2u);
  EXPECT_THROW(lab.run(machine->add_disk(
                   {.key = 2001, .controller_key = 1000, .unit = 2, .chain = {{"/x"}}})),
               Error);
  EXPECT_THROW(lab.run(machine->add_disk(
                   {.key = 3001, .controller_key = 200, .unit = 1, .chain = {{"/x"}}})),
               Error);
  EXPECT_THROW(lab.run(machine->remove_nic(4000)), Error);
  lab.run(machine->remove_disk(2001));
  lab.run(machine->change_medium(3000, "/iso"));
  EXPECT_EQ(machine->spec().cdroms[0].path, "/iso");
}

TEST_F(Sim, CarriesThousands) {
  hypervisor = make_sim_hypervisor(lab.io.get_executor());
  std::vector<std::shared_ptr<Machine>> machines;
  const MachineSpec spec = lab.spec();
  for (int i = 0; i < 5000; ++i) {
    MachineSpec one = spec;
    one.id = "sim-" + std::to_string(i);
    machines.push_back(start(one));
  }
  for (const auto& machine : machines) lab.run(machine->power_off());
  EXPECT_EQ(machines.back()->state(), MachineState::exited);
}

}  // namespace
}  // namespace virga::hypervisor
