#define FUSE_USE_VERSION 312
#include "nfs/file_system.h"

#include <fuse3/fuse_lowlevel.h>

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace virga::nfs {
namespace {

constexpr std::size_t kLargestTransfer = 1 << 20;  // of a request of the kernel's

FileSystem& file_system_of(fuse_req_t request) {
  return *static_cast<FileSystem*>(fuse_req_userdata(request));
}

Export& export_of(fuse_req_t request) {
  return file_system_of(request).exported();
}

Handle handle_of(fuse_req_t request, fuse_ino_t node) {
  return file_system_of(request).nodes().handle(node);
}

Name name_of(fuse_req_t request, fuse_ino_t folder, const char* name) {
  return {handle_of(request, folder), name};
}

std::function<void(int error)> refuse(fuse_req_t request) {
  return [request](int error) { fuse_reply_err(request, error); };
}

Answer<> confirm(fuse_req_t request) {
  return {[request] { fuse_reply_err(request, 0); }, refuse(request)};
}

// --- Attributes --------------------------------------------------------------------------------

fuse_entry_param known_entry(fuse_req_t request, const File& file) {
  fuse_entry_param known{};
  known.ino = file_system_of(request).nodes().remember(file.handle);
  known.attr = file.status;
  return known;
}

Answer<File> reply_entry(fuse_req_t request) {
  const auto reply = [request](const File& file) {
    const fuse_entry_param known = known_entry(request, file);
    fuse_reply_entry(request, &known);
  };
  return {reply, refuse(request)};
}

Answer<struct stat> reply_attributes(fuse_req_t request) {
  const auto reply = [request](const struct stat& status) { fuse_reply_attr(request, &status, 0); };
  return {reply, refuse(request)};
}

void getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  export_of(request).attributes(handle_of(request, node), reply_attributes(request));
}

std::optional<timespec> new_time(const timespec& time, bool wanted, bool now) {
  if (now) return timespec{0, UTIME_NOW};
  return wanted ? std::optional(time) : std::nullopt;
}

Change change_of(const struct stat& status, int to_set) {
  const auto wants = [to_set](int what) { return (to_set & what) != 0; };
  Change change;
  if (wants(FUSE_SET_ATTR_MODE)) change.mode = status.st_mode;
  if (wants(FUSE_SET_ATTR_UID)) change.owner = status.st_uid;
  if (wants(FUSE_SET_ATTR_GID)) change.group = status.st_gid;
  if (wants(FUSE_SET_ATTR_SIZE)) change.size = static_cast<std::uint64_t>(status.st_size);
  change.access_time =
      new_time(status.st_atim, wants(FUSE_SET_ATTR_ATIME), wants(FUSE_SET_ATTR_ATIME_NOW));
  change.modification_time =
      new_time(status.st_mtim, wants(FUSE_SET_ATTR_MTIME), wants(FUSE_SET_ATTR_MTIME_NOW));
  return change;
}

void setattr(fuse_req_t request, fuse_ino_t node, struct stat* status, int to_set,
             fuse_file_info*) {
  const Handle file = handle_of(request, node);
  const auto show = [=] { export_of(request).attributes(file, reply_attributes(request)); };
  export_of(request).change(file, change_of(*status, to_set), {show, refuse(request)});
}

// --- Names -------------------------------------------------------------------------------------

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  export_of(request).look_up(name_of(request, parent, name), reply_entry(request));
}

void forget(fuse_req_t request, fuse_ino_t node, std::uint64_t times) {
  file_system_of(request).nodes().forget(node, times);
  fuse_reply_none(request);
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  export_of(request).make_folder(name_of(request, parent, name), mode, reply_entry(request));
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  export_of(request).remove(name_of(request, parent, name), false, confirm(request));
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  export_of(request).remove(name_of(request, parent, name), true, confirm(request));
}

void link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  const Handle file = handle_of(request, node);
  const auto reply = [=](const struct stat& status) { reply_entry(request).then({file, status}); };
  const auto linked = [=] { export_of(request).attributes(file, {reply, refuse(request)}); };
  export_of(request).link(file, name_of(request, parent, name), {linked, refuse(request)});
}

// --- Renaming ----------------------------------------------------------------------------------

// The new link fails where there is something; until the old one is removed the file has both.
void rename_file(fuse_req_t request, const Handle& file, const Name& name, const Name& new_name) {
  const auto remove_old = [=] { export_of(request).remove(name, false, confirm(request)); };
  export_of(request).link(file, new_name, {remove_old, refuse(request)});
}

void rename_folder(fuse_req_t request, const Name& name, const Name& new_name) {
  const auto exists = [request](const File&) { fuse_reply_err(request, EEXIST); };
  const auto failed = [=](int error) {
    if (error == ENOENT)
      export_of(request).rename(name, new_name, confirm(request));
    else
      fuse_reply_err(request, error);
  };
  export_of(request).look_up(new_name, {exists, failed});
}

void rename_keeping(fuse_req_t request, const Name& name, const Name& new_name) {
  const auto rename_found = [=](const File& file) {
    if (S_ISDIR(file.status.st_mode))
      rename_folder(request, name, new_name);
    else
      rename_file(request, file.handle, name, new_name);
  };
  export_of(request).look_up(name, {rename_found, refuse(request)});
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  const Name from = name_of(request, parent, name), to = name_of(request, new_parent, new_name);
  if (flags == 0)
    export_of(request).rename(from, to, confirm(request));
  else if (flags == RENAME_NOREPLACE)
    rename_keeping(request, from, to);
  else
    fuse_reply_err(request, EINVAL);
}

// --- Files -------------------------------------------------------------------------------------

void open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  file->direct_io = 1;
  fuse_reply_open(request, file);
}

void create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* opened) {
  const Creation creation{mode, (opened->flags & O_EXCL) != 0, (opened->flags & O_TRUNC) != 0};
  const auto reply = [request, opened = *opened](const File& made) {
    fuse_file_info file = opened;
    file.direct_io = 1;
    const fuse_entry_param known = known_entry(request, made);
    fuse_reply_create(request, &known, &file);
  };
  export_of(request).create(name_of(request, parent, name), creation, {reply, refuse(request)});
}

// What is being read or written; a server may do less at a time than it is asked to.
struct Transfer {
  Handle file;
  std::uint64_t offset = 0;
  std::size_t size = 0;  // of what is to be read
  std::string data;      // read so far, or to be written
  std::size_t written = 0;
};

void read_on(fuse_req_t request, const std::shared_ptr<Transfer>& transfer) {
  const auto take = [=](const Data& data) {
    const std::string_view got = data.bytes.substr(0, transfer->size - transfer->data.size());
    const bool over =
        data.at_end || got.empty() || transfer->data.size() + got.size() == transfer->size;
    if (over && transfer->data.empty()) {
      fuse_reply_buf(request, got.data(), got.size());
      return;
    }
    transfer->data += got;
    if (over)
      fuse_reply_buf(request, transfer->data.data(), transfer->data.size());
    else
      read_on(request, transfer);
  };
  const std::size_t done = transfer->data.size();
  export_of(request).read(transfer->file, transfer->offset + done, transfer->size - done,
                          {take, refuse(request)});
}

void read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->file = handle_of(request, node);
  transfer->offset = static_cast<std::uint64_t>(offset);
  transfer->size = size;
  read_on(request, transfer);
}

void write_on(fuse_req_t request, const std::shared_ptr<Transfer>& transfer) {
  const auto go_on = [=](std::size_t written) {
    transfer->written += written;
    if (transfer->written >= transfer->data.size())
      fuse_reply_write(request, transfer->data.size());
    else
      write_on(request, transfer);
  };
  export_of(request).write(transfer->file, transfer->offset + transfer->written,
                           std::string_view(transfer->data).substr(transfer->written),
                           {go_on, refuse(request)});
}

void write(fuse_req_t request, fuse_ino_t node, const char* data, std::size_t size, off_t offset,
           fuse_file_info*) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->file = handle_of(request, node);
  transfer->offset = static_cast<std::uint64_t>(offset);
  transfer->data.assign(data, size);
  write_on(request, transfer);
}

// --- Folders -----------------------------------------------------------------------------------

// An open folder is what it held when it was opened.
using Listing = std::vector<FolderEntry>;

Listing& listing_of(const fuse_file_info* file) {
  return *reinterpret_cast<Listing*>(file->fh);
}

void opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* opened) {
  const auto reply = [request, opened = *opened](const Listing& entries) {
    fuse_file_info file = opened;
    file.fh = reinterpret_cast<std::uintptr_t>(new Listing(entries));
    fuse_reply_open(request, &file);
  };
  export_of(request).list(handle_of(request, node), {reply, refuse(request)});
}

void readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
  const Listing& entries = listing_of(file);
  std::string buffer(size, '\0');
  std::size_t used = 0;
  for (std::size_t next = static_cast<std::size_t>(offset); next < entries.size(); ++next) {
    struct stat status {};
    status.st_ino = entries[next].number;
    const std::size_t needed =
        fuse_add_direntry(request, buffer.data() + used, size - used, entries[next].name.c_str(),
                          &status, static_cast<off_t>(next + 1));
    if (needed > size - used) break;
    used += needed;
  }
  fuse_reply_buf(request, buffer.data(), used);
}

void releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  delete &listing_of(file);
  fuse_reply_err(request, 0);
}

void statfs(fuse_req_t request, fuse_ino_t) {
  const auto reply = [request](const struct statvfs& space) { fuse_reply_statfs(request, &space); };
  export_of(request).space(handle_of(request, Nodes::root), {reply, refuse(request)});
}

void init(void* userdata, fuse_conn_info* connection) {
  const auto& self = *static_cast<FileSystem*>(userdata);
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_ATOMIC_O_TRUNC);  // SETATTR does it
  connection->max_write = static_cast<unsigned>(self.max_transfer());
  connection->max_read = static_cast<unsigned>(self.max_transfer());
  connection->max_background = 128;
}

fuse_lowlevel_ops operations() {
  fuse_lowlevel_ops operations{};
  operations.init = init;
  operations.lookup = lookup;
  operations.forget = forget;
  operations.getattr = getattr;
  operations.setattr = setattr;
  operations.mkdir = mkdir;
  operations.unlink = unlink;
  operations.rmdir = rmdir;
  operations.rename = rename;
  operations.link = link;
  operations.open = open;
  operations.create = create;
  operations.read = read;
  operations.write = write;
  operations.opendir = opendir;
  operations.readdir = readdir;
  operations.releasedir = releasedir;
  operations.statfs = statfs;
  return operations;
}

}  // namespace

FileSystem::FileSystem(Export& exported, MountOptions options)
    : export_(exported), options_(std::move(options)) {}

FileSystem::~FileSystem() {
  if (session_) fuse_session_destroy(session_);
}

void FileSystem::start() {
  export_.open([this](const Root& root) {
    nodes_ = Nodes(root.handle);
    max_transfer_ = std::min(root.max_transfer, kLargestTransfer);
    mount();
  });
}

void FileSystem::mount() {
  const std::string options =
      fmt::format("fsname={},subtype=nfs,default_permissions,allow_other,max_read={}{}",
                  options_.source, max_transfer_, options_.read_only ? ",ro" : "");
  const char* arguments[] = {"virga-nfs", "-o", options.c_str()};
  fuse_args args = FUSE_ARGS_INIT(3, const_cast<char**>(arguments));
  const fuse_lowlevel_ops ops = operations();
  session_ = fuse_session_new(&args, &ops, sizeof ops, this);
  fuse_opt_free_args(&args);
  if (!session_ || fuse_session_mount(session_, options_.folder.c_str()) != 0)
    throw error(ErrorKind::io, options_.source, "{} cannot be mounted at {}", options_.source,
                options_.folder);
}

int FileSystem::fd() const {
  return session_ ? fuse_session_fd(session_) : -1;
}

void FileSystem::service() {
  fuse_buf buffer{};
  const int received = fuse_session_receive_buf(session_, &buffer);
  if (received > 0) fuse_session_process_buf(session_, &buffer);
  std::free(buffer.mem);
  ended_ = (received < 0 && received != -EINTR && received != -EAGAIN) || received == 0 ||
           fuse_session_exited(session_);
}

}  // namespace virga::nfs
