// Files and descriptors: small wrappers that throw virga::Error and never leave half a file behind.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace virga {

namespace fs = std::filesystem;

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

// Opens with O_CLOEXEC; throws the system's error under the path's name.
Fd open_file(const fs::path& path, int flags, unsigned mode = 0644);

// The whole file. Refuses one larger than `limit` bytes with ErrorKind::damaged.
std::string read_file(const fs::path& path, std::uint64_t limit = 16 << 20);

// Replaces the file in one step: a reader (or a restart after a crash) sees the old text or the new,
// whole. The text is on stable storage when this returns.
void write_file_atomically(const fs::path& path, std::string_view text, unsigned mode = 0644);

// Writes all of `data` at the descriptor's position.
void write_all(int fd, std::string_view data, const std::string& subject);

// Makes a rename or an unlink in `directory` durable.
void sync_directory(const fs::path& directory);

}  // namespace virga
