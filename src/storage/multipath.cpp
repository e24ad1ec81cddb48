#include "storage/multipath.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/process.h"

namespace virga::storage {
namespace {

constexpr const char* program = "multipathd";

std::string settings_of(const PathRule& rule) {
  switch (rule.policy) {
    case PathPolicy::round_robin:
      return "    path_grouping_policy group_by_prio\n"
             "    path_selector \"round-robin 0\"\n";
    case PathPolicy::most_recent:
      return "    path_grouping_policy failover\n"
             "    failback manual\n";
    case PathPolicy::fixed:
      break;
  }
  return fmt::format(
      "    path_grouping_policy failover\n"
      "    prio weightedpath\n"
      "    prio_args \"hbtl ^{}$ 100 .* 1\"\n"
      "    failback immediate\n",
      rule.preferred);
}

bool takes_turns(const json::value& group) {
  return group.at("paths").as_array().size() > 1 ||
         group.at("selector").as_string().starts_with("round-robin");
}

PathRule rule_of(const json::value& map) {
  const json::array& groups = map.at("path_groups").as_array();
  if (std::ranges::any_of(groups, takes_turns)) return {PathPolicy::round_robin, ""};
  const bool returns = map.at("failback").as_string() == "immediate";
  return {returns ? PathPolicy::fixed : PathPolicy::most_recent, ""};
}

// multipathd says what it did not do in words, and ends with 0.
void reconfigure() {
  const std::string answer = run_checked({program, "reconfigure"});
  if (!answer.starts_with("ok"))
    throw error(ErrorKind::io, program, "{} does not take new rules: {}", program, answer);
}

}  // namespace

std::string multipath_config(const PathRules& rules) {
  std::string text =
      "# Written by Virga, and written anew whenever a policy changes.\nmultipaths {\n";
  for (const auto& [wwid, rule] : rules)
    text += fmt::format("  multipath {{\n    wwid \"{}\"\n{}  }}\n", wwid, settings_of(rule));
  return text + "}\n";
}

PathRules parse_multipath_maps(const std::string& answer) {
  PathRules rules;
  try {
    const json::value document = json::parse(answer);
    for (const json::value& map : document.at("maps").as_array())
      rules[std::string(map.at("uuid").as_string())] = rule_of(map);
  } catch (const std::exception& failure) {
    throw error(ErrorKind::damaged, program, "{} gave an answer that makes no sense: {}", program,
                failure.what());
  }
  return rules;
}

PathRules path_rules_in_force() {
  try {
    return parse_multipath_maps(run_checked({program, "show", "maps", "json"}));
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::not_found) logger("storage")->warn("{}", failure.what());
    return {};
  }
}

void enforce(const PathRules& rules, const fs::path& file) {
  const std::string before = fs::exists(file) ? read_file(file) : multipath_config({});
  fs::create_directories(file.parent_path());
  write_file_atomically(file, multipath_config(rules));
  try {
    reconfigure();
  } catch (const Error& failure) {
    write_file_atomically(file, before);
    throw error(ErrorKind::io, program, "{}", failure.what());
  }
}

}  // namespace virga::storage
