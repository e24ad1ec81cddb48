#include "datastore/locking.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr ByteRange our_bytes{0, 100};
// Of QEMU's permissions (block/file-posix.c), 100 + the number of each that is in use, 200 + of
// each that nobody else may use.
constexpr ByteRange qemu_writes{101, 3};  // writes, writes what is there already, resizes
constexpr ByteRange qemu_forbids_reading{200, 1};
constexpr ByteRange forbid_writing{201, 1};
constexpr ByteRange forbid_resizing{203, 1};

struct flock request(ByteRange range, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = range.start;
  lock.l_len = range.length;
  return lock;
}

}  // namespace

bool try_lock(int fd, ByteRange range, LockMode mode) {
  struct flock lock = request(range, mode == LockMode::exclusive ? F_WRLCK : F_RDLCK);
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw system_error("a file", "cannot lock");
}

bool is_locked(int fd, ByteRange range) {
  struct flock lock = request(range, F_WRLCK);
  if (::fcntl(fd, F_OFD_GETLK, &lock) != 0) throw system_error("a file", "cannot ask for locks of");
  return lock.l_type != F_UNLCK;
}

namespace {

bool try_lock_for_reading(int fd) {
  for (const ByteRange range : {our_bytes, forbid_writing, forbid_resizing})
    if (!try_lock(fd, range, LockMode::shared)) return false;
  return !is_locked(fd, qemu_writes) && !is_locked(fd, qemu_forbids_reading);
}

}  // namespace

void lock_extent(int fd, LockMode mode, const std::string& subject) {
  const bool is_free = mode == LockMode::exclusive ? try_lock(fd, whole_file, LockMode::exclusive)
                                                   : try_lock_for_reading(fd);
  if (!is_free) throw error(ErrorKind::busy, subject, "{} is in use", subject);
}

}  // namespace virga::datastore
