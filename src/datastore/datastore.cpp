#include "datastore/datastore.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/uuid.h"
#include "datastore/beneath.h"
#include "datastore/mount.h"

namespace virga::datastore {
namespace {

constexpr unsigned private_mode = 0700;

bool is_private(std::string_view path) {
  return path == private_folder ||
         (path.starts_with(private_folder) && path[private_folder.size()] == '/');
}

// 8-8-4-12, the way VMware writes the identifier of a file system.
std::string make_identifier() {
  std::string text = random_hex(16);
  for (const std::size_t at : {20, 16, 8}) text.insert(at, "-");
  return text;
}

bool is_there(int root, const std::string& path) {
  struct stat status;
  return ::fstatat(root, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

// What hosts agree on in the private folder: a small file each.
std::string read_private_file(int root, const std::string& name, const std::string& subject) {
  const Fd fd = open_beneath(root, join(private_folder, name), O_RDONLY, 0, subject);
  char buffer[512];
  const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
  if (size < 0) throw system_error(subject, "cannot read what hosts agreed on in");
  return std::string(buffer, static_cast<std::size_t>(size));
}

std::string read_identifier(int root, const std::string& subject) {
  const std::string text = read_private_file(root, "uuid", subject);
  const std::string identifier = text.substr(0, text.find('\n'));
  if (identifier.size() != 35 ||
      identifier.find_first_not_of("0123456789abcdef-") != std::string::npos)
    throw error(ErrorKind::damaged, subject, "the identifier of {} is damaged", subject);
  return identifier;
}

// Several hosts may do this at once: the first one's text stands.
void publish_private_file(int root, const std::string& name, const std::string& text,
                          const std::string& subject) {
  const Fd folder = open_beneath(root, private_folder, O_PATH | O_DIRECTORY, 0, subject);
  const std::string draft = fmt::format("{}.{}", name, random_hex(8));
  const Fd fd = open_beneath(folder.get(), draft, O_WRONLY | O_CREAT | O_EXCL, 0600, subject);
  try {
    write_all(fd.get(), text, subject);
    if (::fsync(fd.get()) != 0) throw system_error(subject, "cannot sync");
    const auto entry = [&](const std::string& leaf) {
      return Entry{Fd(::fcntl(folder.get(), F_DUPFD_CLOEXEC, 0)), leaf, subject};
    };
    rename_entry(entry(draft), entry(name), IfExists::fail);
  } catch (const Error& failure) {
    ::unlinkat(folder.get(), draft.c_str(), 0);
    if (failure.kind() != ErrorKind::already_exists) throw;
  }
}

std::string computed_identifier(int root, const std::string& subject) {
  struct statvfs system;
  struct stat folder;
  if (::fstatvfs(root, &system) != 0 || ::fstat(root, &folder) != 0)
    throw system_error(subject, "cannot identify");
  return fmt::format("{:08x}-{:08x}-{:04x}-{:012x}", system.f_fsid >> 32,
                     system.f_fsid & 0xffffffff, folder.st_ino >> 48,
                     folder.st_ino & 0xffffffffffff);
}

// Makes the private folder where it is missing; false where the file system does not let us.
bool make_private_folders(int root, const std::string& subject) {
  for (const std::string& path : {std::string(private_folder), join(private_folder, "drafts")}) {
    if (::mkdirat(root, path.c_str(), private_mode) == 0 || errno == EEXIST) continue;
    if (errno == EROFS || errno == EACCES || errno == EPERM) return false;
    throw system_error(subject, "cannot prepare");
  }
  return true;
}

// Once a host has found that leases are needed, all hosts keep to them.
std::optional<LeaseTiming> find_leases(int root, bool read_only, const std::string& subject) {
  if (!is_there(root, join(private_folder, "leases"))) {
    struct stat status;
    if (read_only || ::fstatat(root, "", &status, AT_EMPTY_PATH) != 0 ||
        !locks_stay_local(read_file("/proc/self/mountinfo"), status.st_dev))
      return std::nullopt;
    publish_private_file(root, "leases", serialise(LeaseTiming{}), subject);
  }
  return parse_lease_timing(read_private_file(root, "leases", subject), subject);
}

}  // namespace

Datastore::Datastore(std::string name, const fs::path& root, std::string host_uuid)
    : name_(std::move(name)), root_(root), host_uuid_(std::move(host_uuid)) {
  vmx::check_datastore_name(name_);
  root_fd_ = virga::open_file(root, O_PATH | O_DIRECTORY);
  read_only_ = !make_private_folders(root_fd_.get(), root.string()) ||
               ::faccessat(root_fd_.get(), ".", W_OK, 0) != 0;
  const auto has_identifier = [&] {
    return is_there(root_fd_.get(), join(private_folder, "uuid"));
  };
  if (!has_identifier() && !read_only_)
    publish_private_file(root_fd_.get(), "uuid", make_identifier() + "\n", root.string());
  uuid_ = has_identifier() ? read_identifier(root_fd_.get(), root.string())
                           : computed_identifier(root_fd_.get(), root.string());
  leases_ = find_leases(root_fd_.get(), read_only_, root.string());
}

std::shared_ptr<const Datastore> Datastore::absent(std::string name, const fs::path& root,
                                                   std::string uuid, std::string host_uuid) {
  const std::shared_ptr<Datastore> absent(new Datastore);
  absent->name_ = std::move(name);
  absent->root_ = root;
  absent->uuid_ = std::move(uuid);
  absent->host_uuid_ = std::move(host_uuid);
  return absent;
}

int Datastore::root_fd() const {
  if (is_absent()) throw error(ErrorKind::gone, name_, "{} is not accessible", name_);
  return root_fd_.get();
}

Space Datastore::space() const {
  struct statvfs system;
  if (::fstatvfs(root_fd(), &system) != 0) throw system_error(name_, "cannot measure");
  return {system.f_blocks * system.f_frsize, system.f_bavail * system.f_frsize};
}

std::string Datastore::display(std::string_view path) const {
  return path.empty() ? fmt::format("[{}]", name_) : fmt::format("[{}] {}", name_, path);
}

Fd Datastore::open(std::string_view path, int flags, unsigned mode) const {
  const std::string normal = vmx::normalise_relative_path(path);
  if (is_private(normal))
    throw error(ErrorKind::access_denied, display(normal), "{} is not for use", display(normal));
  return open_any(normal, flags, mode);
}

Fd Datastore::open_any(std::string_view path, int flags, unsigned mode) const {
  return open_beneath(root_fd(), path, flags, mode, display(path));
}

Fd Datastore::open_folder(std::string_view path) const {
  return open(path, O_RDONLY | O_DIRECTORY);
}

bool Datastore::exists(std::string_view path) const {
  try {
    status(path);
    return true;
  } catch (const Error& failure) {
    if (failure.kind() == ErrorKind::not_found) return false;
    throw;
  }
}

struct stat Datastore::status(std::string_view path) const {
  struct stat status;
  const std::string normal = vmx::normalise_relative_path(path);
  if (normal.empty()) {
    if (::fstat(root_fd(), &status) != 0) throw system_error(display(""), "cannot look at");
    return status;
  }
  const Entry entry = entry_of(*this, normal);
  if (!status_of(entry, status))
    throw error(ErrorKind::not_found, entry.subject, "{} does not exist", entry.subject);
  return status;
}

Location Location::sibling(std::string_view name) const {
  return {datastore, join(parent().path, name)};
}

Location Location::parent() const {
  const std::size_t slash = path.rfind('/');
  return {datastore, slash == std::string::npos ? "" : path.substr(0, slash)};
}

void check_stop(const std::stop_token& stop, const std::string& subject) {
  if (stop.stop_requested())
    throw error(ErrorKind::cancelled, subject, "the work on {} was cancelled", subject);
}

}  // namespace virga::datastore
