#include "switching/sim/sim_switching.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "playground.h"

namespace virga::switching {
namespace {

TEST(SimSwitching, KeepsTheSameBooksWithoutANetwork) {
  Loop loop;
  const auto switching = make_sim_switching();
  loop.run(switching->start());
  loop.run(switching->add_switch({.name = "vSwitch0"}));
  const PortGroup made = loop.run(switching->add_port_group(
      {.name = "VM Network", .virtual_switch = "vSwitch0", .nat = Nat{}}));
  EXPECT_EQ(made.nat->subnet, "10.77.0.0/24");

  const PortRequest request{"vm1", "web01", 4000, "00:50:56:00:00:01", "VM Network"};
  const Tap tap = loop.run(switching->attach(request));
  EXPECT_FALSE(tap.fd);
  ASSERT_EQ(switching->ports().size(), 1u);
  EXPECT_EQ(switching->ports()[0].id, tap.port);
  EXPECT_TRUE(switching->ports()[0].connected);
  EXPECT_EQ(switching->statistics().at(tap.port), PortStatistics{});
  EXPECT_THROW(loop.run(switching->attach(request)), Error);
  EXPECT_THROW(loop.run(switching->remove_switch("vSwitch0")), Error);

  loop.run(switching->detach(tap.port));
  loop.run(switching->remove_switch("vSwitch0"));
  EXPECT_THAT(switching->port_groups(), testing::IsEmpty());
}

}  // namespace
}  // namespace virga::switching
