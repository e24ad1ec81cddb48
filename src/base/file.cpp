#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "base/error.h"

namespace virga {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Fd open_file(const fs::path& path, int flags, unsigned mode) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) throw system_error(path, "cannot open");
  return Fd(fd);
}

std::string read_file(const fs::path& path, std::uint64_t limit) {
  const Fd fd = open_file(path, O_RDONLY);
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(path, "cannot read");
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > limit)
      throw error(ErrorKind::damaged, path, "{} is larger than {} bytes", path.string(), limit);
  }
}

void write_all(int fd, std::string_view data, const std::string& subject) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error(subject, "cannot write");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

void sync_directory(const fs::path& directory) {
  const Fd fd = open_file(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) throw system_error(directory, "cannot sync");
}

void write_file_atomically(const fs::path& path, std::string_view text, unsigned mode) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  fs::path draft = path;
  draft += "." + std::to_string(random()) + ".tmp~";
  try {
    Fd fd = open_file(draft, O_WRONLY | O_CREAT | O_EXCL, mode);
    write_all(fd.get(), text, path);
    if (::fsync(fd.get()) != 0) throw system_error(path, "cannot sync");
    fd.reset();
    if (::rename(draft.c_str(), path.c_str()) != 0) throw system_error(path, "cannot replace");
  } catch (...) {
    ::unlink(draft.c_str());
    throw;
  }
  sync_directory(path.parent_path());
}

}  // namespace virga
