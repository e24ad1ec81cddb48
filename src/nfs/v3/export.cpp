#include "nfs/v3/export.h"

#include <algorithm>

#include "base/error.h"
#include "base/uuid.h"

namespace virga::nfs::v3 {
namespace {

constexpr std::size_t kLargestTransfer = 512 << 10;  // what libnfs takes in one message, and more
constexpr u_int kFolderBytes = 32 << 10;             // of a READDIR

diropargs3 to_wire(const Name& name) {
  return {v3::to_wire(name.folder), const_cast<char*>(name.name.c_str())};
}

}  // namespace

Export::Export(const Source& source, Told told)
    : host_(source.hosts.front()), path_(source.path), server_(host_, std::move(told)) {}

template <class Result, class Args, class Fill, class Then>
void Export::ask(Failed failed, int (*procedure)(rpc_context*, rpc_cb, Args*, void*), Fill fill,
                 Then then) {
  const auto send = [procedure, fill](rpc_context* rpc, rpc_cb answered, void* data) {
    Args args{};
    fill(args);
    return procedure(rpc, answered, &args, data);
  };
  const auto done = [failed, then](void* data) {
    auto* result = static_cast<Result*>(data);
    const int error = result ? errno_of(result->status) : EIO;
    if (error != 0)
      failed(error);
    else
      then(*result);
  };
  server_.call(send, done);
}

void Export::open(std::function<void(const Root&)> then) {
  const Handle root = mount_export(host_, path_);
  const auto refuse = [this](int) {
    throw error(ErrorKind::io, host_, "{}:{} does not tell its limits", host_, path_);
  };
  ask<FSINFO3res>(
      refuse, rpc_nfs3_fsinfo_async, [root](FSINFO3args& args) { args.fsroot = to_wire(root); },
      [root, then](const FSINFO3res& result) {
        const auto& limits = result.FSINFO3res_u.resok;
        then({root, std::min<std::size_t>({limits.rtmax, limits.wtmax, kLargestTransfer})});
      });
}

// --- Attributes --------------------------------------------------------------------------------

void Export::attributes(const Handle& file, Answer<struct stat> answer) {
  ask<GETATTR3res>(
      answer.failed, rpc_nfs3_getattr_async,
      [file](GETATTR3args& args) { args.object = to_wire(file); },
      [answer](const GETATTR3res& result) {
        answer.then(stat_from(result.GETATTR3res_u.resok.obj_attributes));
      });
}

void Export::answer_file(const Handle& file, const post_op_attr& came, const Answer<File>& answer) {
  const auto then = [file, answer](const struct stat& status) { answer.then({file, status}); };
  if (came.attributes_follow)
    then(stat_from(came.post_op_attr_u.attributes));
  else
    attributes(file, {then, answer.failed});
}

void Export::change(const Handle& file, const Change& change, Answer<> answer) {
  const sattr3 attributes = to_wire(change);
  ask<SETATTR3res>(
      answer.failed, rpc_nfs3_setattr_async,
      [=](SETATTR3args& args) {
        args.object = to_wire(file);
        args.new_attributes = attributes;
      },
      [answer](const SETATTR3res&) { answer.then(); });
}

// --- Names -------------------------------------------------------------------------------------

void Export::look_up(const Name& name, Answer<File> answer) {
  ask<LOOKUP3res>(
      answer.failed, rpc_nfs3_lookup_async,
      [name](LOOKUP3args& args) { args.what = to_wire(name); },
      [this, answer](const LOOKUP3res& result) {
        const auto& found = result.LOOKUP3res_u.resok;
        answer_file(handle_from(found.object), found.obj_attributes, answer);
      });
}

void Export::make_folder(const Name& name, mode_t mode, Answer<File> answer) {
  Change change;
  change.mode = mode;
  const sattr3 attributes = to_wire(change);
  ask<MKDIR3res>(
      answer.failed, rpc_nfs3_mkdir_async,
      [=](MKDIR3args& args) {
        args.where = to_wire(name);
        args.attributes = attributes;
      },
      [=, this](const MKDIR3res& result) {
        const auto& made = result.MKDIR3res_u.resok;
        if (made.obj.handle_follows)
          answer_file(handle_from(made.obj.post_op_fh3_u.handle), made.obj_attributes, answer);
        else
          look_up(name, answer);
      });
}

void Export::finish_creation(const Handle& made, const std::optional<Change>& change,
                             const Answer<File>& answer) {
  const auto finish = [this, made, answer] { answer_file(made, {}, answer); };
  if (change)
    this->change(made, *change, {finish, answer.failed});
  else
    finish();
}

void Export::create(const Name& name, const Creation& creation, Answer<File> answer) {
  Change change;
  change.mode = creation.mode;
  if (creation.truncate || creation.exclusive) change.size = 0;
  const sattr3 attributes = to_wire(change);
  const std::string verifier = random_hex(NFS3_CREATEVERFSIZE / 2);
  const bool exclusive = creation.exclusive;
  const std::optional<Change> left = exclusive ? std::optional(change) : std::nullopt;
  const auto fill = [=](CREATE3args& args) {
    args.where = to_wire(name);
    args.how.mode = exclusive ? EXCLUSIVE : UNCHECKED;
    if (exclusive)
      std::copy(verifier.begin(), verifier.end(), args.how.createhow3_u.verf);
    else
      args.how.createhow3_u.obj_attributes = attributes;
  };
  const auto then = [=, this](const CREATE3res& result) {
    const auto& made = result.CREATE3res_u.resok.obj;
    if (made.handle_follows)
      return finish_creation(handle_from(made.post_op_fh3_u.handle), left, answer);
    const auto finish = [=, this](const File& found) {
      finish_creation(found.handle, left, answer);
    };
    look_up(name, {finish, answer.failed});
  };
  ask<CREATE3res>(answer.failed, rpc_nfs3_create_async, fill, then);
}

void Export::remove(const Name& name, bool is_folder, Answer<> answer) {
  if (is_folder)
    ask<RMDIR3res>(
        answer.failed, rpc_nfs3_rmdir_async,
        [name](RMDIR3args& args) { args.object = to_wire(name); },
        [answer](const RMDIR3res&) { answer.then(); });
  else
    ask<REMOVE3res>(
        answer.failed, rpc_nfs3_remove_async,
        [name](REMOVE3args& args) { args.object = to_wire(name); },
        [answer](const REMOVE3res&) { answer.then(); });
}

void Export::rename(const Name& name, const Name& new_name, Answer<> answer) {
  ask<RENAME3res>(
      answer.failed, rpc_nfs3_rename_async,
      [name, new_name](RENAME3args& args) {
        args.from = to_wire(name);
        args.to = to_wire(new_name);
      },
      [answer](const RENAME3res&) { answer.then(); });
}

void Export::link(const Handle& file, const Name& name, Answer<> answer) {
  ask<LINK3res>(
      answer.failed, rpc_nfs3_link_async,
      [file, name](LINK3args& args) {
        args.file = to_wire(file);
        args.link = to_wire(name);
      },
      [answer](const LINK3res&) { answer.then(); });
}

// --- Data --------------------------------------------------------------------------------------

void Export::read(const Handle& file, std::uint64_t offset, std::size_t size, Answer<Data> answer) {
  ask<READ3res>(
      answer.failed, rpc_nfs3_read_async,
      [=](READ3args& args) {
        args.file = to_wire(file);
        args.offset = offset;
        args.count = static_cast<count3>(size);
      },
      [answer](const READ3res& result) {
        const auto& got = result.READ3res_u.resok;
        answer.then({{got.data.data_val, got.data.data_len}, got.eof != 0});
      });
}

void Export::write(const Handle& file, std::uint64_t offset, std::string_view bytes,
                   Answer<std::size_t> answer) {
  ask<WRITE3res>(
      answer.failed, rpc_nfs3_write_async,
      [=](WRITE3args& args) {
        args.file = to_wire(file);
        args.offset = offset;
        args.stable = FILE_SYNC;
        args.data.data_val = const_cast<char*>(bytes.data());
        args.data.data_len = static_cast<u_int>(bytes.size());
        args.count = args.data.data_len;
      },
      [answer](const WRITE3res& result) {
        const auto& done = result.WRITE3res_u.resok;
        if (done.count == 0 || done.committed != FILE_SYNC)
          answer.failed(EIO);
        else
          answer.then(done.count);
      });
}

// --- Folders -----------------------------------------------------------------------------------

struct Export::Listing {
  Handle folder;
  std::vector<FolderEntry> entries;
  cookie3 cookie = 0;
  std::string verifier = std::string(NFS3_COOKIEVERFSIZE, '\0');
};

void Export::list_on(const std::shared_ptr<Listing>& listing,
                     const Answer<std::vector<FolderEntry>>& answer) {
  ask<READDIR3res>(
      answer.failed, rpc_nfs3_readdir_async,
      [listing](READDIR3args& args) {
        args.dir = to_wire(listing->folder);
        args.cookie = listing->cookie;
        std::copy(listing->verifier.begin(), listing->verifier.end(), args.cookieverf);
        args.count = kFolderBytes;
      },
      [=, this](const READDIR3res& result) {
        const auto& got = result.READDIR3res_u.resok;
        for (const entry3* item = got.reply.entries; item; item = item->nextentry) {
          listing->entries.push_back({item->name, item->fileid});
          listing->cookie = item->cookie;
        }
        listing->verifier.assign(got.cookieverf, NFS3_COOKIEVERFSIZE);
        if (!got.reply.eof && got.reply.entries)
          list_on(listing, answer);
        else
          answer.then(listing->entries);
      });
}

void Export::list(const Handle& folder, Answer<std::vector<FolderEntry>> answer) {
  const auto listing = std::make_shared<Listing>();
  listing->folder = folder;
  list_on(listing, answer);
}

void Export::space(const Handle& root, Answer<struct statvfs> answer) {
  ask<FSSTAT3res>(
      answer.failed, rpc_nfs3_fsstat_async,
      [root](FSSTAT3args& args) { args.fsroot = to_wire(root); },
      [answer](const FSSTAT3res& result) {
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
        answer.then(space);
      });
}

}  // namespace virga::nfs::v3
