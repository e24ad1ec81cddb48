#define FUSE_USE_VERSION 312
#include "nfs/file_system.h"

#include <fuse3/fuse_lowlevel.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/uuid.h"

namespace virga::nfs {
namespace {

constexpr std::size_t kLargestTransfer = 512 << 10;  // what libnfs takes in one message, and more
constexpr u_int kFolderBytes = 32 << 10;             // of a READDIR

FileSystem& file_system_of(fuse_req_t request) {
  return *static_cast<FileSystem*>(fuse_req_userdata(request));
}

Handle handle_of(fuse_req_t request, fuse_ino_t node) {
  return file_system_of(request).nodes().handle(node);
}

// Issues a procedure whose arguments `fill` makes; `then` gets the result of one that went well.
template <class Result, class Args, class Fill, class Then>
void ask(fuse_req_t request, int (*procedure)(rpc_context*, rpc_cb, Args*, void*), Fill fill,
         Then then) {
  const auto send = [procedure, fill](rpc_context* rpc, rpc_cb answered, void* data) {
    Args args{};
    fill(args);
    return procedure(rpc, answered, &args, data);
  };
  const auto done = [request, then](void* data) {
    auto* result = static_cast<Result*>(data);
    const int error = result ? errno_of(result->status) : EIO;
    if (error != 0)
      fuse_reply_err(request, error);
    else
      then(*result);
  };
  file_system_of(request).server().call(send, done);
}

diropargs3 entry(const Handle& folder, const std::string& name) {
  return {to_wire(folder), const_cast<char*>(name.c_str())};
}

// --- Attributes --------------------------------------------------------------------------------

void get_attributes(fuse_req_t request, const Handle& file,
                    const std::function<void(const struct stat&)>& then) {
  ask<GETATTR3res>(
      request, rpc_nfs3_getattr_async, [file](GETATTR3args& args) { args.object = to_wire(file); },
      [then](const GETATTR3res& result) {
        then(stat_from(result.GETATTR3res_u.resok.obj_attributes));
      });
}

// With the attributes that came along, or those asked for.
void with_attributes(fuse_req_t request, const Handle& file, const post_op_attr& came,
                     const std::function<void(const struct stat&)>& then) {
  if (came.attributes_follow)
    then(stat_from(came.post_op_attr_u.attributes));
  else
    get_attributes(request, file, then);
}

fuse_entry_param known_entry(fuse_req_t request, const Handle& file, const struct stat& status) {
  fuse_entry_param known{};
  known.ino = file_system_of(request).nodes().remember(file);
  known.attr = status;
  return known;
}

void reply_entry(fuse_req_t request, const Handle& file, const post_op_attr& came) {
  with_attributes(request, file, came, [=](const struct stat& status) {
    const fuse_entry_param known = known_entry(request, file, status);
    fuse_reply_entry(request, &known);
  });
}

void getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  get_attributes(request, handle_of(request, node),
                 [=](const struct stat& status) { fuse_reply_attr(request, &status, 0); });
}

void set_attributes(fuse_req_t request, const Handle& file, const sattr3& attributes,
                    const std::function<void()>& then) {
  ask<SETATTR3res>(
      request, rpc_nfs3_setattr_async,
      [=](SETATTR3args& args) {
        args.object = to_wire(file);
        args.new_attributes = attributes;
      },
      [then](const SETATTR3res&) { then(); });
}

void setattr(fuse_req_t request, fuse_ino_t node, struct stat* status, int to_set,
             fuse_file_info*) {
  const Handle file = handle_of(request, node);
  const auto wants = [to_set](int what) { return (to_set & what) != 0; };
  Wanted wanted;
  wanted.mode = wants(FUSE_SET_ATTR_MODE);
  wanted.owner = wants(FUSE_SET_ATTR_UID);
  wanted.group = wants(FUSE_SET_ATTR_GID);
  wanted.size = wants(FUSE_SET_ATTR_SIZE);
  wanted.access_time = wants(FUSE_SET_ATTR_ATIME) && !wants(FUSE_SET_ATTR_ATIME_NOW);
  wanted.modification_time = wants(FUSE_SET_ATTR_MTIME) && !wants(FUSE_SET_ATTR_MTIME_NOW);
  sattr3 attributes = to_wire(*status, wanted);
  if (wants(FUSE_SET_ATTR_ATIME_NOW)) attributes.atime.set_it = SET_TO_SERVER_TIME;
  if (wants(FUSE_SET_ATTR_MTIME_NOW)) attributes.mtime.set_it = SET_TO_SERVER_TIME;
  set_attributes(request, file, attributes, [=] {
    get_attributes(request, file,
                   [=](const struct stat& now) { fuse_reply_attr(request, &now, 0); });
  });
}

// --- Names -------------------------------------------------------------------------------------

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Handle folder = handle_of(request, parent);
  ask<LOOKUP3res>(
      request, rpc_nfs3_lookup_async,
      [folder, name = std::string(name)](LOOKUP3args& args) { args.what = entry(folder, name); },
      [request](const LOOKUP3res& result) {
        const auto& found = result.LOOKUP3res_u.resok;
        reply_entry(request, handle_from(found.object), found.obj_attributes);
      });
}

void forget(fuse_req_t request, fuse_ino_t node, std::uint64_t times) {
  file_system_of(request).nodes().forget(node, times);
  fuse_reply_none(request);
}

void mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  struct stat wanted {};
  wanted.st_mode = mode;
  const sattr3 attributes = to_wire(wanted, {.mode = true});
  const Handle folder = handle_of(request, parent);
  ask<MKDIR3res>(
      request, rpc_nfs3_mkdir_async,
      [=, name = std::string(name)](MKDIR3args& args) {
        args.where = entry(folder, name);
        args.attributes = attributes;
      },
      [=, name = std::string(name)](const MKDIR3res& result) {
        const auto& made = result.MKDIR3res_u.resok;
        if (made.obj.handle_follows)
          reply_entry(request, handle_from(made.obj.post_op_fh3_u.handle), made.obj_attributes);
        else
          lookup(request, parent, name.c_str());
      });
}

void unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Handle folder = handle_of(request, parent);
  ask<REMOVE3res>(
      request, rpc_nfs3_remove_async,
      [folder, name = std::string(name)](REMOVE3args& args) { args.object = entry(folder, name); },
      [request](const REMOVE3res&) { fuse_reply_err(request, 0); });
}

void rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Handle folder = handle_of(request, parent);
  ask<RMDIR3res>(
      request, rpc_nfs3_rmdir_async,
      [folder, name = std::string(name)](RMDIR3args& args) { args.object = entry(folder, name); },
      [request](const RMDIR3res&) { fuse_reply_err(request, 0); });
}

void link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  const Handle file = handle_of(request, node), folder = handle_of(request, parent);
  ask<LINK3res>(
      request, rpc_nfs3_link_async,
      [file, folder, name = std::string(name)](LINK3args& args) {
        args.file = to_wire(file);
        args.link = entry(folder, name);
      },
      [request, file](const LINK3res&) { reply_entry(request, file, {}); });
}

// --- Renaming ----------------------------------------------------------------------------------

struct Renaming {
  Handle folder, new_folder;
  std::string name, new_name;
};

void rename_replacing(fuse_req_t request, const Renaming& names) {
  ask<RENAME3res>(
      request, rpc_nfs3_rename_async,
      [names](RENAME3args& args) {
        args.from = entry(names.folder, names.name);
        args.to = entry(names.new_folder, names.new_name);
      },
      [request](const RENAME3res&) { fuse_reply_err(request, 0); });
}

// The new link fails where there is something; until the old one is removed the file has both.
void rename_file(fuse_req_t request, const Renaming& names, const Handle& file) {
  const auto remove_old = [request, names](const LINK3res&) {
    ask<REMOVE3res>(
        request, rpc_nfs3_remove_async,
        [names](REMOVE3args& args) { args.object = entry(names.folder, names.name); },
        [request](const REMOVE3res&) { fuse_reply_err(request, 0); });
  };
  ask<LINK3res>(
      request, rpc_nfs3_link_async,
      [names, file](LINK3args& args) {
        args.file = to_wire(file);
        args.link = entry(names.new_folder, names.new_name);
      },
      remove_old);
}

void rename_folder(fuse_req_t request, const Renaming& names) {
  const auto send = [names](rpc_context* rpc, rpc_cb answered, void* data) {
    LOOKUP3args args{};
    args.what = entry(names.new_folder, names.new_name);
    return rpc_nfs3_lookup_async(rpc, answered, &args, data);
  };
  const auto done = [request, names](void* data) {
    const auto* result = static_cast<const LOOKUP3res*>(data);
    if (result && result->status == NFS3ERR_NOENT)
      rename_replacing(request, names);
    else
      fuse_reply_err(request, !result                     ? EIO
                              : result->status == NFS3_OK ? EEXIST
                                                          : errno_of(result->status));
  };
  file_system_of(request).server().call(send, done);
}

void rename_keeping(fuse_req_t request, const Renaming& names) {
  ask<LOOKUP3res>(
      request, rpc_nfs3_lookup_async,
      [names](LOOKUP3args& args) { args.what = entry(names.folder, names.name); },
      [request, names](const LOOKUP3res& result) {
        const auto& found = result.LOOKUP3res_u.resok;
        const Handle file = handle_from(found.object);
        with_attributes(request, file, found.obj_attributes, [=](const struct stat& status) {
          if (S_ISDIR(status.st_mode))
            rename_folder(request, names);
          else
            rename_file(request, names, file);
        });
      });
}

void rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  const Renaming names{handle_of(request, parent), handle_of(request, new_parent), name, new_name};
  if (flags == 0)
    rename_replacing(request, names);
  else if (flags == RENAME_NOREPLACE)
    rename_keeping(request, names);
  else
    fuse_reply_err(request, EINVAL);
}

// --- Files -------------------------------------------------------------------------------------

void open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  file->direct_io = 1;
  fuse_reply_open(request, file);
}

void reply_created(fuse_req_t request, const Handle& made, fuse_file_info opened) {
  get_attributes(request, made, [=](const struct stat& status) {
    fuse_file_info file = opened;
    file.direct_io = 1;
    const fuse_entry_param known = known_entry(request, made, status);
    fuse_reply_create(request, &known, &file);
  });
}

// With O_EXCL the server remembers the verifier: a request that comes twice makes one file.
void create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
            fuse_file_info* opened) {
  const bool exclusive = (opened->flags & O_EXCL) != 0;
  struct stat wanted {};
  wanted.st_mode = mode;
  const sattr3 attributes =
      to_wire(wanted, {.mode = true, .size = (opened->flags & O_TRUNC) != 0 || exclusive});
  const std::string verifier = random_hex(NFS3_CREATEVERFSIZE / 2);
  const Handle folder = handle_of(request, parent);
  const auto finish = [=, file = *opened](const Handle& made) {
    if (!exclusive) return reply_created(request, made, file);
    set_attributes(request, made, attributes, [=] { reply_created(request, made, file); });
  };
  const auto fill = [=, name = std::string(name)](CREATE3args& args) {
    args.where = entry(folder, name);
    args.how.mode = exclusive ? EXCLUSIVE : UNCHECKED;
    if (exclusive)
      std::copy(verifier.begin(), verifier.end(), args.how.createhow3_u.verf);
    else
      args.how.createhow3_u.obj_attributes = attributes;
  };
  const auto then = [=, name = std::string(name)](const CREATE3res& result) {
    const auto& made = result.CREATE3res_u.resok.obj;
    if (made.handle_follows) return finish(handle_from(made.post_op_fh3_u.handle));
    ask<LOOKUP3res>(
        request, rpc_nfs3_lookup_async, [=](LOOKUP3args& args) { args.what = entry(folder, name); },
        [finish](const LOOKUP3res& found) {
          finish(handle_from(found.LOOKUP3res_u.resok.object));
        });
  };
  ask<CREATE3res>(request, rpc_nfs3_create_async, fill, then);
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
  ask<READ3res>(
      request, rpc_nfs3_read_async,
      [transfer](READ3args& args) {
        args.file = to_wire(transfer->file);
        args.offset = transfer->offset + transfer->data.size();
        args.count = static_cast<count3>(transfer->size - transfer->data.size());
      },
      [request, transfer](const READ3res& result) {
        const auto& got = result.READ3res_u.resok;
        const std::string_view data(got.data.data_val, got.data.data_len);
        if (transfer->data.empty() && (data.size() == transfer->size || got.eof)) {
          fuse_reply_buf(request, data.data(), std::min(data.size(), transfer->size));
          return;
        }
        transfer->data += data.substr(0, transfer->size - transfer->data.size());
        if (got.eof || data.empty() || transfer->data.size() == transfer->size)
          fuse_reply_buf(request, transfer->data.data(), transfer->data.size());
        else
          read_on(request, transfer);
      });
}

void read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  const auto transfer = std::make_shared<Transfer>();
  transfer->file = handle_of(request, node);
  transfer->offset = static_cast<std::uint64_t>(offset);
  transfer->size = size;
  read_on(request, transfer);
}

void write_on(fuse_req_t request, const std::shared_ptr<Transfer>& transfer) {
  ask<WRITE3res>(
      request, rpc_nfs3_write_async,
      [transfer](WRITE3args& args) {
        args.file = to_wire(transfer->file);
        args.offset = transfer->offset + transfer->written;
        args.stable = FILE_SYNC;
        args.data.data_val = transfer->data.data() + transfer->written;
        args.data.data_len = static_cast<u_int>(transfer->data.size() - transfer->written);
        args.count = args.data.data_len;
      },
      [request, transfer](const WRITE3res& result) {
        const auto& done = result.WRITE3res_u.resok;
        transfer->written += done.count;
        if (done.count == 0 || done.committed != FILE_SYNC)
          fuse_reply_err(request, EIO);
        else if (transfer->written >= transfer->data.size())
          fuse_reply_write(request, transfer->data.size());
        else
          write_on(request, transfer);
      });
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

struct FolderEntry {
  std::string name;
  std::uint64_t number = 0;
};

// An open folder: what it held when it was opened.
struct Folder {
  Handle handle;
  std::vector<FolderEntry> entries;
  cookie3 cookie = 0;
  std::string verifier = std::string(NFS3_COOKIEVERFSIZE, '\0');
};

Folder& folder_of(const fuse_file_info* file) {
  return *reinterpret_cast<Folder*>(file->fh);
}

void read_folder_on(fuse_req_t request, const std::shared_ptr<Folder>& folder,
                    fuse_file_info opened) {
  ask<READDIR3res>(
      request, rpc_nfs3_readdir_async,
      [folder](READDIR3args& args) {
        args.dir = to_wire(folder->handle);
        args.cookie = folder->cookie;
        std::copy(folder->verifier.begin(), folder->verifier.end(), args.cookieverf);
        args.count = kFolderBytes;
      },
      [=](const READDIR3res& result) {
        const auto& got = result.READDIR3res_u.resok;
        for (const entry3* item = got.reply.entries; item; item = item->nextentry) {
          folder->entries.push_back({item->name, item->fileid});
          folder->cookie = item->cookie;
        }
        folder->verifier.assign(got.cookieverf, NFS3_COOKIEVERFSIZE);
        if (!got.reply.eof && got.reply.entries) return read_folder_on(request, folder, opened);
        fuse_file_info file = opened;
        file.fh = reinterpret_cast<std::uintptr_t>(new Folder(std::move(*folder)));
        fuse_reply_open(request, &file);
      });
}

void opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* opened) {
  const auto folder = std::make_shared<Folder>();
  folder->handle = handle_of(request, node);
  read_folder_on(request, folder, *opened);
}

void readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* file) {
  const auto& entries = folder_of(file).entries;
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
  delete &folder_of(file);
  fuse_reply_err(request, 0);
}

void statfs(fuse_req_t request, fuse_ino_t) {
  const Handle root = handle_of(request, Nodes::root);
  ask<FSSTAT3res>(
      request, rpc_nfs3_fsstat_async, [root](FSSTAT3args& args) { args.fsroot = to_wire(root); },
      [request](const FSSTAT3res& result) {
        const auto& told = result.FSSTAT3res_u.resok;
        constexpr std::uint64_t block = 4096;
        struct statvfs space {};
        space.f_bsize = space.f_frsize = block;
        space.f_blocks = told.tbytes / block;
        space.f_bfree = told.fbytes / block;
        space.f_bavail = told.abytes / block;
        space.f_files = told.tfiles;
        space.f_ffree = told.ffiles;
        space.f_favail = told.afiles;
        space.f_namemax = 255;
        fuse_reply_statfs(request, &space);
      });
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

FileSystem::FileSystem(Server& server, Handle root, MountOptions options)
    : server_(server), nodes_(std::move(root)), options_(std::move(options)) {}

FileSystem::~FileSystem() {
  if (session_) fuse_session_destroy(session_);
}

void FileSystem::start() {
  const Handle root = nodes_.handle(Nodes::root);
  const auto send = [root](rpc_context* rpc, rpc_cb answered, void* data) {
    FSINFO3args args{};
    args.fsroot = to_wire(root);
    return rpc_nfs3_fsinfo_async(rpc, answered, &args, data);
  };
  server_.call(send, [this](void* data) {
    const auto* result = static_cast<const FSINFO3res*>(data);
    if (!result || result->status != NFS3_OK)
      throw error(ErrorKind::io, options_.source, "{} does not tell its limits", options_.source);
    const auto& limits = result->FSINFO3res_u.resok;
    max_transfer_ = std::min<std::size_t>({limits.rtmax, limits.wtmax, kLargestTransfer});
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
