// Internal to the module: what a server exports, in the operating system's terms, whichever version
// of NFS is spoken.
//
// Nothing here waits. What is asked is answered from within service() or time_passed(), with an
// errno where the server refuses. A server that does not answer is asked again for as long as it
// takes: to whom asks, one that restarts is slow.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nfs/version.h"

namespace virga::nfs {

// What names a file at its server for as long as it exists. Opaque.
using Handle = std::string;

template <class... T>
struct Answer {
  std::function<void(const T&...)> then;
  std::function<void(int error)> failed;
};

struct Root {
  Handle handle;
  std::size_t max_transfer = 0;  // bytes of a read and of a write
};

struct File {
  Handle handle;
  struct stat status {};
};

struct Name {
  Handle folder;
  std::string name;
};

struct FolderEntry {
  std::string name;
  std::uint64_t number = 0;  // of the inode
};

// What is to become of a file's attributes. Times are as for utimensat(2): UTIME_NOW is the
// server's.
struct Change {
  std::optional<mode_t> mode;
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
  std::optional<std::uint64_t> size;
  std::optional<timespec> access_time, modification_time;
};

struct Creation {
  mode_t mode = 0;
  bool exclusive = false;  // O_EXCL
  bool truncate = false;   // O_TRUNC
};

struct Data {
  std::string_view bytes;  // may be fewer than were asked for
  bool at_end = false;     // of the file
};

class Export {
 public:
  virtual ~Export() = default;

  // First of all. Throws, here or from within service(): not_found for no such export,
  // access_denied, unsupported, timed_out when the server does not answer, and io.
  virtual void open(std::function<void(const Root&)> then) = 0;
  // Lets the server forget this client; waits for it, not for long.
  virtual void close() {}

  virtual void attributes(const Handle& file, Answer<struct stat> answer) = 0;
  virtual void change(const Handle& file, const Change& change, Answer<> answer) = 0;
  virtual void look_up(const Name& name, Answer<File> answer) = 0;
  virtual void make_folder(const Name& name, mode_t mode, Answer<File> answer) = 0;
  virtual void create(const Name& name, const Creation& creation, Answer<File> answer) = 0;
  virtual void remove(const Name& name, bool is_folder, Answer<> answer) = 0;
  // Replaces what has the new name.
  virtual void rename(const Name& name, const Name& new_name, Answer<> answer) = 0;
  virtual void link(const Handle& file, const Name& name, Answer<> answer) = 0;
  virtual void read(const Handle& file, std::uint64_t offset, std::size_t size,
                    Answer<Data> answer) = 0;
  // Answers how many bytes have reached the server's stable storage: one at least. The bytes are
  // the caller's until then.
  virtual void write(const Handle& file, std::uint64_t offset, std::string_view bytes,
                     Answer<std::size_t> answer) = 0;
  virtual void list(const Handle& folder, Answer<std::vector<FolderEntry>> answer) = 0;
  virtual void space(const Handle& root, Answer<struct statvfs> answer) = 0;

  // One thread: whoever owns it waits for fd() and for patience, and calls these.
  virtual int fd() const = 0;        // -1: nothing to wait for
  virtual short events() const = 0;  // as of poll(2)
  virtual void service(int events) = 0;
  virtual void time_passed() = 0;
  // Until something may have to be done without an event.
  static constexpr std::chrono::milliseconds patience{500};
};

// Told whenever the server is there, with "", and when it is not, with the reason.
using Told = std::function<void(const std::string& failure)>;

struct Source {
  Version version = Version::v3;
  std::vector<std::string> hosts;  // names or addresses of one server; NFS 3 takes the first
  std::string path;
};

std::unique_ptr<Export> make_export(const Source& source, Told told);

}  // namespace virga::nfs
