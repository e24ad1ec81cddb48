#include "datastore/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "datastore/beneath.h"
#include "datastore/draft.h"
#include "datastore/transfer.h"

namespace virga::datastore {
namespace {

constexpr std::string_view data = "data";  // the one part of these drafts
constexpr unsigned folder_mode = 0700;

// Throws not_found, and access_denied for a datastore's root.
struct stat existing(const Location& location) {
  const Entry entry = entry_of(*location.datastore, location.path);
  struct stat status;
  if (!status_of(entry, status))
    throw error(ErrorKind::not_found, entry.subject, "{} does not exist", entry.subject);
  return status;
}

// A name that may be put on `to` later, found out before the work begins.
void check_target(const Location& to, IfExists if_exists) {
  struct stat status;
  const Entry entry = entry_of(*to.datastore, to.path);
  if (!status_of(entry, status)) return;
  if (if_exists == IfExists::fail)
    throw error(ErrorKind::already_exists, entry.subject, "{} exists already", entry.subject);
  if (S_ISDIR(status.st_mode))
    throw error(ErrorKind::already_exists, entry.subject, "{} is a folder: it is not replaced",
                entry.subject);
}

void sync_folder(const Entry& entry) {
  const Fd fd = open_beneath(entry.folder.get(), "", O_RDONLY | O_DIRECTORY, 0, entry.subject);
  if (::fsync(fd.get()) != 0) throw system_error(entry.subject, "cannot sync the folder of");
}

void put_in_place(const Draft& draft, const Location& to, IfExists if_exists) {
  const Entry target = entry_of(*to.datastore, to.path);
  rename_entry(draft.entry(data), target, if_exists);
  sync_folder(target);
}

void copy_one_file(const Location& from, const Datastore& to_datastore, const std::string& to,
                   const struct stat& status, Meter& meter) {
  const Fd source = from.datastore->open(from.path, O_RDONLY);
  const Fd target = to_datastore.open_any(to, O_RDWR | O_CREAT | O_EXCL);
  copy_file(source.get(), static_cast<std::uint64_t>(status.st_size), target.get(), meter);
  const struct timespec times[] = {{0, UTIME_OMIT}, status.st_mtim};
  if (::futimens(target.get(), times) != 0 || ::fsync(target.get()) != 0)
    throw system_error(meter.subject(), "cannot sync");
}

std::uint64_t total_size(const std::vector<TreeItem>& items, const Location& from) {
  std::uint64_t total = 0;
  for (const TreeItem& item : items) {
    if (S_ISREG(item.status.st_mode)) {
      total += static_cast<std::uint64_t>(item.status.st_size);
    } else if (!S_ISDIR(item.status.st_mode)) {
      const std::string subject = from.datastore->display(join(from.path, item.path));
      throw error(ErrorKind::unsupported, subject, "{} is neither a file nor a folder", subject);
    }
  }
  return total;
}

// Fills the draft's data with what is at `from`.
void copy_tree(const Location& from, const Location& to, const Draft& draft,
               const Progress& progress, const std::stop_token& stop) {
  const std::vector<TreeItem> items = read_tree(*from.datastore, from.path, stop);
  Meter meter(progress, stop, to.display(), total_size(items, from));
  for (const TreeItem& item : items) {
    const std::string target = join(draft.path(data), item.path);
    const Location source{from.datastore, join(from.path, item.path)};
    if (S_ISREG(item.status.st_mode)) {
      copy_one_file(source, *to.datastore, target, item.status, meter);
      continue;
    }
    const Entry entry = entry_of(*to.datastore, target, true);
    if (::mkdirat(entry.folder.get(), entry.name.c_str(), folder_mode) != 0)
      throw system_error(source.display(), "cannot make the copy of");
  }
}

// A folder cannot be copied or moved into itself.
void check_not_within(const Location& from, const Location& to) {
  if (from.datastore->uuid() != to.datastore->uuid()) return;
  const vmx::DatastorePath inner(from.datastore->name(), to.path);
  if (inner.is_within(vmx::DatastorePath(from.datastore->name(), from.path)))
    throw error(ErrorKind::invalid_argument, to.display(), "{} lies within {}", to.display(),
                from.display());
}

void check_paths(const Location& from, const Location& to, IfExists if_exists) {
  const bool is_folder = S_ISDIR(existing(from).st_mode);
  check_not_within(from, to);
  check_target(to, is_folder ? IfExists::fail : if_exists);
}

bool is_same_file_system(const Location& from, const Location& to) {
  return from.datastore->status("").st_dev == to.datastore->status("").st_dev;
}

}  // namespace

void make_folder(const Location& folder, bool with_parents) {
  const vmx::DatastorePath path(folder.datastore->name(), folder.path);
  if (path.is_root())
    throw error(ErrorKind::already_exists, folder.display(), "{} exists already", folder.display());
  if (with_parents && !path.parent().is_root()) {
    const Location parent{folder.datastore, path.parent().path()};
    try {
      make_folder(parent, true);
    } catch (const Error& failure) {
      if (failure.kind() != ErrorKind::already_exists) throw;
    }
  }
  const Entry entry = entry_of(*folder.datastore, path.path());
  if (::mkdirat(entry.folder.get(), entry.name.c_str(), folder_mode) != 0)
    throw system_error(entry.subject, "cannot make");
  sync_folder(entry);
}

void copy(const Location& from, const Location& to, IfExists if_exists, const Progress& progress,
          std::stop_token stop) {
  check_paths(from, to, if_exists);
  Draft draft(to.datastore);
  copy_tree(from, to, draft, progress, stop);
  put_in_place(draft, to, if_exists);
  draft.finish();
}

void move(const Location& from, const Location& to, IfExists if_exists, const Progress& progress,
          std::stop_token stop) {
  check_paths(from, to, if_exists);
  if (is_same_file_system(from, to)) {
    const Entry source = entry_of(*from.datastore, from.path);
    const Entry target = entry_of(*to.datastore, to.path);
    rename_entry(source, target, if_exists);
    sync_folder(target);
    return sync_folder(source);
  }
  copy(from, to, if_exists, progress, stop);
  remove(from);
}

void remove(const Location& location) {
  existing(location);
  const Entry entry = entry_of(*location.datastore, location.path);
  Draft draft(location.datastore);
  rename_entry(entry, draft.entry(data), IfExists::fail);
  sync_folder(entry);
  draft.finish();
}

void remove_if_present(const Location& location) {
  try {
    remove(location);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::not_found) throw;
  }
}

// --- Upload ------------------------------------------------------------------------------------

struct Upload::State {
  State(const Location& target, IfExists taken)
      : to(target), if_exists(taken), draft(target.datastore), file(draft.create_file(data)) {}

  Location to;
  IfExists if_exists;
  Draft draft;
  Fd file;
  std::uint64_t written = 0;
};

Upload::Upload(const Location& to, IfExists if_exists) {
  check_target(to, if_exists);
  state_ = std::make_unique<State>(to, if_exists);
}

Upload::Upload(Upload&&) noexcept = default;
Upload::~Upload() = default;

void Upload::write(std::string_view bytes) {
  write_all(state_->file.get(), bytes, state_->to.display());
  state_->written += bytes.size();
}

std::uint64_t Upload::written() const {
  return state_->written;
}

void Upload::commit() {
  if (::fsync(state_->file.get()) != 0) throw system_error(state_->to.display(), "cannot sync");
  put_in_place(state_->draft, state_->to, state_->if_exists);
  state_->draft.finish();
}

std::string read_small_file(const Location& file, std::uint64_t limit) {
  const Download download(file);
  if (download.size() > limit)
    throw error(ErrorKind::damaged, file.display(), "{} is larger than {} bytes", file.display(),
                limit);
  return read_text(download.fd(), 0, download.size(), file.display());
}

std::string read_at_rest(const Location& file) {
  std::string before, now = read_small_file(file);
  while (before != now) {
    before = std::move(now);
    now = read_small_file(file);
  }
  return now;
}

void write_small_file(const Location& file, std::string_view text) {
  Upload upload(file);
  upload.write(text);
  upload.commit();
}

// --- Download ----------------------------------------------------------------------------------

Download::Download(const Location& from)
    : subject_(from.display()), fd_(from.datastore->open(from.path, O_RDONLY | O_NONBLOCK)) {
  struct stat status;
  if (::fstat(fd_.get(), &status) != 0) throw system_error(subject_, "cannot look at");
  if (!S_ISREG(status.st_mode))
    throw error(ErrorKind::invalid_argument, subject_, "{} is not a file", subject_);
  size_ = static_cast<std::uint64_t>(status.st_size);
  modified_ = std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::seconds(status.st_mtim.tv_sec) +
          std::chrono::nanoseconds(status.st_mtim.tv_nsec)));
}

std::size_t Download::read(std::uint64_t offset, std::span<char> buffer) const {
  for (;;) {
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) throw system_error(subject_, "cannot read");
  }
}

}  // namespace virga::datastore
