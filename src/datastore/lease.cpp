#include "datastore/lease.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/uuid.h"
#include "datastore/beneath.h"

namespace virga::datastore {
namespace {

constexpr std::size_t max_text = 4096;

std::string hosts_folder() {
  return join(private_folder, "hosts");
}

std::string heartbeat_path(const std::string& host_uuid) {
  if (!is_uuid(host_uuid))
    throw error(ErrorKind::invalid_argument, host_uuid, "{} names no host", host_uuid);
  return join(hosts_folder(), host_uuid);
}

std::string to_text(const Heartbeat& beat) {
  return json::serialize(json::object{{"boot_id", beat.boot_id}, {"count", beat.count}}) + "\n";
}

}  // namespace

LockOwner LockOwner::self(std::string host_uuid, std::string host_name) {
  std::string boot_id = read_file("/proc/sys/kernel/random/boot_id", 64);
  boot_id.erase(boot_id.find_last_not_of('\n') + 1);
  return {std::move(host_uuid), std::move(host_name), std::move(boot_id), ::getpid()};
}

// --- Heartbeats --------------------------------------------------------------------------------

HeartbeatFile::HeartbeatFile(std::shared_ptr<const Datastore> datastore, std::string host_uuid,
                             std::string boot_id)
    : datastore_(std::move(datastore)),
      path_(heartbeat_path(host_uuid)),
      boot_id_(std::move(boot_id)) {
  if (::mkdirat(datastore_->root_fd(), hosts_folder().c_str(), 0700) != 0 && errno != EEXIST)
    throw system_error(datastore_->display(hosts_folder()), "cannot make");
  // One that goes on from where it was would look like one that stands still.
  const auto before = read_heartbeat(*datastore_, host_uuid);
  count_ = before ? before->count : 0;
}

// Written anew each time: a file of few bytes, of which others never see a part.
void HeartbeatFile::beat() {
  const std::string draft = path_ + ".new";
  const Fd fd = datastore_->open_any(draft, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  write_all(fd.get(), to_text({boot_id_, ++count_}), draft);
  if (::fdatasync(fd.get()) != 0) throw system_error(datastore_->display(draft), "cannot sync");
  rename_entry(entry_of(*datastore_, draft, true), entry_of(*datastore_, path_, true),
               IfExists::replace);
}

void HeartbeatFile::remove() {
  const Entry entry = entry_of(*datastore_, path_, true);
  ::unlinkat(entry.folder.get(), entry.name.c_str(), 0);
}

std::optional<Heartbeat> read_heartbeat(const Datastore& datastore, const std::string& host_uuid) {
  try {
    const Fd fd = datastore.open_any(heartbeat_path(host_uuid), O_RDONLY);
    char buffer[max_text];
    const ssize_t size = ::pread(fd.get(), buffer, sizeof buffer, 0);
    const json::value value =
        json::parse(std::string_view(buffer, size > 0 ? static_cast<std::size_t>(size) : 0));
    return Heartbeat{std::string(value.at("boot_id").as_string()),
                     value.at("count").to_number<std::uint64_t>()};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

// --- Judging others ----------------------------------------------------------------------------

LeaseWatch::Verdict LeaseWatch::observe(const std::string& held_since,
                                        const std::optional<Heartbeat>& seen, Time now) {
  if (seen && seen->boot_id != held_since) return Verdict::dead;
  if (!first_) {
    first_ = {seen, now};
    return Verdict::unknown;
  }
  if (first_->seen != seen) return Verdict::alive;
  return now - first_->since >= timing_.others_take ? Verdict::dead : Verdict::unknown;
}

// --- Guarding one's own ------------------------------------------------------------------------

void LeaseGuard::remove(const std::string& guest) {
  guests_.erase(guest);
  frozen_.erase(guest);
}

LeaseGuard::Orders LeaseGuard::beat_arrived(Time begun, Time arrived, const Guests& lost) {
  last_beat_ = begun;
  in_time_ = arrived - begun < timing_.interval ? in_time_ + 1 : 0;
  Orders orders;
  for (const std::string& guest : Guests(guests_)) {
    if (lost.contains(guest)) {
      orders.kill.insert(guest);
      remove(guest);
    }
  }
  // Who was about to take a lock has done so by the second heartbeat.
  if (in_time_ >= 2) orders.thaw = std::exchange(frozen_, {});
  return orders;
}

LeaseGuard::Orders LeaseGuard::time_passed(Time now) {
  Orders orders;
  if (is_held(now)) return orders;
  in_time_ = 0;
  for (const std::string& guest : guests_)
    if (frozen_.insert(guest).second) orders.freeze.insert(guest);
  return orders;
}

bool LeaseGuard::is_held(Time now) const {
  return last_beat_ && now - *last_beat_ < timing_.owner_stops;
}

}  // namespace virga::datastore
