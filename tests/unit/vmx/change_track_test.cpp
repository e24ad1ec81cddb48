#include "vmx/change_track.h"

#include <gtest/gtest.h>

#include <random>

#include "../expect_error.h"

namespace virga::vmx {
namespace {

TEST(Areas, AreUnitedWhereTheyTouchOrOverlap) {
  const std::vector<Area> mixed = {{30, 10}, {0, 10}, {10, 5}, {35, 1}, {50, 2}};
  EXPECT_EQ(united(mixed), (Areas{{0, 15}, {30, 10}, {50, 2}}));
  EXPECT_EQ(united({}), Areas());
}

TEST(Areas, AreClipped) {
  const Areas areas = {{0, 15}, {30, 10}, {50, 2}};
  EXPECT_EQ(clipped(areas, 10, 35), (Areas{{10, 5}, {30, 5}}));
  EXPECT_EQ(clipped(areas, 15, 30), Areas());
  EXPECT_EQ(clipped(areas, 0, 52), areas);
}

TEST(ChangeIds, AreReadAsTheyAreWritten) {
  const ChangeId id{"52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07", 4};
  EXPECT_EQ(id.format(), "52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07/4");
  EXPECT_EQ(ChangeId::parse(id.format()), id);
  for (const char* other : {"", "*", "/4", "52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07",
                            "52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07/0",
                            "52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07/-1", "52 de/4"})
    EXPECT_EQ(ChangeId::parse(other), std::nullopt) << other;
}

// Against the plainest map there is: a number for every byte.
TEST(ChangeMaps, KnowTheLastChangeOfEveryByte) {
  constexpr std::uint64_t size = 60;
  std::mt19937 chance(5);
  const auto below = [&](std::uint64_t limit) { return chance() % limit; };
  for (int round = 0; round < 300; ++round) {
    ChangeMap map;
    std::vector<std::uint32_t> plain(size);
    for (std::uint32_t sequence = 1; sequence < 12; ++sequence) {
      const std::uint64_t offset = below(size), length = 1 + below(size - offset);
      map.set({offset, length}, sequence);
      for (std::uint64_t at = offset; at < offset + length; ++at) plain[at] = sequence;
    }
    for (std::uint32_t sequence = 0; sequence < 12; ++sequence) {
      std::vector<Area> changed;
      for (std::uint64_t at = 0; at < size; ++at)
        if (plain[at] > sequence) changed.push_back({at, 1});
      EXPECT_EQ(map.since(sequence), united(changed));
    }
    ChangeMap copy;
    for (const ChangeMap::Run& run : map.runs()) copy.set(run.area, run.sequence);
    EXPECT_EQ(copy, map);
  }
}

ChangeTrack written(ChangeTrack track, const Areas& areas) {
  track.open = true;
  track.close(areas, track.capacity);
  return track;
}

TEST(ChangeTracks, TellWhatEachPeriodChanged) {
  const ChangeTrack begun = new_track(1000);
  const ChangeTrack first = written(begun, {{0, 10}, {500, 10}});
  const ChangeTrack second = written(first, {{505, 10}});
  EXPECT_EQ(changes_since(second, begun.change_id()), (Areas{{0, 10}, {500, 15}}));
  EXPECT_EQ(changes_since(second, first.change_id()), (Areas{{505, 10}}));
  EXPECT_EQ(changes_since(second, second.change_id()), Areas());
  EXPECT_EQ(changes_since(first, second.change_id()), std::nullopt) << "a state yet to come";
  EXPECT_EQ(changes_since(second, new_track(1000).change_id()), std::nullopt) << "another epoch";
  ChangeTrack open = second;
  open.open = true;
  EXPECT_EQ(changes_since(open, first.change_id()), std::nullopt) << "somebody writes";
}

TEST(ChangeTracks, AreClosedOnce) {
  ChangeTrack track = written(new_track(1000), {{0, 10}});
  const ChangeTrack closed = track;
  track.close({{20, 10}}, 1000);
  EXPECT_EQ(track, closed);
}

TEST(ChangeTracks, CountAsChangedWhatHasGrown) {
  ChangeTrack track = new_track(1000);
  const ChangeId before = track.change_id();
  track.open = true;
  track.close({{10, 10}}, 1500);
  EXPECT_EQ(changes_since(track, before), (Areas{{10, 10}, {1000, 500}}));
  EXPECT_EQ(track.capacity, 1500u);
}

TEST(ChangeTracks, OfAChainAreOne) {
  ChangeTrack base = written(new_track(1000), {{0, 10}});
  base.open = true;  // the guest writes, and a snapshot is taken
  ChangeTrack delta = track_of_delta(base);
  base.close({{100, 10}}, 1000);
  EXPECT_EQ(delta.change_id(), base.change_id());
  delta = written(delta, {{105, 10}});
  const ChangeTrack upper = written(track_of_delta(delta), {{0, 1}});
  const ChangeTrack all = joined({base, delta}, upper);
  EXPECT_EQ(changes_since(all, {base.uuid, 1}), (Areas{{0, 10}, {100, 15}}));
  EXPECT_EQ(changes_since(all, base.change_id()), (Areas{{0, 1}, {105, 10}}));
  EXPECT_EQ(changes_since(all, delta.change_id()), (Areas{{0, 1}}));

  // Where there is a gap, only what lies above it is known.
  ChangeTrack worthless = delta;
  worthless.open = true;
  for (const auto& gap :
       {std::optional<ChangeTrack>(), std::optional(worthless), std::optional(new_track(1000))}) {
    const ChangeTrack rest = joined({base, gap}, upper);
    EXPECT_EQ(changes_since(rest, base.change_id()), std::nullopt);
    EXPECT_EQ(changes_since(rest, delta.change_id()), (Areas{{0, 1}}));
  }
}

TEST(ChangeTracks, SurviveARoundTrip) {
  ChangeTrack track =
      written(written(new_track(1 << 20), {{0, 65536}, {131072, 65536}}), {{65536, 65536}});
  track.stamp = "17 1048576 99";
  EXPECT_EQ(ChangeTrack::parse(track.serialise(), "a"), track);
  track.open = true;
  EXPECT_EQ(ChangeTrack::parse(track.serialise(), "a"), track);
}

TEST(ChangeTracks, RefuseWhatIsNone) {
  const std::string good = new_track(1000).serialise();
  for (const std::string& bad :
       {std::string(), std::string("\1\2\3"), good + "5 0 1\n", good + "5 5 0\n",
        good + "5 5 1\n7 5 1\n", good + "5 5\n", good + "since=9\n", good + "other=1\n",
        good + "99999999999999999999 5 1\n", std::string("version=1\nuuid=x\ncapacity=5\n")})
    expect_error(ErrorKind::damaged, "a-ctk.vmdk", [&] { ChangeTrack::parse(bad, "a-ctk.vmdk"); });
}

}  // namespace
}  // namespace virga::vmx
