// Internal to the module: locks that belong to an open file, not to a process (OFD locks,
// fcntl(2)). They conflict between any two openings, on any host that shares the file system, and
// live until the last copy of the descriptor is closed.
#pragma once

#include <sys/types.h>

#include <string>

namespace virga::datastore {

struct ByteRange {
  off_t start = 0;
  off_t length = 0;  // 0: to the end, however the file grows
};

constexpr ByteRange whole_file{};

enum class LockMode { shared, exclusive };

// false when another opening's lock is in the way. Exclusive needs a descriptor open for writing,
// shared one open for reading.
bool try_lock(int fd, ByteRange range, LockMode mode);

// Another opening holds any lock there.
bool is_locked(int fd, ByteRange range);

// For as long as `fd` or a copy lives, nobody else uses this disk's extent: with `exclusive` at
// all, with `shared` other than by reading it as we do. A guest that writes it is in the way of
// both, and kept from beginning to: QEMU marks what it does by shared locks on the bytes from 100
// on, what it does not let others do by those from 200 on. Throws ErrorKind::busy.
void lock_extent(int fd, LockMode mode, const std::string& subject);

}  // namespace virga::datastore
