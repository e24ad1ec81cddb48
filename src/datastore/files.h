// Files and folders of datastores as such. A disk's extents are files here like any other: what
// knows them as parts of a disk is virtual_disk.h.
//
// An operation that fails or is cancelled leaves its target as it was. One that the process does
// not live to finish leaves only drafts, which sweep() removes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "datastore/datastore.h"

namespace virga::datastore {

// Parents are made too when asked for. Throws already_exists when anything has that name.
void make_folder(const Location& folder, bool with_parents);

// A file, or a folder with all it contains; holes stay holes. The target's folder must exist.
// Throws already_exists unless told to replace; a folder is never replaced.
void copy(const Location& from, const Location& to, IfExists if_exists = IfExists::fail,
          const Progress& progress = {}, std::stop_token stop = {});

// Within a datastore one rename, whatever the size; between datastores a copy, then a removal.
void move(const Location& from, const Location& to, IfExists if_exists = IfExists::fail,
          const Progress& progress = {}, std::stop_token stop = {});

// A file, or a folder with all it contains: gone at once under its name, then freed. Throws
// not_found when there is nothing, and access_denied for a datastore's root.
void remove(const Location& location);
// The same, where that there is nothing is as well.
void remove_if_present(const Location& location);

// A file being received. Nobody sees it before commit(); without commit() it never was.
class Upload {
 public:
  explicit Upload(const Location& to, IfExists if_exists = IfExists::replace);
  Upload(Upload&&) noexcept;
  Upload& operator=(Upload&&) = delete;
  ~Upload();

  void write(std::string_view data);
  std::uint64_t written() const;
  // Puts the file under its name, on stable storage. Throws already_exists if so asked.
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The whole of a small file: a .vmx, a .vmsd. Refuses one larger than `limit` bytes with damaged.
std::string read_small_file(const Location& file, std::uint64_t limit = 16 << 20);
// The same of a file that somebody may be writing: what was read twice alike is no mixture of two
// moments.
std::string read_at_rest(const Location& file);
// Replaces it, or makes it, in one step: a reader, or a restart after a crash, sees all or nothing.
void write_small_file(const Location& file, std::string_view text);

// A file being sent, by ranges; what it is when opened it stays, whatever happens to its name.
class Download {
 public:
  explicit Download(const Location& from);

  std::uint64_t size() const { return size_; }
  std::chrono::system_clock::time_point modified() const { return modified_; }
  // Up to buffer.size() bytes from `offset`; 0 only at the end.
  std::size_t read(std::uint64_t offset, std::span<char> buffer) const;
  int fd() const { return fd_.get(); }

 private:
  std::string subject_;
  Fd fd_;
  std::uint64_t size_ = 0;
  std::chrono::system_clock::time_point modified_;
};

}  // namespace virga::datastore
