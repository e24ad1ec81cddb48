#include "hypervisor/guest/files.h"

#include <sys/stat.h>

#include <map>

#include "hypervisor/guest/text.h"

namespace virga::hypervisor {
namespace {

constexpr std::string_view links_follow = "\n==> links <==\n";

std::chrono::sys_seconds parse_seconds(std::string_view text) {
  // The years 1 to 9999: what the API can tell.
  constexpr std::int64_t first = -62135596800, last = 253402300799;
  const std::int64_t number = parse_number<std::int64_t>(text).value_or(0);
  return std::chrono::sys_seconds(std::chrono::seconds(std::clamp(number, first, last)));
}

GuestFile::Kind kind_of(std::uint32_t mode) {
  if (S_ISDIR(mode)) return GuestFile::Kind::directory;
  return S_ISLNK(mode) ? GuestFile::Kind::symbolic_link : GuestFile::Kind::file;
}

// "81a4 0 0 12 1700000000 1700000000 name"
std::optional<GuestFile> parse_file(std::string_view line) {
  const auto mode = parse_number<std::uint32_t>(take_until(line, ' '), 16);
  const auto uid = parse_number<std::uint32_t>(take_until(line, ' '));
  const auto gid = parse_number<std::uint32_t>(take_until(line, ' '));
  const auto size = parse_number<std::uint64_t>(take_until(line, ' '));
  const std::string_view accessed = take_until(line, ' '), modified = take_until(line, ' ');
  if (!mode || !uid || !gid || !size || line.empty()) return std::nullopt;
  return GuestFile{.name = std::string(line),
                   .kind = kind_of(*mode),
                   .permissions = *mode & 07777,
                   .uid = *uid,
                   .gid = *gid,
                   .size = *size,
                   .accessed = parse_seconds(accessed),
                   .modified = parse_seconds(modified)};
}

}  // namespace

const char* const file_list_script = R"(
fail() { echo "$1" >&2; exit 1; }
pattern=$2
if [ -d "$1" ]; then
  [ -r "$1" ] && [ -x "$1" ] || fail "Permission denied"
  cd "$1" || exit 1
  names() { ls -a; }
else
  stat -c %n -- "$1" >/dev/null || exit 1
  single=${1##*/}
  cd "${1%/*}/" || exit 1
  names() { echo "$single"; }
fi
chosen() {
  if [ -n "$pattern" ]; then names | grep -E -e "$pattern"; else names; fi
}
chosen | tr '\n' '\0' | xargs -0 -r stat -c '%f %u %g %s %X %Y %n' --
echo '==> links <=='
chosen | while IFS= read -r name; do
  if [ -L "$name" ]; then echo "$name"; readlink -- "$name"; fi
done
exit 0
)";

std::vector<GuestFile> parse_file_list(std::string_view output) {
  // An empty listing begins with the mark.
  const std::string text = "\n" + std::string(output);
  const auto mark = text.rfind(links_follow);
  std::map<std::string_view, std::string_view> targets;
  if (mark != text.npos) {
    std::string_view rest = std::string_view(text).substr(mark + links_follow.size());
    while (!rest.empty()) {
      const std::string_view name = take_until(rest, '\n');
      targets[name] = take_until(rest, '\n');
    }
  }
  std::vector<GuestFile> files;
  for (const std::string_view line : split(std::string_view(text).substr(0, mark), '\n')) {
    auto file = parse_file(line);
    if (!file) continue;
    if (const auto target = targets.find(file->name); target != targets.end())
      file->target = target->second;
    files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace virga::hypervisor
