#include "datastore/draft.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "datastore/locking.h"

namespace virga::datastore {
namespace {

using Action = RecoveryStep::Action;

constexpr std::size_t max_record = 1 << 20;

std::string drafts_folder() {
  return join(private_folder, "drafts");
}
std::string record_path(const std::string& id) {
  return join(drafts_folder(), id);
}
std::string part_path(const std::string& id, std::string_view part) {
  return fmt::format("{}-{}", record_path(id), part);
}

// --- The record's text -------------------------------------------------------------------------

std::string_view word_of(Action action) {
  switch (action) {
    case Action::remove:
      return "remove";
    case Action::rename:
      return "rename";
    case Action::truncate:
      return "truncate";
  }
  return {};
}

json::array to_json(const std::vector<RecoveryStep>& steps) {
  json::array array;
  for (const RecoveryStep& step : steps)
    array.push_back(json::object{{"action", word_of(step.action)},
                                 {"path", step.path},
                                 {"inode", static_cast<std::uint64_t>(step.inode)},
                                 {"to", step.to},
                                 {"size", step.size}});
  return array;
}

std::vector<RecoveryStep> steps_from(const json::value& array) {
  std::vector<RecoveryStep> steps;
  for (const json::value& value : array.as_array()) {
    RecoveryStep step;
    const std::string_view word = value.at("action").as_string();
    for (const Action action : {Action::remove, Action::rename, Action::truncate})
      if (word == word_of(action)) step.action = action;
    step.path = value.at("path").as_string();
    step.inode = value.at("inode").to_number<ino_t>();
    step.to = value.at("to").as_string();
    step.size = value.at("size").to_number<std::uint64_t>();
    steps.push_back(std::move(step));
  }
  return steps;
}

// A record that is empty or torn was never complete, and so nothing it tells of had begun.
Recovery read_record(int fd, const std::string& subject) {
  std::string text(max_record, '\0');
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size < 0) throw system_error(subject, "cannot read the record of");
  text.resize(static_cast<std::size_t>(size));
  try {
    const json::value value = json::parse(text);
    return {steps_from(value.at("with_pivot")), steps_from(value.at("without_pivot"))};
  } catch (const std::exception&) {
    return {};
  }
}

// --- Recovery ----------------------------------------------------------------------------------

void truncate_file(const Datastore& datastore, const RecoveryStep& step) {
  const Fd fd = datastore.open_any(step.path, O_WRONLY);
  if (::ftruncate(fd.get(), static_cast<off_t>(step.size)) != 0)
    throw system_error(datastore.display(step.path), "cannot shorten");
}

bool concerns(const RecoveryStep& step, const Datastore& datastore) {
  struct stat status;
  try {
    return status_of(entry_of(datastore, step.path, true), status) &&
           (step.inode == 0 || step.inode == status.st_ino);
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return false;
    throw;
  }
}

void carry_out(const Datastore& datastore, const RecoveryStep& step) {
  if (!concerns(step, datastore)) return;
  const Entry entry = entry_of(datastore, step.path, true);
  switch (step.action) {
    case Action::remove:
      if (::unlinkat(entry.folder.get(), entry.name.c_str(), 0) != 0 && errno != ENOENT)
        throw system_error(entry.subject, "cannot remove");
      break;
    case Action::rename:
      rename_entry(entry, entry_of(datastore, step.to, true), IfExists::fail);
      break;
    case Action::truncate:
      truncate_file(datastore, step);
  }
}

void remove_parts(const Datastore& datastore, const std::string& id) {
  const Fd folder = datastore.open_any(drafts_folder(), O_PATH | O_DIRECTORY);
  for (const FolderItem& item : read_folder(folder, datastore.display(drafts_folder())))
    if (item.name.starts_with(id + "-")) remove_tree(datastore, join(drafts_folder(), item.name));
}

void recover(const Datastore& datastore, const std::string& id, int record) {
  struct stat status;
  const Recovery recovery = read_record(record, datastore.display(record_path(id)));
  const bool has_pivot = status_of(entry_of(datastore, part_path(id, "pivot"), true), status);
  for (const RecoveryStep& step : has_pivot ? recovery.with_pivot : recovery.without_pivot)
    carry_out(datastore, step);
  // From here on the pivot goes, and its absence must not be read as success.
  if (::ftruncate(record, 0) != 0 || ::fsync(record) != 0)
    throw system_error(datastore.display(record_path(id)), "cannot clear");
  remove_parts(datastore, id);
  // Last, so that no part is ever found without its record while its process lives.
  const Entry entry = entry_of(datastore, record_path(id), true);
  ::unlinkat(entry.folder.get(), entry.name.c_str(), 0);
}

// The record, locked, and still under its name; none when its process lives or it is gone.
Fd seize_record(const Datastore& datastore, const std::string& id) {
  try {
    Fd fd = datastore.open_any(record_path(id), O_RDWR);
    struct stat status;
    if (!try_lock(fd.get(), whole_file, LockMode::exclusive)) return {};
    if (::fstat(fd.get(), &status) != 0 || status.st_nlink == 0) return {};
    return fd;
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return {};
    throw;
  }
}

// What the ids of this host's drafts begin with, where a sweep has to know them.
std::string id_prefix(const Datastore& datastore) {
  return datastore.leases() ? datastore.host_uuid().substr(0, 8) : "";
}

bool has_record(const Datastore& datastore, const std::string& id) {
  struct stat status;
  return status_of(entry_of(datastore, record_path(id), true), status);
}

}  // namespace

Draft::Draft(std::shared_ptr<const Datastore> datastore) : datastore_(std::move(datastore)) {
  // A sweep may take the new record for an abandoned one before it is locked: then another is made.
  for (;;) {
    id_ = id_prefix(*datastore_) + random_hex(8);
    record_ = datastore_->open_any(record_path(id_), O_RDWR | O_CREAT | O_EXCL);
    struct stat status;
    if (try_lock(record_.get(), whole_file, LockMode::exclusive) &&
        ::fstat(record_.get(), &status) == 0 && status.st_nlink > 0)
      return;
  }
}

Draft::~Draft() {
  if (finished_) return;
  try {
    recover(*datastore_, id_, record_.get());
  } catch (const std::exception& failure) {
    logger("datastore")
        ->warn("left to the next sweep of {}: {}", datastore_->name(), failure.what());
  }
}

std::string Draft::path(std::string_view part) const {
  return part_path(id_, part);
}

Entry Draft::entry(std::string_view part) const {
  return entry_of(*datastore_, path(part), true);
}

Fd Draft::create_file(std::string_view part) const {
  return datastore_->open_any(path(part), O_RDWR | O_CREAT | O_EXCL);
}

void Draft::create_pivot(std::string_view text) const {
  const Fd fd = create_file("pivot");
  write_all(fd.get(), text, datastore_->display(pivot()));
  if (::fsync(fd.get()) != 0) throw system_error(datastore_->display(pivot()), "cannot sync");
}

void Draft::record(const Recovery& recovery) const {
  const std::string subject = datastore_->display(record_path(id_));
  const json::object object{{"with_pivot", to_json(recovery.with_pivot)},
                            {"without_pivot", to_json(recovery.without_pivot)}};
  write_all(record_.get(), json::serialize(object), subject);
  if (::fsync(record_.get()) != 0) throw system_error(subject, "cannot sync");
  const Fd folder = datastore_->open_any(drafts_folder(), O_RDONLY | O_DIRECTORY);
  if (::fsync(folder.get()) != 0) throw system_error(subject, "cannot sync");
}

void Draft::finish() {
  recover(*datastore_, id_, record_.get());
  finished_ = true;
}

std::size_t sweep(const Datastore& datastore) {
  if (datastore.read_only()) return 0;
  std::set<std::string> found;
  const Fd folder = datastore.open_any(drafts_folder(), O_PATH | O_DIRECTORY);
  for (const FolderItem& item : read_folder(folder, datastore.display(drafts_folder())))
    found.insert(item.name.substr(0, item.name.find('-')));
  std::size_t swept = 0;
  for (const std::string& id : found) {
    if (!id.starts_with(id_prefix(datastore))) continue;
    if (const Fd record = seize_record(datastore, id)) {
      recover(datastore, id, record.get());
      ++swept;
    } else if (!has_record(datastore, id)) {
      remove_parts(datastore, id);
    }
  }
  return swept;
}

}  // namespace virga::datastore
