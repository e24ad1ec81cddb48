#include "datastore/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/error.h"

namespace virga::datastore {
namespace {

// Some file systems (NFS) cannot refuse to replace; for them the check comes first.
void rename_without_replacing(const Entry& from, const Entry& to) {
  const auto rename = [&](unsigned flags) {
    return ::renameat2(from.folder.get(), from.name.c_str(), to.folder.get(), to.name.c_str(),
                       flags) == 0;
  };
  if (rename(RENAME_NOREPLACE)) return;
  if (errno == EINVAL) {
    struct stat status;
    if (status_of(to, status)) {
      errno = EEXIST;
    } else if (rename(0)) {
      return;
    }
  }
  throw system_error(to.subject, "cannot create");
}

}  // namespace

Fd open_beneath(int root, std::string_view path, int flags, unsigned mode,
                const std::string& subject) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  if (flags & O_CREAT) how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const std::string text(path.empty() ? "." : path);
  for (;;) {
    const long fd = ::syscall(SYS_openat2, root, text.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    // EAGAIN: a rename went on meanwhile, and the kernel could not be sure.
    if (errno == EINTR || errno == EAGAIN) continue;
    if (errno == EXDEV || errno == ELOOP)
      throw error(ErrorKind::access_denied, subject, "{} leads out of its datastore", subject);
    throw system_error(subject, "cannot open");
  }
}

Entry entry_of(const Datastore& datastore, std::string_view path, bool any) {
  const std::string normal = vmx::normalise_relative_path(path);
  const std::string subject = datastore.display(normal);
  if (normal.empty())
    throw error(ErrorKind::access_denied, subject, "{} is the datastore itself", subject);
  const std::size_t slash = normal.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : normal.substr(0, slash);
  std::string name = normal.substr(slash + 1);
  if (!any && folder.empty() && name == private_folder)
    throw error(ErrorKind::access_denied, subject, "{} is not for use", subject);
  constexpr int flags = O_PATH | O_DIRECTORY;
  Fd fd = any ? datastore.open_any(folder, flags) : datastore.open(folder, flags);
  return {std::move(fd), std::move(name), subject};
}

bool status_of(const Entry& entry, struct stat& status) {
  if (::fstatat(entry.folder.get(), entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
    return true;
  if (errno == ENOENT) return false;
  throw system_error(entry.subject, "cannot look at");
}

void rename_entry(const Entry& from, const Entry& to, IfExists if_exists) {
  if (if_exists == IfExists::fail) return rename_without_replacing(from, to);
  if (::renameat(from.folder.get(), from.name.c_str(), to.folder.get(), to.name.c_str()) != 0)
    throw system_error(to.subject, "cannot replace");
}

std::vector<FolderItem> read_folder(const Fd& folder, const std::string& subject) {
  // A descriptor of its own: reading moves the position, and O_PATH cannot be read at all.
  const int fd = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw system_error(subject, "cannot list");
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (!stream) {
    ::close(fd);
    throw system_error(subject, "cannot list");
  }
  std::vector<FolderItem> items;
  errno = 0;
  while (const dirent* found = ::readdir(stream.get())) {
    FolderItem item{found->d_name, {}};
    if (item.name != "." && item.name != ".." &&
        ::fstatat(fd, found->d_name, &item.status, AT_SYMLINK_NOFOLLOW) == 0)
      items.push_back(std::move(item));
    errno = 0;
  }
  if (errno != 0) throw system_error(subject, "cannot list");
  std::sort(items.begin(), items.end(),
            [](const FolderItem& a, const FolderItem& b) { return a.name < b.name; });
  return items;
}

std::vector<TreeItem> read_tree(const Datastore& datastore, const std::string& path,
                                const std::stop_token& stop) {
  std::vector<TreeItem> items;
  struct stat status;
  const std::string subject = datastore.display(path);
  const Fd top = datastore.open_any(path, O_PATH | O_NOFOLLOW);
  if (::fstat(top.get(), &status) != 0) throw system_error(subject, "cannot look at");
  items.push_back({"", status});
  // Breadth first: every item's children are read once, when its turn comes.
  for (std::size_t at = 0; at < items.size(); ++at) {
    if (!S_ISDIR(items[at].status.st_mode)) continue;
    check_stop(stop, subject);
    const std::string folder = items[at].path;
    const std::string whole = join(path, folder);
    const Fd fd = datastore.open_any(whole, O_PATH | O_DIRECTORY);
    for (FolderItem& child : read_folder(fd, datastore.display(whole)))
      items.push_back({join(folder, child.name), child.status});
  }
  return items;
}

void remove_tree(const Datastore& datastore, const std::string& path) {
  const std::vector<TreeItem> items = read_tree(datastore, path);
  for (auto item = items.rbegin(); item != items.rend(); ++item) {
    const Entry entry = entry_of(datastore, join(path, item->path), true);
    const int flags = S_ISDIR(item->status.st_mode) ? AT_REMOVEDIR : 0;
    if (::unlinkat(entry.folder.get(), entry.name.c_str(), flags) != 0 && errno != ENOENT)
      throw system_error(entry.subject, "cannot remove");
  }
}

std::string join(std::string_view folder, std::string_view name) {
  if (folder.empty() || name.empty()) return std::string(folder) + std::string(name);
  return fmt::format("{}/{}", folder, name);
}

}  // namespace virga::datastore
