#include "datastore/locking.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr ByteRange our_bytes{0, 100};
constexpr ByteRange qemu_bytes{100, 0};

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

void lock_extent(int fd, LockMode mode, const std::string& subject) {
  const bool is_free = mode == LockMode::exclusive ? try_lock(fd, whole_file, LockMode::exclusive)
                                                   : !is_locked(fd, qemu_bytes) &&
                                                         try_lock(fd, our_bytes, LockMode::shared);
  if (!is_free) throw error(ErrorKind::busy, subject, "{} is in use", subject);
}

}  // namespace virga::datastore
