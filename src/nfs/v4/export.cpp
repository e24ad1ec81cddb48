#include "nfs/v4/export.h"

#include <algorithm>

#include "base/error.h"
#include "base/uuid.h"

namespace virga::nfs::v4 {
namespace {

constexpr std::uint32_t kFolderBytes = 32 << 10;  // of a READDIR

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> components;
  for (const fs::path& component : fs::path(path).relative_path())
    if (!component.empty()) components.push_back(component.string());
  return components;
}

Error refused(Status status, const std::string& host, const std::string& path) {
  const std::string subject = host + ":" + path;
  switch (errno_of(status)) {
    case ENOENT:
    case ENOTDIR:
      return error(ErrorKind::not_found, subject, "{} does not export {}", host, path);
    case EPERM:
    case EACCES:
      return error(ErrorKind::access_denied, subject, "{} does not let this host mount {}{}", host,
                   path, status == Status::wrongsec ? " with AUTH_SYS" : "");
    default:
      return error(ErrorKind::io, subject, "{} cannot mount {}: status {}", host, path,
                   static_cast<unsigned>(status));
  }
}

}  // namespace

Export::Export(const Source& source, Told told)
    : host_(source.hosts.front()), path_(source.path), session_(source.hosts, std::move(told)) {}

void Export::ask(Compound compound, Failed failed, Take take) {
  session_.call(std::move(compound), [failed, take](Results* results) {
    const int refused = results ? errno_of(results->status()) : EIO;
    if (refused != 0) return failed(refused);
    try {
      take(*results);
    } catch (const Error& failure) {
      if (failure.kind() != ErrorKind::damaged) throw;
      failed(EIO);
    }
  });
}

void Export::ask(Compound compound, Answer<> answer) {
  ask(std::move(compound), answer.failed, [answer](Results&) { answer.then(); });
}

void Export::open(std::function<void(const Root&)> then) {
  const std::vector<std::string> names = components(path_);
  Compound compound;
  compound.put_root();
  for (const std::string& name : names) compound.look_up(name);
  compound.get_handle().get_attributes(root_attributes);
  session_.call(compound, [this, names, then](Results* results) {
    const Status status = results ? results->status() : Status::notsupp;
    if (status != Status::ok) throw refused(status, host_, path_);
    results->skip({Operation::putrootfh});
    for (std::size_t i = 0; i < names.size(); ++i) results->skip({Operation::lookup});
    const Handle root = results->handle();
    const Attributes told = results->attributes();
    if (!S_ISDIR(told.status.st_mode)) throw refused(Status::notdir, host_, path_);
    std::uint64_t size = session_.max_data();
    for (const std::uint64_t limit : {told.max_read, told.max_write})
      if (limit != 0) size = std::min(size, limit);
    then({root, size});
  });
}

// --- Attributes --------------------------------------------------------------------------------

void Export::attributes(const Handle& file, Answer<struct stat> answer) {
  ask(Compound().put(file).get_attributes(status_attributes), answer.failed,
      [answer](Results& results) {
        results.skip({Operation::putfh});
        answer.then(results.attributes().status);
      });
}

void Export::change(const Handle& file, const Change& change, Answer<> answer) {
  ask(Compound().put(file).set_attributes(change), std::move(answer));
}

// --- Names -------------------------------------------------------------------------------------

void Export::look_up(const Name& name, Answer<File> answer) {
  Compound compound;
  compound.put(name.folder).look_up(name.name).get_handle().get_attributes(status_attributes);
  ask(std::move(compound), answer.failed, [answer](Results& results) {
    results.skip({Operation::putfh, Operation::lookup});
    const Handle handle = results.handle();
    answer.then({handle, results.attributes().status});
  });
}

void Export::make_folder(const Name& name, mode_t mode, Answer<File> answer) {
  Compound compound;
  compound.put(name.folder).make_folder(name.name, mode).get_handle().once();
  ask(std::move(compound), answer.failed, [this, answer](Results& results) {
    results.skip({Operation::putfh, Operation::create});
    const Handle made = results.handle();
    const auto then = [made, answer](const struct stat& status) { answer.then({made, status}); };
    attributes(made, {then, answer.failed});
  });
}

void Export::create(const Name& name, const Creation& creation, Answer<File> answer) {
  Compound compound;
  compound.put(name.folder).open_to_create(name.name, creation, random_hex(verifier_bytes / 2));
  compound.get_handle().get_attributes(status_attributes).close().once();
  ask(std::move(compound), answer.failed, [answer](Results& results) {
    results.skip({Operation::putfh});
    results.opened();
    const Handle made = results.handle();
    const Attributes attributes = results.attributes();
    answer.then({made, attributes.status});
  });
}

void Export::remove(const Name& name, bool, Answer<> answer) {
  ask(Compound().put(name.folder).remove(name.name).once(), std::move(answer));
}

void Export::rename(const Name& name, const Name& new_name, Answer<> answer) {
  Compound compound;
  compound.put(name.folder).save().put(new_name.folder).rename(name.name, new_name.name).once();
  ask(std::move(compound), std::move(answer));
}

void Export::link(const Handle& file, const Name& name, Answer<> answer) {
  ask(Compound().put(file).save().put(name.folder).link(name.name).once(), std::move(answer));
}

// --- Data --------------------------------------------------------------------------------------

void Export::read(const Handle& file, std::uint64_t offset, std::size_t size, Answer<Data> answer) {
  ask(Compound().put(file).read(offset, size), answer.failed, [answer](Results& results) {
    results.skip({Operation::putfh});
    answer.then(results.data());
  });
}

void Export::write(const Handle& file, std::uint64_t offset, std::string_view bytes,
                   Answer<std::size_t> answer) {
  ask(Compound().put(file).write(offset, bytes), answer.failed, [answer](Results& results) {
    results.skip({Operation::putfh});
    const std::size_t written = results.written();
    if (written == 0)
      answer.failed(EIO);
    else
      answer.then(written);
  });
}

// --- Folders -----------------------------------------------------------------------------------

void Export::list_on(const std::shared_ptr<Results::Listing>& listing, const Handle& folder,
                     const Answer<std::vector<FolderEntry>>& answer) {
  Compound compound;
  compound.put(folder).list(listing->cookie, listing->verifier, kFolderBytes);
  ask(std::move(compound), answer.failed, [=, this](Results& results) {
    results.skip({Operation::putfh});
    Results::Listing more = results.listing();
    const bool is_whole = more.at_end || more.entries.empty();
    more.entries.insert(more.entries.begin(), listing->entries.begin(), listing->entries.end());
    *listing = std::move(more);
    if (is_whole)
      answer.then(listing->entries);
    else
      list_on(listing, folder, answer);
  });
}

void Export::list(const Handle& folder, Answer<std::vector<FolderEntry>> answer) {
  const auto listing = std::make_shared<Results::Listing>();
  listing->verifier.assign(verifier_bytes, '\0');
  list_on(listing, folder, answer);
}

void Export::space(const Handle& root, Answer<struct statvfs> answer) {
  ask(Compound().put(root).get_attributes(space_attributes), answer.failed,
      [answer](Results& results) {
        results.skip({Operation::putfh});
        answer.then(results.attributes().space);
      });
}

}  // namespace virga::nfs::v4
