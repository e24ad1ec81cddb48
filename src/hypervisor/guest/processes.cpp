#include "hypervisor/guest/processes.h"

#include <algorithm>
#include <map>

#include "hypervisor/guest/text.h"

namespace virga::hypervisor {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

// Of /proc: the kernel counts in hundredths of a second for all who read it.
constexpr std::uint64_t ticks_per_second = 100;
constexpr std::string_view owners = "owners";

using Sections = std::map<std::string_view, std::string_view>;

// `head -v` heads each file with its name: "==> /proc/1/stat <==".
Sections split_sections(std::string_view output) {
  constexpr std::string_view begin = "==> ", end = " <==";
  Sections sections;
  std::string_view name;
  const char* content = output.data();
  const auto close = [&](const char* at) {
    if (!name.empty()) sections[name] = std::string_view(content, at);
  };
  while (!output.empty()) {
    const char* const start = output.data();
    const std::string_view line = take_until(output, '\n');
    if (!line.starts_with(begin) || !line.ends_with(end)) continue;
    close(start);
    name =
        line.substr(begin.size(), line.size() - std::min(line.size(), begin.size() + end.size()));
    content = output.data();
  }
  close(output.data());
  return sections;
}

std::string_view section(const Sections& sections, const std::string& name) {
  const auto found = sections.find(name);
  return found == sections.end() ? std::string_view() : found->second;
}

std::map<std::uint32_t, std::string_view> read_users(std::string_view passwd) {
  std::map<std::uint32_t, std::string_view> users;
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    if (const auto uid = parse_number<std::uint32_t>(fields[2])) users.emplace(*uid, fields[0]);
  }
  return users;
}

// "0 /proc/1" in lines.
std::map<std::int64_t, std::uint32_t> read_owners(std::string_view text) {
  std::map<std::int64_t, std::uint32_t> owners;
  for (std::string_view line : split(text, '\n')) {
    const auto uid = parse_number<std::uint32_t>(take_until(line, ' '));
    const auto pid = parse_number<std::int64_t>(line.substr(line.rfind('/') + 1));
    if (uid && pid) owners.emplace(*pid, *uid);
  }
  return owners;
}

sys_seconds boot_time(std::string_view stat) {
  for (std::string_view line : split(stat, '\n'))
    if (take_until(line, ' ') == "btime")
      return sys_seconds(seconds(parse_number<std::int32_t>(line).value_or(0)));
  return {};
}

// "7 (a (b) c) S 1 …", whose 22nd field is the start in ticks after boot; proc(5).
bool read_stat(std::string_view stat, sys_seconds boot, GuestProcess& process) {
  const auto open = stat.find('('), close = stat.rfind(')');
  if (open == stat.npos || close == stat.npos || close < open) return false;
  const auto fields =
      split(stat.substr(close + 1), ' ');  // the first is empty, the second the third
  if (fields.size() < 21) return false;
  const auto ticks = parse_number<std::uint64_t>(fields[20]);
  if (!ticks) return false;
  process.name = stat.substr(open + 1, close - open - 1);
  const auto since_boot = std::min<std::uint64_t>(*ticks / ticks_per_second, 1U << 31);
  process.start = boot + seconds(since_boot);
  return true;
}

std::string read_command_line(std::string_view cmdline) {
  const auto last = cmdline.find_last_not_of(std::string_view("\0\n", 2));
  std::string words(cmdline.substr(0, last == cmdline.npos ? 0 : last + 1));
  std::ranges::replace(words, '\0', ' ');
  return words;
}

}  // namespace

const char* const process_list_script = R"(
head -v -c 65536 /etc/passwd /proc/stat /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null
echo
echo '==> owners <=='
stat -c '%u %n' /proc/[0-9]* 2>/dev/null
exit 0
)";

std::vector<GuestProcess> parse_process_list(std::string_view output) {
  const Sections sections = split_sections(output);
  const auto users = read_users(section(sections, "/etc/passwd"));
  const auto boot = boot_time(section(sections, "/proc/stat"));
  std::vector<GuestProcess> processes;
  for (const auto& [pid, uid] : read_owners(section(sections, std::string(owners)))) {
    const std::string folder = "/proc/" + std::to_string(pid);
    GuestProcess process{.pid = pid};
    if (!read_stat(section(sections, folder + "/stat"), boot, process)) continue;
    process.command_line = read_command_line(section(sections, folder + "/cmdline"));
    const auto user = users.find(uid);
    process.owner = user != users.end() ? std::string(user->second) : std::to_string(uid);
    processes.push_back(std::move(process));
  }
  return processes;
}

}  // namespace virga::hypervisor
