#include "host/resource_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../expect_error.h"

namespace virga::host {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

// 1000 MHz: "gold" has 600 of them and no more, "silver" 100 and what it needs; "lead" is in gold.
ResourceTree sample() {
  ResourceTree tree{.root = "root", .mhz = 1000, .memory_mib = 4096};
  const auto pool = [](const char* parent, std::int64_t mhz, bool expandable) {
    return Pool{.parent = parent,
                .cpu = {.granted = {.reservation = mhz}, .expandable = expandable}};
  };
  tree.pools["gold"] = pool("root", 600, false);
  tree.pools["silver"] = pool("root", 100, true);
  tree.pools["lead"] = pool("gold", 200, true);
  tree.pool = {{"g", "gold"}, {"s", "silver"}, {"l", "lead"}};
  return tree;
}

std::optional<Shortage> starting(const ResourceTree& tree, const VmReservations& running,
                                 const std::string& vm, std::int64_t mhz) {
  VmReservations after = running;
  after[vm].mhz = mhz;
  return shortage(tree, running, tree, after, Resource::cpu);
}

TEST(ResourceTree, KnowsWhoIsWhere) {
  const ResourceTree tree = sample();
  EXPECT_EQ(tree.pool_of("g"), "gold");
  EXPECT_EQ(tree.pool_of("other"), "root");
  EXPECT_THAT(tree.children_of("root"), UnorderedElementsAre("gold", "silver"));
  EXPECT_THAT(tree.members_of("lead"), ElementsAre("l"));
  EXPECT_TRUE(tree.is_within("lead", "gold"));
  EXPECT_TRUE(tree.is_within("lead", "root"));
  EXPECT_TRUE(tree.is_within("lead", "lead"));
  EXPECT_FALSE(tree.is_within("gold", "lead"));
}

TEST(ResourceTree, GivesAPoolsChildrenToItsParent) {
  ResourceTree tree = sample();
  tree.dissolve("gold");
  EXPECT_EQ(tree.pool_of("g"), "root");
  EXPECT_EQ(tree.pools.at("lead").parent, "root");
  tree.pools.at("lead").parent = "silver";
  tree.dissolve("lead");
  EXPECT_EQ(tree.pool_of("l"), "silver");
}

TEST(ResourceTree, SurvivesItsJson) {
  ResourceTree tree = sample();
  tree.pools["gold"].name = "Gold";
  tree.pools["gold"].memory.granted = {
      .reservation = 5, .limit = 7, .level = vmx::SharesLevel::custom, .custom_shares = 77};
  ResourceTree read{.root = "root", .mhz = 1000, .memory_mib = 4096};
  read_json(read, to_json(tree));
  EXPECT_EQ(read, tree);
  expect_error(ErrorKind::damaged, "resource pools", [&] { read_json(read, "{\"pools\": 1}"); });
}

TEST(Budgets, SumUpWhatIsReserved) {
  const VmReservations running = {{"g", {.mhz = 100}}, {"l", {.mhz = 250}}, {"x", {.mhz = 50}}};
  const auto cpu = budgets(sample(), running, Resource::cpu);
  EXPECT_EQ(cpu.at("lead").used, 250);
  EXPECT_EQ(cpu.at("gold").used, 100 + 250);  // lead's 200 and what it took beyond
  EXPECT_EQ(cpu.at("root").used, 600 + 100 + 50);
  EXPECT_EQ(cpu.at("root").used_by_vms, 400);
  EXPECT_EQ(cpu.at("root").unreserved, 250);
  EXPECT_EQ(cpu.at("gold").unreserved, 250);
  EXPECT_EQ(cpu.at("lead").unreserved, 250);
  EXPECT_EQ(cpu.at("silver").unreserved, 100 + 250);
  EXPECT_EQ(budgets(sample(), running, Resource::memory).at("root").unreserved, 4096);
}

TEST(Budgets, LimitsHoldForAllBelow) {
  ResourceTree tree = sample();
  tree.pools["gold"].cpu.granted.limit = 700;
  tree.pools["silver"].cpu.granted.limit = 150;
  const auto cpu = budgets(tree, {}, Resource::cpu);
  EXPECT_EQ(cpu.at("root").most, 1000);
  EXPECT_EQ(cpu.at("lead").most, 700);
  EXPECT_EQ(cpu.at("silver").most, 150);
  EXPECT_EQ(cpu.at("silver").unreserved, 150);
}

TEST(Admission, StopsAtAPoolThatDoesNotExpand) {
  const ResourceTree tree = sample();
  EXPECT_FALSE(starting(tree, {}, "g", 400));
  const auto short_of = starting(tree, {}, "g", 401);
  ASSERT_TRUE(short_of);
  EXPECT_EQ(short_of->pool, "gold");
  EXPECT_EQ(short_of->unreserved, 400);
  EXPECT_EQ(short_of->requested, 401);
}

TEST(Admission, TakesFromParentsWhereAPoolExpands) {
  const ResourceTree tree = sample();
  EXPECT_FALSE(starting(tree, {}, "l", 600));
  EXPECT_EQ(starting(tree, {}, "l", 601)->pool, "gold");
  EXPECT_FALSE(starting(tree, {}, "s", 400));
  const auto short_of = starting(tree, {}, "s", 401);
  ASSERT_TRUE(short_of);
  EXPECT_EQ(short_of->pool, "root");
  EXPECT_EQ(short_of->unreserved, 300);
  EXPECT_EQ(short_of->requested, 301);  // beyond silver's own 100
}

TEST(Admission, CountsWhatRuns) {
  const VmReservations running = {{"x", {.mhz = 250}}};
  EXPECT_FALSE(starting(sample(), running, "y", 50));
  EXPECT_EQ(starting(sample(), running, "y", 51)->unreserved, 50);
  // A VM that runs needs only what it gets in addition.
  EXPECT_FALSE(starting(sample(), running, "x", 300));
}

TEST(Admission, ALimitEndsAnExpandableReservation) {
  ResourceTree tree = sample();
  tree.pools["silver"].cpu.granted.limit = 150;
  EXPECT_FALSE(starting(tree, {}, "s", 150));
  EXPECT_EQ(starting(tree, {}, "s", 151)->pool, "silver");
}

TEST(Admission, HoldsForPoolsThatComeGrowShrinkAndMove) {
  const ResourceTree tree = sample();
  const auto change = [&](auto edit, const VmReservations& running = {}) {
    ResourceTree after = tree;
    edit(after);
    return shortage(tree, running, after, running, Resource::cpu);
  };
  const auto add = [](std::int64_t mhz) {
    return [mhz](ResourceTree& t) {
      t.pools["new"] = {.parent = "root", .cpu = {.granted = {.reservation = mhz}}};
    };
  };
  EXPECT_FALSE(change(add(300)));
  EXPECT_EQ(change(add(301))->unreserved, 300);
  EXPECT_FALSE(change([](auto& t) { t.pools["gold"].cpu.granted.reservation = 900; }));
  EXPECT_TRUE(change([](auto& t) { t.pools["gold"].cpu.granted.reservation = 901; }));
  const auto shrink = [](auto& t) { t.pools["gold"].cpu.granted.reservation = 350; };
  EXPECT_FALSE(change(shrink, {{"g", {.mhz = 150}}}));
  EXPECT_EQ(change(shrink, {{"g", {.mhz = 151}}})->pool, "gold");
  const auto move = [](auto& t) { t.pool["g"] = "silver"; };
  EXPECT_FALSE(change(move, {{"g", {.mhz = 400}}}));
  EXPECT_EQ(change(move, {{"g", {.mhz = 401}}})->pool, "root");
}

TEST(Admission, LetsAloneWhatIsTooMuchAlready) {
  ResourceTree tree = sample();
  tree.mhz = 500;  // the machine has less than it had
  EXPECT_FALSE(starting(tree, {}, "g", 400));
  EXPECT_EQ(starting(tree, {}, "x", 1)->unreserved, 0);
}

}  // namespace
}  // namespace virga::host
