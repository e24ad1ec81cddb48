#include "host/guest_file_manager.h"

#include <algorithm>

#include "base/uuid.h"
#include "host/guest_file_transfers.h"
#include "host/guest_session.h"
#include "host/names.h"
#include "hypervisor/guest/files.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr std::int32_t kListed =
    50;  // entries in an answer, unless the client wants another number

// All as the user. What a command complains of ends with the C library's words for it; a check of
// ours ends the same way.
constexpr const char* make_directory = R"(mkdir -- "$1")";
constexpr const char* make_directories = R"(
[ ! -e "$1" ] || { echo "File exists" >&2; exit 1; }
mkdir -p -- "$1"
)";
constexpr const char* delete_file = R"(
[ -L "$1" ] || [ ! -d "$1" ] || { echo "Is a directory" >&2; exit 1; }
unlink "$1"
)";
constexpr const char* delete_directory = R"(rmdir -- "$1")";
constexpr const char* delete_tree = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ -d "$1" ] && [ ! -L "$1" ] || { echo "Not a directory" >&2; exit 1; }
rm -rf -- "$1"
)";
constexpr const char* move_directory = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ -d "$1" ] || { echo "Not a directory" >&2; exit 1; }
[ ! -e "$2" ] || { echo "$2: File exists" >&2; exit 1; }
mv -- "$1" "$2"
)";
constexpr const char* move_file = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ ! -d "$1" ] && [ ! -d "$2" ] || { echo "Is a directory" >&2; exit 1; }
[ ! -e "$2" ] || { echo "$2: File exists" >&2; exit 1; }
mv -- "$1" "$2"
)";
constexpr const char* replace_file = R"(
stat -c %n -- "$1" >/dev/null || exit 1
[ ! -d "$1" ] && [ ! -d "$2" ] || { echo "Is a directory" >&2; exit 1; }
mv -f -- "$1" "$2"
)";
constexpr const char* make_temporary_file = R"(umask 077; set -C; : >"$1")";
constexpr const char* make_temporary_directory = R"(mkdir -m 700 -- "$1")";

model::Ptr<vim::GuestPosixFileAttributes> describe_attributes(const hypervisor::GuestFile& file) {
  vim::GuestPosixFileAttributes attributes;
  attributes.modificationTime = file.modified;
  attributes.accessTime = file.accessed;
  if (file.kind == hypervisor::GuestFile::Kind::symbolic_link)
    attributes.symlinkTarget = file.target;
  attributes.ownerId = static_cast<std::int32_t>(file.uid);
  attributes.groupId = static_cast<std::int32_t>(file.gid);
  attributes.permissions = file.permissions;
  return model::share(std::move(attributes));
}

const char* type_of(const hypervisor::GuestFile& file) {
  switch (file.kind) {
    case hypervisor::GuestFile::Kind::directory:
      return "directory";
    case hypervisor::GuestFile::Kind::symbolic_link:
      return "symlink";
    case hypervisor::GuestFile::Kind::file:
      break;
  }
  return "file";
}

vim::GuestFileInfo describe(const hypervisor::GuestFile& file) {
  vim::GuestFileInfo info;
  info.path = file.name;
  info.type = type_of(file);
  info.size = static_cast<std::int64_t>(std::min<std::uint64_t>(file.size, INT64_MAX));
  info.attributes = describe_attributes(file);
  return info;
}

void require_name_part(const std::string& part, const char* property) {
  if (part.find('/') != std::string::npos || part.find('\0') != std::string::npos)
    throw kernel::invalid_argument(property, fmt::format("'{}' is no part of a file's name", part));
}

}  // namespace

GuestFileManager::GuestFileManager(Host& host, GuestFileTransfers& transfers)
    : Implements(host.kernel.inventory, names::guest_file_manager),
      host_(host),
      transfers_(transfers) {}

Async<void> GuestFileManager::change(model::Call& call, MoRef vm,
                                     model::Ptr<vim::GuestAuthentication> auth, const char* script,
                                     std::vector<std::string> paths) {
  for (const auto& path : paths) require_guest_path(path, "path");
  const GuestSession session = co_await GuestSession::open(host_, call, vm, auth, guest_modify);
  const std::string subject = paths.front();
  co_await session.run(script, std::move(paths), subject);
}

Async<void> GuestFileManager::MakeDirectoryInGuest(model::Call& call,
                                                   const vim::MakeDirectoryInGuestRequestType& r) {
  return change(call, r.vm, r.auth, r.createParentDirectories ? make_directories : make_directory,
                {r.directoryPath});
}

Async<void> GuestFileManager::DeleteFileInGuest(model::Call& call,
                                                const vim::DeleteFileInGuestRequestType& r) {
  return change(call, r.vm, r.auth, delete_file, {r.filePath});
}

Async<void> GuestFileManager::DeleteDirectoryInGuest(
    model::Call& call, const vim::DeleteDirectoryInGuestRequestType& r) {
  return change(call, r.vm, r.auth, r.recursive ? delete_tree : delete_directory,
                {r.directoryPath});
}

Async<void> GuestFileManager::MoveDirectoryInGuest(model::Call& call,
                                                   const vim::MoveDirectoryInGuestRequestType& r) {
  return change(call, r.vm, r.auth, move_directory, {r.srcDirectoryPath, r.dstDirectoryPath});
}

Async<void> GuestFileManager::MoveFileInGuest(model::Call& call,
                                              const vim::MoveFileInGuestRequestType& r) {
  return change(call, r.vm, r.auth, r.overwrite ? replace_file : move_file,
                {r.srcFilePath, r.dstFilePath});
}

Async<std::string> GuestFileManager::make_temporary(model::Call& call, MoRef vm,
                                                    model::Ptr<vim::GuestAuthentication> auth,
                                                    const char* script, Temporary wanted) {
  require_name_part(wanted.prefix, "prefix");
  require_name_part(wanted.suffix, "suffix");
  const std::string directory = wanted.directory.value_or("").empty() ? "/tmp" : *wanted.directory;
  require_guest_path(directory, "directoryPath");
  const GuestSession session = co_await GuestSession::open(host_, call, vm, auth, guest_modify);
  const std::string path =
      fmt::format("{}/{}{}{}", directory, wanted.prefix, random_hex(8), wanted.suffix);
  std::vector<std::string> arguments = {path};
  co_await session.run(script, std::move(arguments), path);
  co_return path;
}

Async<std::string> GuestFileManager::CreateTemporaryFileInGuest(
    model::Call& call, const vim::CreateTemporaryFileInGuestRequestType& r) {
  return make_temporary(call, r.vm, r.auth, make_temporary_file,
                        {r.prefix, r.suffix, r.directoryPath});
}

Async<std::string> GuestFileManager::CreateTemporaryDirectoryInGuest(
    model::Call& call, const vim::CreateTemporaryDirectoryInGuestRequestType& r) {
  return make_temporary(call, r.vm, r.auth, make_temporary_directory,
                        {r.prefix, r.suffix, r.directoryPath});
}

Async<model::Ptr<vim::GuestListFileInfo>> GuestFileManager::ListFilesInGuest(
    model::Call& call, const vim::ListFilesInGuestRequestType& r) {
  require_guest_path(r.filePath, "filePath");
  const std::int64_t first = r.index.value_or(0), most = r.maxResults.value_or(kListed);
  if (first < 0) throw kernel::invalid_argument("index", "it is negative");
  if (most < 0) throw kernel::invalid_argument("maxResults", "it is negative");
  const GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_query);
  std::vector<std::string> arguments = {r.filePath, r.matchPattern.value_or("")};
  const std::string output =
      co_await session.run(hypervisor::file_list_script, std::move(arguments), r.filePath);
  const auto files = hypervisor::parse_file_list(output);
  const auto count = static_cast<std::int64_t>(files.size());
  const std::int64_t begin = std::min(first, count), end = std::min(begin + most, count);
  vim::GuestListFileInfo listing;
  for (std::int64_t i = begin; i < end; ++i)
    listing.files.push_back(model::share(describe(files[static_cast<std::size_t>(i)])));
  listing.remaining = static_cast<std::int32_t>(count - end);
  co_return model::share(std::move(listing));
}

Async<void> GuestFileManager::ChangeFileAttributesInGuest(
    model::Call& call, const vim::ChangeFileAttributesInGuestRequestType& r) {
  require_guest_path(r.guestFilePath, "guestFilePath");
  const FileAttributes attributes = read_attributes(*r.fileAttributes);
  const GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_modify);
  std::vector<std::string> arguments = attributes.arguments(r.guestFilePath);
  co_await session.run(set_attributes_script, std::move(arguments), r.guestFilePath);
}

Async<model::Ptr<vim::FileTransferInformation>> GuestFileManager::InitiateFileTransferFromGuest(
    model::Call& call, const vim::InitiateFileTransferFromGuestRequestType& r) {
  require_guest_path(r.guestFilePath, "guestFilePath");
  GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_query);
  const hypervisor::GuestFile file = co_await file_to_send(session, r.guestFilePath);
  vim::FileTransferInformation information;
  information.attributes = describe_attributes(file);
  information.size = static_cast<std::int64_t>(file.size);
  information.url = transfers_.offer(std::move(session), r.guestFilePath, file.size, call);
  co_return model::share(std::move(information));
}

Async<std::string> GuestFileManager::InitiateFileTransferToGuest(
    model::Call& call, const vim::InitiateFileTransferToGuestRequestType& r) {
  require_guest_path(r.guestFilePath, "guestFilePath");
  if (r.fileSize < 0) throw kernel::invalid_argument("fileSize", "it is negative");
  Arrival arrival{.path = r.guestFilePath,
                  .attributes = read_attributes(*r.fileAttributes),
                  .size = static_cast<std::uint64_t>(r.fileSize),
                  .overwrite = r.overwrite};
  GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_modify);
  co_await check_arrival(session, arrival);
  co_return transfers_.expect(std::move(session), std::move(arrival), call);
}

}  // namespace virga::host
