#include "host/io_shares.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace virga::host {
namespace {

constexpr double kAll = std::numeric_limits<double>::infinity();

DiskId disk(int number) {
  return {"vm-1", 2000 + number};
}

// --- The level

double granted(const DiskClaim& claim, double level) {
  return std::min(claim.wanted, claim.shares * level);
}

TEST(FairLevel, IsNoneWhereThereIsEnough) {
  EXPECT_EQ(fair_level({}, 100), std::nullopt);
  EXPECT_EQ(fair_level({{disk(0), {1000, 60}}, {disk(1), {500, 40}}}, 100), std::nullopt);
}

TEST(FairLevel, FollowsTheShares) {
  const auto level = fair_level({{disk(0), {2000, kAll}}, {disk(1), {500, kAll}}}, 100);
  EXPECT_DOUBLE_EQ(2000 * level.value(), 80);
  EXPECT_DOUBLE_EQ(500 * level.value(), 20);
}

TEST(FairLevel, GivesToOthersWhatOneDoesNotWant) {
  const auto level =
      fair_level({{disk(0), {2000, 10}}, {disk(1), {500, kAll}}, {disk(2), {1000, kAll}}}, 100);
  EXPECT_DOUBLE_EQ(500 * level.value(), 30);
  EXPECT_DOUBLE_EQ(1000 * level.value(), 60);
}

TEST(FairLevel, GivesOutAllAndNobodyMoreThanItWants) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> amount(1, 1000);
  for (int round = 0; round < 2000; ++round) {
    std::map<DiskId, DiskClaim> claims;
    double wanted = 0;
    for (int i = 0, count = 1 + round % 9; i < count; ++i) {
      const DiskClaim claim{amount(random), round % 4 == 0 ? kAll : amount(random)};
      claims[disk(i)] = claim;
      wanted += claim.wanted;
    }
    const double capacity = amount(random);
    const auto level = fair_level(claims, capacity);
    ASSERT_EQ(level.has_value(), wanted > capacity);
    if (!level) continue;
    double sum = 0;
    for (const auto& [id, claim] : claims) sum += granted(claim, *level);
    ASSERT_NEAR(sum, capacity, capacity * 1e-9);
  }
}

// --- The control, on a model of a datastore

// It does so much a second and serves all requests alike; a guest has so many under way as long as
// it has anything to do.
struct Guest {
  double shares = 1000;
  double depth = 32;
  double limit = 0;
  double cost = 1;
  double wanted = kAll;
};
struct Store {
  double capacity = 1000;
  double fastest = 0.001;  // seconds
};

class Model {
 public:
  Model(Store store, std::vector<Guest> guests) : store(store), guests(std::move(guests)) {}

  // What the disks do for as many reviews, on average; reviews are as long as one another.
  std::vector<double> run(int reviews) {
    std::vector<double> sums(guests.size());
    for (int i = 0; i < reviews; ++i) {
      const std::vector<double> done = serve();
      for (std::size_t g = 0; g < guests.size(); ++g) sums[g] += done[g] / reviews;
      shares.review(loads(done));
    }
    return sums;
  }

  double allowed(std::size_t g) const {
    const auto budget = shares_budget(g);
    const double limit = guests[g].limit > 0 ? guests[g].limit : kAll;
    return std::min({budget, limit, guests[g].wanted});
  }
  bool is_budgeted(std::size_t g) const { return shares_budget(g) != kAll; }

  Store store;
  std::vector<Guest> guests;
  IoShares shares;

 private:
  double shares_budget(std::size_t g) const {
    const auto& budgets = shares.budgets();
    const auto found = budgets.find(disk(static_cast<int>(g)));
    return found == budgets.end() ? kAll : found->second;
  }
  std::vector<double> done_at(double latency) const {
    std::vector<double> done;
    for (std::size_t g = 0; g < guests.size(); ++g)
      done.push_back(std::min(allowed(g), guests[g].depth * guests[g].cost / latency));
    return done;
  }
  // Requests wait in the store for as long as makes it busy, and not busier.
  std::vector<double> serve() const {
    double quick = store.fastest, slow = 1000;
    const auto fits = [&](double latency) {
      const auto done = done_at(latency);
      return std::accumulate(done.begin(), done.end(), 0.0) <= store.capacity;
    };
    if (fits(quick)) return done_at(quick);
    for (int i = 0; i < 60; ++i) (fits((quick + slow) / 2) ? slow : quick) = (quick + slow) / 2;
    return done_at(slow);
  }
  DiskLoads loads(const std::vector<double>& done) const {
    DiskLoads loads;
    for (std::size_t g = 0; g < guests.size(); ++g) {
      const Guest& guest = guests[g];
      const double requests = done[g] / guest.cost;
      // What waits for its budget waits for that, too.
      const bool idles = guest.wanted != kAll && done[g] >= guest.wanted;
      const double latency = requests == 0 ? 0 : idles ? store.fastest : guest.depth / requests;
      loads[disk(static_cast<int>(g))] = {requests, guest.cost, latency, guest.shares, guest.limit};
    }
    return loads;
  }
};

TEST(IoShares, HoldWhileTheDatastoreIsContended) {
  Model model({}, {{.shares = 2000}, {.shares = 500}});
  model.run(5);
  const auto done = model.run(100);
  EXPECT_TRUE(model.shares.contended());
  EXPECT_GT(done[0] / done[1], 3);
  EXPECT_LT(done[0] / done[1], 4.2);
  EXPECT_GT(done[0] + done[1], 850);
}

TEST(IoShares, HoldBetweenRequestsOfDifferentSizes) {
  Model model({}, {{.shares = 500, .depth = 8, .cost = 8}, {.shares = 2000, .depth = 32}});
  model.run(5);
  const auto done = model.run(100);
  EXPECT_GT(done[1] / done[0], 2.8);
  EXPECT_GT(done[0] + done[1], 850);
}

TEST(IoShares, DoNothingWhereTheDatastoreIsFastEnough) {
  Model model({.capacity = 100'000}, {{.shares = 2000}, {.shares = 500}});
  model.run(20);
  EXPECT_FALSE(model.shares.contended());
  EXPECT_FALSE(model.is_budgeted(0) || model.is_budgeted(1));
}

TEST(IoShares, DoNothingToADiskAlone) {
  Model model({}, {{.shares = 500, .depth = 256}, {.shares = 2000, .wanted = 0}});
  model.run(20);
  EXPECT_FALSE(model.shares.contended());
}

TEST(IoShares, TakeNoNoticeOfASingleSlowReview) {
  Model model({}, {{}, {}});
  model.run(1);
  model.guests[0].depth = model.guests[1].depth = 1;
  model.run(1);
  model.guests[0].depth = model.guests[1].depth = 32;
  model.run(1);
  EXPECT_FALSE(model.shares.contended());
  model.run(1);
  EXPECT_TRUE(model.shares.contended());
}

TEST(IoShares, EndWithTheContention) {
  Model model({}, {{.shares = 2000}, {.shares = 500}});
  model.run(10);
  ASSERT_TRUE(model.is_budgeted(1));
  model.guests[0].wanted = 0;
  model.run(2);
  EXPECT_FALSE(model.shares.contended());
  EXPECT_FALSE(model.is_budgeted(1));
  EXPECT_NEAR(model.run(1)[1], 1000, 1);
}

TEST(IoShares, EndWhereTheDatastoreHasBecomeFaster) {
  Model model({}, {{.shares = 2000}, {.shares = 500}});
  model.run(10);
  model.store.capacity = 100'000;
  model.run(17);
  EXPECT_FALSE(model.shares.contended());
}

TEST(IoShares, FollowADatastoreThatBecomesSlower) {
  Model model({}, {{.shares = 2000}, {.shares = 500}});
  model.run(10);
  model.store.capacity = 50;
  model.run(5);
  const auto done = model.run(100);
  EXPECT_GT(done[0] / done[1], 3);
  EXPECT_GT(done[0] + done[1], 42);
}

TEST(IoShares, LeaveToOthersWhatOneDoesNotUse) {
  Model model({}, {{.shares = 2000, .wanted = 50}, {.shares = 500}, {.shares = 500}});
  model.run(5);
  const auto done = model.run(100);
  EXPECT_GT(done[0], 45);
  EXPECT_NEAR(done[1], done[2], 50);
  EXPECT_GT(done[0] + done[1] + done[2], 850);
}

TEST(IoShares, ProtectAGuestThatWaitsForEachRequest) {
  Model alone({}, {{.shares = 1000, .depth = 1}, {.shares = 1000, .depth = 64}});
  const double before = alone.run(1)[0];
  alone.run(5);
  EXPECT_GT(alone.run(100)[0], 2 * before);
}

TEST(IoShares, StarveNobody) {
  Model model({.capacity = 100}, {{.shares = 100'000}, {.shares = 1}, {.shares = 0}});
  model.run(5);
  const auto done = model.run(60);
  EXPECT_GE(done[1], 1);
  EXPECT_GE(done[2], 1);
}

// Where every request takes long, a queue or none, holding back makes nothing faster.
TEST(IoShares, LeaveASlowDatastoreMostOfWhatItDoes) {
  Model model({.capacity = 1000, .fastest = 0.04}, {{.depth = 1}, {.depth = 1}});
  const auto done = model.run(200);
  EXPECT_GT(done[0] + done[1], 0.85 * 2 / 0.04);
  Model mixed({.capacity = 1000, .fastest = 0.04}, {{.depth = 1}, {.depth = 128}});
  const auto both = mixed.run(200);
  EXPECT_GT(both[0] + both[1], 700);
}

TEST(IoShares, KeepWithinADisksOwnLimit) {
  Model model({}, {{.shares = 2000, .limit = 100}, {.shares = 500}, {.shares = 500}});
  for (int i = 0; i < 60; ++i) {
    model.run(1);
    EXPECT_LE(model.allowed(0), 100);
  }
  const auto done = model.run(60);
  EXPECT_NEAR(done[0], 100, 10);
  EXPECT_GT(done[1] + done[2], 750);
}

// Their own limits make disks slow: that is no contention.
TEST(IoShares, DoNothingToDisksThatOnlyTheirLimitsSlowDown) {
  Model model({}, {{.depth = 64, .limit = 50}, {.depth = 64, .limit = 50}});
  model.run(20);
  EXPECT_FALSE(model.shares.contended());
}

}  // namespace
}  // namespace virga::host
