// Leases: who is judged dead, when a host stops its own guests, and locks that rest on that.
#include "datastore/lease.h"

#include <sys/sysmacros.h>

#include "datastore/mount.h"
#include "datastore/vm_lock.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

using namespace std::chrono_literals;
using Verdict = LeaseWatch::Verdict;

const LeaseTiming timing{3s, 9s, 16s};
const LeaseWatch::Time start{};

// --- Times -------------------------------------------------------------------------------------

TEST(LeaseTiming, ReadsWhatItWrites) {
  const LeaseTiming written{100ms, 300ms, 500ms};
  EXPECT_EQ(parse_lease_timing(serialise(written), "/ds"), written);
}

TEST(LeaseTiming, RefusesTimesThatKeepNobodyApart) {
  const auto refused = [](const LeaseTiming& wrong) {
    expect_error(ErrorKind::damaged, "/ds", [&] { parse_lease_timing(serialise(wrong), "/ds"); });
  };
  refused({3s, 5s, 16s});
  refused({3s, 9s, 9s});
  refused({0s, 9s, 16s});
  for (const char* text : {"", "{}", "[]", R"({"interval":1,"owner_stops":2,"others_take":"x"})"})
    expect_error(ErrorKind::damaged, "/ds", [&] { parse_lease_timing(text, "/ds"); });
}

// --- Judging others ----------------------------------------------------------------------------

TEST(LeaseWatch, TakesAHeartbeatThatChangesForLife) {
  LeaseWatch watch(timing);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"boot", 1}, start), Verdict::unknown);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"boot", 1}, start + 15s), Verdict::unknown);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"boot", 2}, start + 60s), Verdict::alive);
}

TEST(LeaseWatch, TakesOneThatStandsStillForDeath) {
  LeaseWatch watch(timing);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"boot", 1}, start), Verdict::unknown);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"boot", 1}, start + 16s), Verdict::dead);
}

TEST(LeaseWatch, WaitsAsLongForAHostThatShowsNone) {
  LeaseWatch watch(timing);
  EXPECT_EQ(watch.observe("boot", std::nullopt, start), Verdict::unknown);
  EXPECT_EQ(watch.observe("boot", std::nullopt, start + 15s), Verdict::unknown);
  EXPECT_EQ(watch.observe("boot", std::nullopt, start + 16s), Verdict::dead);
}

TEST(LeaseWatch, KnowsAtOnceThatNothingOutlivesABoot) {
  LeaseWatch watch(timing);
  EXPECT_EQ(watch.observe("boot", Heartbeat{"later boot", 1}, start), Verdict::dead);
}

// --- Guarding one's own ------------------------------------------------------------------------

struct LeaseGuardTest : testing::Test {
  LeaseGuard guard{timing};
  LeaseGuard::Orders beat(std::chrono::seconds begun, const LeaseGuard::Guests& lost = {}) {
    return guard.beat_arrived(start + begun, start + begun, lost);
  }
  void SetUp() override { guard.add("web"); }
};

TEST_F(LeaseGuardTest, StopsGuestsOnceBeforeOthersMayTakeThem) {
  beat(0s);
  EXPECT_TRUE(guard.time_passed(start + 8s).freeze.empty());
  EXPECT_EQ(guard.time_passed(start + 9s).freeze, LeaseGuard::Guests{"web"});
  EXPECT_TRUE(guard.time_passed(start + 10s).freeze.empty());
}

TEST_F(LeaseGuardTest, LetsThemGoOnAfterTwoHeartbeatsInTime) {
  beat(0s);
  guard.time_passed(start + 9s);
  EXPECT_TRUE(beat(30s).thaw.empty());
  EXPECT_EQ(beat(33s).thaw, LeaseGuard::Guests{"web"});
  EXPECT_TRUE(beat(36s).thaw.empty());
}

TEST_F(LeaseGuardTest, DoesNotTrustAHeartbeatThatTookLong) {
  beat(0s);
  guard.time_passed(start + 9s);
  beat(30s);
  EXPECT_TRUE(guard.beat_arrived(start + 33s, start + 37s, {}).thaw.empty());
  beat(38s);
  EXPECT_EQ(beat(41s).thaw, LeaseGuard::Guests{"web"});
}

TEST_F(LeaseGuardTest, KillsAGuestWhoseLockIsLostAndForgetsIt) {
  guard.add("mail");
  beat(0s);
  guard.time_passed(start + 9s);
  EXPECT_EQ(beat(30s, {"web", "unheard of"}).kill, LeaseGuard::Guests{"web"});
  EXPECT_EQ(beat(33s).thaw, LeaseGuard::Guests{"mail"});
  EXPECT_TRUE(guard.guards_any());
  guard.remove("mail");
  EXPECT_FALSE(guard.guards_any());
}

TEST_F(LeaseGuardTest, HoldsNothingBeforeItsFirstHeartbeat) {
  EXPECT_FALSE(guard.is_held(start));
  EXPECT_EQ(guard.time_passed(start).freeze, LeaseGuard::Guests{"web"});
  beat(1s);
  EXPECT_TRUE(guard.is_held(start + 1s));
}

// --- Where file locks do not reach -------------------------------------------------------------

TEST(Mount, KnowsWhereLocksStayLocal) {
  const std::string mountinfo =
      "30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "31 30 0:50 / /mnt/a rw - nfs server:/a rw,vers=3,local_lock=none\n"
      "32 30 0:51 / /mnt/b rw shared:4 - nfs server:/b rw,vers=3,nolock,local_lock=all\n"
      "33 30 0:52 / /mnt/c rw - nfs4 server:/c rw,vers=4.1,local_lock=none\n"
      "34 30 0:53 / /mnt/d rw - fuse.sshfs server:/d rw,user_id=0\n";
  EXPECT_FALSE(locks_stay_local(mountinfo, makedev(8, 1)));
  EXPECT_FALSE(locks_stay_local(mountinfo, makedev(0, 50)));
  EXPECT_TRUE(locks_stay_local(mountinfo, makedev(0, 51)));
  EXPECT_FALSE(locks_stay_local(mountinfo, makedev(0, 52)));
  EXPECT_TRUE(locks_stay_local(mountinfo, makedev(0, 53)));
  EXPECT_FALSE(locks_stay_local(mountinfo, makedev(9, 9)));
}

// --- Locks under leases ------------------------------------------------------------------------

const LockOwner first{"11111111-1111-4111-8111-111111111111", "first", "boot-a", 10};
const LockOwner second{"22222222-2222-4222-8222-222222222222", "second", "boot-b", 20};

struct LeaseLockTest : testing::Test {
  TestFolder folder;
  std::shared_ptr<const Datastore> datastore = open(first);
  Location config{datastore, "web/web.vmx"};
  LockAttempt attempt;

  // The folder as that host sees it.
  std::shared_ptr<const Datastore> open(const LockOwner& host) const {
    fs::create_directories(folder.path() / private_folder);
    fs::create_directories(folder.path() / "web");
    std::ofstream(folder.path() / private_folder / "leases") << serialise(timing);
    return std::make_shared<Datastore>("ds", folder.path(), host.host_uuid);
  }
  void beat(const LockOwner& host) const {
    HeartbeatFile(datastore, host.host_uuid, host.boot_id).beat();
  }
  std::optional<VmLock> take(const LockOwner& host, LeaseWatch::Time now) {
    return VmLock::try_acquire(config, host, attempt, now);
  }
};

TEST_F(LeaseLockTest, AFolderSaysWhatKeepsItsHostsApart) {
  EXPECT_EQ(datastore->leases(), timing);
  const TestFolder other;
  EXPECT_EQ(Datastore("local", other.path()).leases(), std::nullopt);
}

TEST_F(LeaseLockTest, ALivingOwnerKeepsItsLock) {
  beat(first);
  const auto lock = take(first, start);
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->fd(), -1);
  EXPECT_EQ(take(second, start), std::nullopt);
  EXPECT_EQ(take(second, start + 3s), std::nullopt);
  beat(first);
  expect_error(ErrorKind::busy, "locked by host first", [&] { take(second, start + 6s); });
  EXPECT_EQ(lock_owner(config), first);
}

TEST_F(LeaseLockTest, ADeadOwnersLockIsTaken) {
  beat(first);
  auto left = take(first, start);
  EXPECT_EQ(take(second, start), std::nullopt);
  EXPECT_EQ(take(second, start + 15s), std::nullopt);
  const auto taken = take(second, start + 16s);
  ASSERT_TRUE(taken);
  EXPECT_EQ(lock_owner(config), second);
  EXPECT_FALSE(is_lock_of(lock_file(config), first));
  left->release();
  EXPECT_EQ(lock_owner(config), second);
  EXPECT_EQ(VmLock::reclaim(config, first), std::nullopt);
}

TEST_F(LeaseLockTest, OnlyOneOfThoseWhoFindAnOwnerDeadTakesItsLock) {
  const auto left = take(first, start);
  EXPECT_EQ(take(second, start), std::nullopt);
  const auto takeover = folder.path() / "web" / "web.vmx.lck.takeover";
  const std::string third = R"({"host_uuid":"3","host_name":"third","boot_id":"c","pid":3})";
  std::ofstream(takeover) << third;
  expect_error(ErrorKind::busy, "third", [&] { take(second, start + 16s); });
  EXPECT_EQ(lock_owner(config), first);
  fs::remove(takeover);
  EXPECT_TRUE(take(second, start + 17s));
  EXPECT_FALSE(fs::exists(takeover));
}

TEST_F(LeaseLockTest, AnOwnerThatHasBootedSinceHoldsNothing) {
  const auto left = take(first, start);
  LockOwner rebooted = first;
  rebooted.boot_id = "boot-c";
  beat(rebooted);
  EXPECT_TRUE(take(second, start));
}

TEST_F(LeaseLockTest, ATornNameIsADeadOwnersAtLast) {
  const auto left = take(first, start);
  fs::resize_file(folder.path() / "web" / "web.vmx.lck", 5);
  EXPECT_EQ(take(second, start), std::nullopt);
  EXPECT_TRUE(take(second, start + 16s));
}

TEST_F(LeaseLockTest, ARestartedDaemonHasItsHostsLocks) {
  { const auto lock = take(first, start); }
  LockOwner restarted = first;
  restarted.pid = 11;
  auto again = VmLock::reclaim(config, restarted);
  ASSERT_TRUE(again);
  EXPECT_EQ(lock_owner(config), restarted);
  again->release();
  EXPECT_EQ(lock_owner(config), std::nullopt);
  EXPECT_EQ(VmLock::reclaim(config, restarted), std::nullopt);
}

TEST_F(LeaseLockTest, AHostSweepsOnlyTheDraftsItBegan) {
  const auto drafts = folder.path() / private_folder / "drafts";
  for (const LockOwner& host : {first, second})
    std::ofstream(drafts / (host.host_uuid.substr(0, 8) + "abandoned"));
  EXPECT_EQ(sweep(*open(second)), 1U);
  EXPECT_TRUE(fs::exists(drafts / "11111111abandoned"));
  EXPECT_FALSE(fs::exists(drafts / "22222222abandoned"));
}

}  // namespace
}  // namespace virga::datastore
