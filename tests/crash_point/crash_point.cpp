// Takes the place of the C library's functions, in a program linked with it or preloaded with it. A
// preloaded one reads the number from VIRGA_CRASH_STEP and counts from SIGUSR2 on.
#include "crash_point.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace {

std::atomic<long> steps_left = 0;
long preloaded_number = 0;

void step() {
  if (steps_left > 0 && --steps_left == 0) ::kill(::getpid(), SIGKILL);
}

template <class... Arguments>
auto after_step(long number, Arguments... arguments) {
  step();
  return ::syscall(number, arguments...);
}

bool is_local(int socket) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

__attribute__((constructor)) void prepare_when_preloaded() {
  const char* number = ::getenv("VIRGA_CRASH_STEP");
  if (!number) return;
  preloaded_number = ::atol(number);
  ::unsetenv("VIRGA_CRASH_STEP");
  ::unsetenv("LD_PRELOAD");  // its children are not meant
  ::signal(SIGUSR2, [](int) { virga::crash_before_step(preloaded_number); });
}

}  // namespace

void virga::crash_before_step(long number) {
  steps_left = number;
}

extern "C" {

int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(after_step(SYS_rename, from, to));
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return static_cast<int>(after_step(SYS_renameat, from_folder, from, to_folder, to));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  return static_cast<int>(after_step(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int link(const char* from, const char* to) noexcept {
  return static_cast<int>(after_step(SYS_link, from, to));
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return static_cast<int>(after_step(SYS_linkat, from_folder, from, to_folder, to, flags));
}
int unlink(const char* path) noexcept {
  return static_cast<int>(after_step(SYS_unlink, path));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return static_cast<int>(after_step(SYS_unlinkat, folder, path, flags));
}
int rmdir(const char* path) noexcept {
  return static_cast<int>(after_step(SYS_rmdir, path));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return static_cast<int>(after_step(SYS_mkdir, path, mode));
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return static_cast<int>(after_step(SYS_mkdirat, folder, path, mode));
}
int ftruncate(int fd, off_t size) noexcept {
  return static_cast<int>(after_step(SYS_ftruncate, fd, size));
}
int ftruncate64(int fd, off64_t size) noexcept {
  return static_cast<int>(after_step(SYS_ftruncate, fd, size));
}
int fsync(int fd) {
  return static_cast<int>(after_step(SYS_fsync, fd));
}
int fdatasync(int fd) {
  return static_cast<int>(after_step(SYS_fdatasync, fd));
}

ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  if (is_local(socket)) step();
  return ::syscall(SYS_sendmsg, socket, message, flags);
}

// The C library's own: it has locks to hand over to the child.
pid_t fork() noexcept {
  static const auto real = reinterpret_cast<pid_t (*)()>(::dlsym(RTLD_NEXT, "fork"));
  step();
  const pid_t child = real();
  if (child == 0) virga::crash_before_step(0);
  return child;
}

}  // extern "C"
