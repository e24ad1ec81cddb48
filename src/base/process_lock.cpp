#include "base/process_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "base/error.h"

namespace virga {
namespace {

// All of the file, whatever it grows to.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

bool take_process_lock(const Fd& file) {
  struct flock lock = whole_file();
  if (::fcntl(file.get(), F_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw system_error("file", "cannot lock");
}

void wait_for_process_lock(const Fd& file) {
  struct flock lock = whole_file();
  while (::fcntl(file.get(), F_SETLKW, &lock) != 0)
    if (errno != EINTR) throw system_error("file", "cannot lock");
}

std::optional<pid_t> process_lock_holder(const Fd& file) {
  struct flock lock = whole_file();
  if (::fcntl(file.get(), F_GETLK, &lock) != 0) throw system_error("file", "cannot lock");
  return lock.l_type == F_UNLCK ? std::nullopt : std::optional(lock.l_pid);
}

}  // namespace virga
