#include "datastore/vm_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "datastore/beneath.h"
#include "datastore/locking.h"

namespace virga::datastore {
namespace {

constexpr std::size_t max_text = 4096;

std::string to_text(const LockOwner& owner) {
  return json::serialize(json::object{{"host_uuid", owner.host_uuid},
                                      {"host_name", owner.host_name},
                                      {"boot_id", owner.boot_id},
                                      {"pid", owner.pid}}) +
         "\n";
}

// The owner may just be writing: text that is not whole is an owner without a name.
LockOwner read_owner(int fd) {
  char buffer[max_text];
  const ssize_t size = ::pread(fd, buffer, sizeof buffer, 0);
  try {
    const json::value value =
        json::parse(std::string_view(buffer, size > 0 ? static_cast<std::size_t>(size) : 0));
    LockOwner owner;
    owner.host_uuid = value.at("host_uuid").as_string();
    owner.host_name = value.at("host_name").as_string();
    owner.boot_id = value.at("boot_id").as_string();
    owner.pid = value.at("pid").to_number<pid_t>();
    return owner;
  } catch (const std::exception&) {
    return {};
  }
}

// For the other hosts to see.
void publish_owner(int fd, const LockOwner& owner, const std::string& subject) {
  if (::ftruncate(fd, 0) != 0) throw system_error(subject, "cannot write");
  write_all(fd, to_text(owner), subject);
  if (::fsync(fd) != 0) throw system_error(subject, "cannot sync");
}

Error held_by(const LockOwner& owner, const Location& config) {
  const std::string name = owner.host_name.empty() ? owner.host_uuid : owner.host_name;
  return error(ErrorKind::busy, config.display(), "{} is locked by {}", config.display(),
               name.empty() ? "another host" : fmt::format("host {}", name));
}

// The file under its name is still the one that was opened: an owner's release may be in between.
bool is_still_there(const Location& file, int fd) {
  struct stat opened, named;
  if (::fstat(fd, &opened) != 0) throw system_error(file.display(), "cannot look at");
  return status_of(entry_of(*file.datastore, file.path), named) && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

bool same_boot(const LockOwner& a, const LockOwner& b) {
  return a.host_uuid == b.host_uuid && a.boot_id == b.boot_id;
}

void unlink(const Location& file) {
  const Entry entry = entry_of(*file.datastore, file.path);
  if (::unlinkat(entry.folder.get(), entry.name.c_str(), 0) != 0 && errno != ENOENT)
    throw system_error(file.display(), "cannot remove");
}

Location takeover_file(const Location& lock) {
  return {lock.datastore, lock.path + ".takeover"};
}

// Of all hosts that find an owner dead only one goes on. Should it die right then, its file stays,
// and with it the lock: a person has to look.
class Takeover {
 public:
  Takeover(const Location& lock, const LockOwner& taker) : file_(takeover_file(lock)) {
    try {
      const Fd fd = file_.datastore->open(file_.path, O_WRONLY | O_CREAT | O_EXCL);
      publish_owner(fd.get(), taker, file_.display());
    } catch (const Error& failure) {
      if (failure.kind() != ErrorKind::already_exists) throw;
      const LockOwner other = read_owner(file_.datastore->open(file_.path, O_RDONLY).get());
      if (other.host_uuid != taker.host_uuid)
        throw error(ErrorKind::busy, lock.display(),
                    "host {} takes the lock over; if it does not live, remove {}", other.host_name,
                    file_.display());
    }
  }
  ~Takeover() {
    try {
      unlink(file_);
    } catch (const Error& failure) {
      logger("datastore")->error("{}", failure.what());
    }
  }
  Takeover(const Takeover&) = delete;
  Takeover& operator=(const Takeover&) = delete;

 private:
  Location file_;
};

// Opens the lock's file, or makes it. `made`: it was not there, so it is ours.
Fd open_lease_lock(const Location& file, bool& made) {
  for (;;) {
    try {
      made = true;
      return file.datastore->open(file.path, O_RDWR | O_CREAT | O_EXCL);
    } catch (const Error& failure) {
      if (failure.kind() != ErrorKind::already_exists) throw;
    }
    try {
      made = false;
      return file.datastore->open(file.path, O_RDWR);
    } catch (const Error& failure) {
      if (failure.kind() != ErrorKind::not_found) throw;  // released in between
    }
  }
}

}  // namespace

Location lock_file(const Location& config) {
  return {config.datastore, config.path + ".lck"};
}

VmLock::VmLock(Location file, LockOwner owner, Fd fd)
    : file_(std::move(file)), owner_(std::move(owner)), fd_(std::move(fd)) {}

std::optional<VmLock> VmLock::try_acquire(const Location& config, const LockOwner& owner,
                                          LockAttempt& attempt, LeaseWatch::Time now) {
  const Location file = lock_file(config);
  return config.datastore->leases() ? try_lease(file, config, owner, attempt, now)
                                    : try_file_lock(file, config, owner);
}

std::optional<VmLock> VmLock::reclaim(const Location& config, const LockOwner& owner) {
  const Location file = lock_file(config);
  if (!file.datastore->exists(file.path)) return std::nullopt;
  const auto present = lock_owner(config);
  if (present && present->host_uuid != owner.host_uuid) return std::nullopt;
  LockAttempt attempt;
  return try_acquire(config, owner, attempt);
}

std::optional<VmLock> VmLock::try_file_lock(const Location& file, const Location& config,
                                            const LockOwner& owner) {
  for (;;) {
    Fd fd = file.datastore->open(file.path, O_RDWR | O_CREAT);
    if (!try_lock(fd.get(), whole_file, LockMode::exclusive))
      throw held_by(read_owner(fd.get()), config);
    if (!is_still_there(file, fd.get())) continue;
    VmLock lock(file, owner, std::move(fd));
    try {
      publish_owner(lock.fd(), owner, file.display());
    } catch (const Error& failure) {
      // On a full disk the lock holds all the same, without a name: a VM can be destroyed there.
      if (failure.kind() == ErrorKind::no_space) return lock;
      lock.release();
      throw;
    }
    return lock;
  }
}

std::optional<VmLock> VmLock::try_lease(const Location& file, const Location& config,
                                        const LockOwner& owner, LockAttempt& attempt,
                                        LeaseWatch::Time now) {
  bool made = false;
  const Fd fd = open_lease_lock(file, made);
  const LockOwner present = made ? owner : read_owner(fd.get());
  if (present.host_uuid == owner.host_uuid) {
    // Ours anyway, whether we made it or a former daemon did.
    try {
      publish_owner(fd.get(), owner, file.display());
    } catch (...) {
      if (made) unlink(file);
      throw;
    }
    return VmLock(file, owner, Fd());
  }
  const LeaseTiming& timing = *file.datastore->leases();
  if (!attempt.watch || present != attempt.judged) attempt = {present, LeaseWatch(timing)};
  const auto heartbeat = read_heartbeat(*file.datastore, present.host_uuid);
  switch (attempt.watch->observe(present.boot_id, heartbeat, now)) {
    case LeaseWatch::Verdict::alive:
      throw held_by(present, config);
    case LeaseWatch::Verdict::unknown:
      return std::nullopt;
    case LeaseWatch::Verdict::dead:
      break;
  }
  const Takeover takeover(file, owner);
  if (read_owner(fd.get()) != present || !is_still_there(file, fd.get())) return std::nullopt;
  publish_owner(fd.get(), owner, file.display());
  if (std::chrono::steady_clock::now() - now > timing.interval)
    std::this_thread::sleep_for(timing.owner_stops);
  return VmLock(file, owner, Fd());
}

void VmLock::release() {
  const Fd held = std::exchange(fd_, Fd());
  if (!file_.datastore->exists(file_.path)) return;
  if (held ? is_still_there(file_, held.get()) : is_lock_of(file_, owner_)) unlink(file_);
}

bool is_lock_of(const Location& lock_file, const LockOwner& owner) {
  try {
    const Fd fd = lock_file.datastore->open(lock_file.path, O_RDONLY);
    return same_boot(read_owner(fd.get()), owner);
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return false;
    throw;
  }
}

std::optional<LockOwner> lock_owner(const Location& config) {
  const Location file = lock_file(config);
  if (!file.datastore->exists(file.path)) return std::nullopt;
  try {
    const Fd fd = file.datastore->open(file.path, O_RDONLY);
    if (!config.datastore->leases() && !is_locked(fd.get(), whole_file)) return std::nullopt;
    return read_owner(fd.get());
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return std::nullopt;
    throw;
  }
}

}  // namespace virga::datastore
