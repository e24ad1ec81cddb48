#include "datastore/vm_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
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

void write_owner(int fd, const LockOwner& owner, const std::string& subject) {
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

}  // namespace

Location lock_file(const Location& config) {
  return {config.datastore, config.path + ".lck"};
}

LockOwner LockOwner::self(std::string host_uuid, std::string host_name) {
  std::string boot_id = read_file("/proc/sys/kernel/random/boot_id", 64);
  boot_id.erase(boot_id.find_last_not_of('\n') + 1);
  return {std::move(host_uuid), std::move(host_name), std::move(boot_id), ::getpid()};
}

VmLock::VmLock(Location file, Fd fd) : file_(std::move(file)), fd_(std::move(fd)) {}

VmLock VmLock::acquire(const Location& config, const LockOwner& owner) {
  const Location file = lock_file(config);
  for (;;) {
    Fd fd = file.datastore->open(file.path, O_RDWR | O_CREAT);
    if (!try_lock(fd.get(), whole_file, LockMode::exclusive))
      throw held_by(read_owner(fd.get()), config);
    if (!is_still_there(file, fd.get())) continue;
    VmLock lock(file, std::move(fd));
    try {
      write_owner(lock.fd(), owner, file.display());
    } catch (...) {
      lock.release();
      throw;
    }
    return lock;
  }
}

void VmLock::release() {
  if (!fd_) return;
  const Entry entry = entry_of(*file_.datastore, file_.path);
  if (is_still_there(file_, fd_.get())) ::unlinkat(entry.folder.get(), entry.name.c_str(), 0);
  fd_.reset();
}

std::optional<LockOwner> lock_owner(const Location& config) {
  const Location file = lock_file(config);
  if (!file.datastore->exists(file.path)) return std::nullopt;
  try {
    const Fd fd = file.datastore->open(file.path, O_RDONLY);
    if (!is_locked(fd.get(), whole_file)) return std::nullopt;
    return read_owner(fd.get());
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return std::nullopt;
    throw;
  }
}

}  // namespace virga::datastore
