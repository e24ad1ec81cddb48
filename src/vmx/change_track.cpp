#include "vmx/change_track.h"

#include <algorithm>

#include "base/error.h"
#include "base/uuid.h"
#include "vmx/machine_config.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

constexpr std::uint32_t first_sequence = 1;
constexpr std::uint64_t max_offset = 1ULL << 62;  // as max_disk_sectors has it
constexpr std::uint32_t max_sequence = 0x7fffffff;

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = trim(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

class TrackReader {
 public:
  TrackReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  ChangeTrack read();

 private:
  Error damaged(std::string_view what) const {
    return error(ErrorKind::damaged, name_, "{}, line {}: {}", name_, number_, what);
  }
  std::uint64_t number(std::string_view text, std::uint64_t most) const {
    const auto parsed = parse_unsigned(text);
    if (!parsed || *parsed > most) throw damaged("not a number, or out of range");
    return *parsed;
  }
  void header(std::string_view line);
  void run(std::string_view line);

  std::string_view text_;
  const std::string& name_;
  std::size_t number_ = 0;
  std::uint64_t version_ = 0;
  std::uint64_t reached_ = 0;  // where the last run ended
  ChangeTrack track_;
};

ChangeTrack TrackReader::read() {
  if (text_.size() > ChangeTrack::max_size) throw damaged("it is too long");
  while (!text_.empty()) {
    ++number_;
    const std::string_view line = take_line(text_);
    if (line.empty() || line.front() == '#') continue;
    line.find('=') != std::string_view::npos ? header(line) : run(line);
  }
  if (version_ != 1 || track_.uuid.empty() || track_.capacity == 0)
    throw damaged("it does not say what it is of");
  if (track_.since > track_.sequence) throw damaged("it begins after it has ended");
  return std::move(track_);
}

void TrackReader::header(std::string_view line) {
  const std::size_t equals = line.find('=');
  const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
  const auto sequence = [&] { return static_cast<std::uint32_t>(number(value, max_sequence)); };
  if (key == "version") {
    version_ = number(value, 1);
  } else if (key == "uuid") {
    if (!ChangeId::parse(std::string(value) + "/1")) throw damaged("not a UUID");
    track_.uuid = value;
  } else if (key == "capacity") {
    track_.capacity = number(value, max_offset);
  } else if (key == "since") {
    track_.since = sequence();
  } else if (key == "sequence") {
    track_.sequence = sequence();
  } else if (key == "open") {
    track_.open = number(value, 1) != 0;
  } else if (key == "stamp") {
    track_.stamp = value;
  } else {
    throw damaged("not a key");
  }
}

// OFFSET LENGTH SEQUENCE
void TrackReader::run(std::string_view line) {
  const std::size_t first = line.find(' '), second = line.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos)
    throw damaged("neither KEY=VALUE nor OFFSET LENGTH SEQUENCE");
  const std::uint64_t offset = number(line.substr(0, first), max_offset);
  const std::uint64_t length = number(line.substr(first + 1, second - first - 1), max_offset);
  const std::uint64_t sequence = number(line.substr(second + 1), max_sequence);
  if (length == 0 || sequence == 0) throw damaged("nothing was changed here");
  if (offset < reached_) throw damaged("it lies in what was told before");
  reached_ = offset + length;
  track_.changes.set({offset, length}, static_cast<std::uint32_t>(sequence));
}

}  // namespace

// --- Areas -------------------------------------------------------------------------------------

Areas united(std::vector<Area> areas) {
  std::ranges::sort(areas, {}, &Area::offset);
  Areas all;
  for (const Area& area : areas) {
    if (all.empty() || all.back().end() < area.offset) {
      all.push_back(area);
    } else {
      all.back().length = std::max(all.back().end(), area.end()) - all.back().offset;
    }
  }
  return all;
}

Areas clipped(const Areas& areas, std::uint64_t from, std::uint64_t to) {
  Areas inside;
  for (const Area& area : areas) {
    const std::uint64_t begin = std::max(area.offset, from), end = std::min(area.end(), to);
    if (begin < end) inside.push_back({begin, end - begin});
  }
  return inside;
}

// --- Change IDs --------------------------------------------------------------------------------

std::optional<ChangeId> ChangeId::parse(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto sequence = parse_unsigned(text.substr(slash + 1));
  if (!sequence || *sequence == 0 || *sequence > max_sequence) return std::nullopt;
  try {
    return ChangeId{vmx_uuid(text.substr(0, slash)), static_cast<std::uint32_t>(*sequence)};
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string ChangeId::format() const {
  return fmt::format("{}/{}", uuid, sequence);
}

// --- Maps --------------------------------------------------------------------------------------

std::uint32_t ChangeMap::at(std::uint64_t offset) const {
  const auto after = from_.upper_bound(offset);
  return after == from_.begin() ? 0 : std::prev(after)->second;
}

void ChangeMap::set(const Area& area, std::uint32_t sequence) {
  const std::uint32_t behind = at(area.end());
  const std::uint32_t before = area.offset == 0 ? 0 : at(area.offset - 1);
  from_.erase(from_.lower_bound(area.offset), from_.upper_bound(area.end()));
  if (before != sequence) from_[area.offset] = sequence;
  if (behind != sequence) from_[area.end()] = behind;
}

std::vector<ChangeMap::Run> ChangeMap::runs() const {
  std::vector<Run> runs;
  for (auto it = from_.begin(); it != from_.end(); ++it) {
    if (it->second == 0) continue;
    const std::uint64_t end = std::next(it)->first;
    runs.push_back({{it->first, end - it->first}, it->second});
  }
  return runs;
}

Areas ChangeMap::since(std::uint32_t sequence) const {
  std::vector<Area> areas;
  for (const Run& run : runs())
    if (run.sequence > sequence) areas.push_back(run.area);
  return united(std::move(areas));
}

void ChangeMap::overlay(const ChangeMap& later) {
  for (const Run& run : later.runs()) set(run.area, run.sequence);
}

// --- Tracks ------------------------------------------------------------------------------------

void ChangeTrack::close(const Areas& areas, std::uint64_t present_capacity) {
  if (!open) return;
  ++sequence;
  for (const Area& area : clipped(areas, 0, present_capacity)) changes.set(area, sequence);
  if (present_capacity > capacity) changes.set({capacity, present_capacity - capacity}, sequence);
  capacity = present_capacity;
  open = false;
}

ChangeTrack ChangeTrack::parse(std::string_view text, const std::string& name) {
  return TrackReader(text, name).read();
}

std::string ChangeTrack::serialise() const {
  std::string text = fmt::format(
      "# Changed block tracking\nversion=1\nuuid={}\ncapacity={}\nsince={}\nsequence={}\n"
      "open={}\nstamp={}\n# offset length sequence\n",
      uuid, capacity, since, sequence, open ? 1 : 0, stamp);
  for (const ChangeMap::Run& run : changes.runs())
    fmt::format_to(std::back_inserter(text), "{} {} {}\n", run.area.offset, run.area.length,
                   run.sequence);
  return text;
}

ChangeTrack new_track(std::uint64_t capacity) {
  ChangeTrack track;
  track.uuid = vmx_uuid(make_uuid());
  track.capacity = capacity;
  track.since = track.sequence = first_sequence;
  return track;
}

ChangeTrack track_of_delta(const ChangeTrack& parent) {
  ChangeTrack track;
  track.uuid = parent.uuid;
  track.capacity = parent.capacity;
  track.since = track.sequence = parent.sequence + (parent.open ? 1 : 0);
  return track;
}

ChangeTrack joined(const std::vector<std::optional<ChangeTrack>>& below, ChangeTrack track) {
  for (auto lower = below.rbegin(); lower != below.rend(); ++lower) {
    const bool follows = *lower && !(*lower)->open && (*lower)->uuid == track.uuid &&
                         (*lower)->sequence >= track.since && (*lower)->since <= track.since;
    if (!follows) break;
    ChangeMap changes = (*lower)->changes;
    changes.overlay(track.changes);
    track.changes = std::move(changes);
    track.since = (*lower)->since;
  }
  return track;
}

std::optional<Areas> changes_since(const ChangeTrack& track, const ChangeId& id) {
  const bool known = !track.open && id.uuid == track.uuid && id.sequence >= track.since &&
                     id.sequence <= track.sequence;
  return known ? std::optional(track.changes.since(id.sequence)) : std::nullopt;
}

}  // namespace virga::vmx
