#include "host/vm_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "datastore/browse.h"
#include "datastore/files.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

constexpr std::string_view old_prefix = "vmware-", old_suffix = ".log";

std::string option(const vmx::MachineConfig& config, const std::string& key) {
  if (const auto value = vmx::find_extra(config, key)) return *value;
  return vmx::find_extra(config, "vmx." + key).value_or("");
}

std::vector<int> numbers_of_old_logs(const datastore::Location& config_file) {
  std::vector<int> numbers;
  for (const std::string& name : datastore::file_names(config_file.parent()))
    if (const auto number = log_number(name)) numbers.push_back(*number);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string old_name(int number) {
  return fmt::format("{}{}{}", old_prefix, number, old_suffix);
}

}  // namespace

std::optional<int> numbered(std::string_view name, std::string_view prefix,
                            std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix))
    return std::nullopt;
  const std::string_view digits =
      name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  const auto number = vmx::parse_unsigned(digits);
  if (!number || *number > 1'000'000'000 || digits != std::to_string(*number)) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<int> log_number(std::string_view name) {
  return numbered(name, old_prefix, old_suffix);
}

LogPolicy log_policy(const vmx::MachineConfig& config) {
  LogPolicy policy;
  policy.enabled =
      !vmx::equal_ignoring_case(vmx::find_extra(config, "logging").value_or(""), "FALSE");
  if (const auto keep = vmx::parse_unsigned(option(config, "log.keepOld")))
    policy.keep_old = static_cast<int>(std::min<std::uint64_t>(*keep, 1000));
  if (const auto size = vmx::parse_unsigned(option(config, "log.rotateSize")))
    policy.rotate_size = *size;
  return policy;
}

void append_log(const datastore::Location& config_file, const LogPolicy& policy,
                const std::string& line) {
  if (!policy.enabled) return;
  try {
    const auto place = config_file.sibling(log_name);
    const Fd fd = place.datastore->open(place.path, O_WRONLY | O_CREAT | O_APPEND);
    write_all(fd.get(),
              fmt::format("{:%Y-%m-%dT%H:%M:%S}Z| vmx| I005: {}\n", fmt::gmtime(std::time(nullptr)),
                          line),
              place.display());
    struct stat status {};
    if (policy.rotate_size > 0 && ::fstat(fd.get(), &status) == 0 &&
        static_cast<std::uint64_t>(status.st_size) >= policy.rotate_size)
      rotate_log(config_file, policy);
  } catch (const Error& failure) {
    logger("vm")->warn("{}", failure.what());
  }
}

void rotate_log(const datastore::Location& config_file, const LogPolicy& policy) {
  const auto current = config_file.sibling(log_name);
  if (!policy.enabled || !current.datastore->exists(current.path)) return;
  std::vector<int> old = numbers_of_old_logs(config_file);
  const int next = old.empty() ? 1 : old.back() + 1;
  datastore::move(current, config_file.sibling(old_name(next)));
  old.push_back(next);
  const auto keep = static_cast<std::size_t>(policy.keep_old);
  for (std::size_t i = 0; i + keep < old.size(); ++i)
    datastore::remove(config_file.sibling(old_name(old[i])));
}

}  // namespace virga::host
