// Changed block tracking: which areas of a virtual disk were changed, and when. NAME-ctk.vmdk says
// so of the disk or delta NAME.vmdk, whose descriptor names it (changeTrackPath). VMware's files of
// that name have a format of their own, unpublished; this one is text.
//
// Time is counted in periods. One ends whenever the content comes to rest: a snapshot is taken, the
// guest powered off or suspended. What is written in a period bears its number, its sequence. The
// state at the end of a period is called by a change ID, "UUID/SEQUENCE", and everything that bears
// a greater sequence was changed since. Another UUID is another epoch: nothing is known of what
// happened between the two.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace virga::vmx {

struct Area {
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 0;  // bytes, never 0

  std::uint64_t end() const { return offset + length; }
  bool operator==(const Area&) const = default;
};
// In order, and none touches the next.
using Areas = std::vector<Area>;

// What lies in any of them, in whatever order they come.
Areas united(std::vector<Area> areas);
// What of them lies in [from, to).
Areas clipped(const Areas& areas, std::uint64_t from, std::uint64_t to);

struct ChangeId {
  std::string uuid;  // "52 de c0 d9 b9 43 9d 10-61 35 9b 98 de c6 56 07"
  std::uint32_t sequence = 0;

  static std::optional<ChangeId> parse(std::string_view text);
  std::string format() const;

  bool operator==(const ChangeId&) const = default;
};

// For each byte the sequence of its last change.
class ChangeMap {
 public:
  void set(const Area& area, std::uint32_t sequence);
  // All that bears a sequence greater than this.
  Areas since(std::uint32_t sequence) const;
  // What `later` knows of goes before what this does.
  void overlay(const ChangeMap& later);

  struct Run {
    Area area;
    std::uint32_t sequence;
  };
  // Without what never changed; in order.
  std::vector<Run> runs() const;

  bool operator==(const ChangeMap&) const = default;

 private:
  std::uint32_t at(std::uint64_t offset) const;

  std::map<std::uint64_t, std::uint32_t> from_;  // from this byte to the next key; 0: never changed
};

// The track of one disk or delta. It tells of changes made to that one alone: those before it was
// made stand in the tracks of the disks below.
struct ChangeTrack {
  static constexpr std::size_t max_size = 256 << 20;  // bytes of text

  std::string uuid;
  std::uint64_t capacity = 0;  // bytes
  std::uint32_t since = 0;     // it knows of every change after this period
  std::uint32_t sequence = 0;  // of the last period that has ended
  // Somebody writes, in the period after `sequence`, and what he writes is not here yet. Left
  // behind by one who came to a sudden end, it makes the track worthless.
  bool open = false;
  std::string stamp;  // tells that the content is what it was when the track was closed; empty:
                      // nobody else writes there
  ChangeMap changes;

  ChangeId change_id() const { return {uuid, sequence}; }
  // Ends the period in which `areas` were written. A disk that has grown was written where it has.
  void close(const Areas& areas, std::uint64_t present_capacity);

  // Throws ErrorKind::damaged under the name `name`.
  static ChangeTrack parse(std::string_view text, const std::string& name);
  std::string serialise() const;

  bool operator==(const ChangeTrack&) const = default;
};

// A track that begins an epoch: it knows of nothing that was before.
ChangeTrack new_track(std::uint64_t capacity);
// The track of a new delta of a disk whose present period, if it is open, ends with that.
ChangeTrack track_of_delta(const ChangeTrack& parent);

// `track` and those of the disks below it, the base's first, as one. It goes back as far as there
// is no gap: nullopt is a disk without a track that can be relied on.
ChangeTrack joined(const std::vector<std::optional<ChangeTrack>>& below, ChangeTrack track);

// The changes that lie between `id` and the state the track is of; nullopt when it cannot tell.
std::optional<Areas> changes_since(const ChangeTrack& track, const ChangeId& id);

}  // namespace virga::vmx
