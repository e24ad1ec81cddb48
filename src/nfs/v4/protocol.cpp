#include "nfs/v4/protocol.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/error.h"

namespace virga::nfs::v4 {
namespace {

constexpr std::uint32_t kMinorVersion = 1;
constexpr std::uint64_t kBlock = 4096;  // of a struct statvfs
constexpr uid_t kNobody = 65534;

// stateid4, 16 bytes. The anonymous one reads and writes what nobody has opened; the current one is
// that of the compound's OPEN (RFC 8881, 8.2.3 and 16.2.3.1.2).
constexpr std::size_t kStateIdBytes = 16;
const std::string kAnonymousState(kStateIdBytes, '\0');
const std::string kCurrentState = XdrWriter().u32(1).bytes() + std::string(12, '\0');

enum FileType : std::uint32_t {
  kFile = 1,
  kFolder,
  kBlockDevice,
  kCharDevice,
  kLink,
  kSocket,
  kFifo
};
enum SetTime : std::uint32_t { kServerTime = 0, kClientTime = 1 };
enum CreateMode : std::uint32_t { kUnchecked = 0, kExclusive = 3 };
enum Delegation : std::uint32_t { kNoDelegation = 0, kNoDelegationBecause = 3 };
constexpr std::uint32_t kOpenCreate = 1;
constexpr std::uint32_t kClaimNull = 0;
constexpr std::uint32_t kShareBothWantNoDelegation = 0x0403;
constexpr std::uint32_t kFileSync = 2;
constexpr std::uint32_t kNoPnfs = 0x0001'0000;  // EXCHGID4_FLAG_USE_NON_PNFS
constexpr std::uint32_t kNoStateProtection = 0;
constexpr std::uint32_t kOpenOwnerUnused = 0;  // a session tells the client

// What this client wants of a session; a server may offer less.
constexpr std::uint32_t kMaxMessage = (1 << 20) + (64 << 10);
constexpr std::uint32_t kMaxKeptReply = 4 << 10;
constexpr std::uint32_t kMaxOperations = 64;

Error damaged(const char* what) {
  return error(ErrorKind::damaged, "NFS", "the server's answer has {}", what);
}

mode_t type_bits(std::uint32_t type) {
  switch (type) {
    case kFile:
      return S_IFREG;
    case kFolder:
      return S_IFDIR;
    case kBlockDevice:
      return S_IFBLK;
    case kCharDevice:
      return S_IFCHR;
    case kLink:
      return S_IFLNK;
    case kSocket:
      return S_IFSOCK;
    case kFifo:
      return S_IFIFO;
    default:
      return 0;
  }
}

// --- Attributes --------------------------------------------------------------------------------

void write_bitmap(XdrWriter& out, const AttributeList& attributes) {
  std::vector<std::uint32_t> words;
  for (const Attribute attribute : attributes) {
    const auto number = static_cast<std::uint32_t>(attribute);
    words.resize(std::max<std::size_t>(words.size(), number / 32 + 1));
    words[number / 32] |= 1U << number % 32;
  }
  out.u32(static_cast<std::uint32_t>(words.size()));
  for (const std::uint32_t word : words) out.u32(word);
}

AttributeList read_bitmap(XdrReader& in) {
  AttributeList attributes;
  const std::uint32_t words = in.u32();
  for (std::uint32_t i = 0; i < words; ++i) {
    const std::uint32_t word = in.u32();
    for (std::uint32_t bit = 0; bit < 32; ++bit)
      if ((word >> bit & 1U) != 0) attributes.push_back(static_cast<Attribute>(i * 32 + bit));
  }
  return attributes;
}

timespec read_time(XdrReader& in) {
  const auto seconds = static_cast<time_t>(in.u64());
  return {seconds, static_cast<long>(in.u32())};
}

void read_attribute(XdrReader& in, Attribute attribute, Attributes& out) {
  switch (attribute) {
    case Attribute::type:
      out.status.st_mode |= type_bits(in.u32());
      break;
    case Attribute::size:
      out.status.st_size = static_cast<off_t>(in.u64());
      break;
    case Attribute::lease_time:
      out.lease_time = in.u32();
      break;
    case Attribute::rdattr_error:
      in.u32();
      break;
    case Attribute::fileid:
      out.status.st_ino = in.u64();
      break;
    case Attribute::files_avail:
      out.space.f_favail = in.u64();
      break;
    case Attribute::files_free:
      out.space.f_ffree = in.u64();
      break;
    case Attribute::files_total:
      out.space.f_files = in.u64();
      break;
    case Attribute::maxread:
      out.max_read = in.u64();
      break;
    case Attribute::maxwrite:
      out.max_write = in.u64();
      break;
    case Attribute::mode:
      out.status.st_mode |= in.u32() & 07777;
      break;
    case Attribute::numlinks:
      out.status.st_nlink = in.u32();
      break;
    case Attribute::owner:
      out.status.st_uid = id_of(in.opaque());
      break;
    case Attribute::owner_group:
      out.status.st_gid = id_of(in.opaque());
      break;
    case Attribute::space_avail:
      out.space.f_bavail = in.u64() / kBlock;
      break;
    case Attribute::space_free:
      out.space.f_bfree = in.u64() / kBlock;
      break;
    case Attribute::space_total:
      out.space.f_blocks = in.u64() / kBlock;
      break;
    case Attribute::space_used:
      out.status.st_blocks = static_cast<blkcnt_t>(in.u64() / 512);
      break;
    case Attribute::time_access:
      out.status.st_atim = read_time(in);
      break;
    case Attribute::time_metadata:
      out.status.st_ctim = read_time(in);
      break;
    case Attribute::time_modify:
      out.status.st_mtim = read_time(in);
      break;
    default:
      throw damaged("an attribute that was not asked for");
  }
}

Attributes read_attributes(XdrReader& in) {
  Attributes attributes;
  attributes.status.st_blksize = kBlock;
  attributes.space.f_bsize = attributes.space.f_frsize = kBlock;
  attributes.space.f_namemax = 255;
  const AttributeList present = read_bitmap(in);
  XdrReader values(in.opaque());
  for (const Attribute attribute : present) read_attribute(values, attribute, attributes);
  return attributes;
}

void write_time(XdrWriter& out, const timespec& time) {
  if (time.tv_nsec == UTIME_NOW) {
    out.u32(kServerTime);
    return;
  }
  out.u32(kClientTime).u64(static_cast<std::uint64_t>(time.tv_sec));
  out.u32(static_cast<std::uint32_t>(time.tv_nsec));
}

void write_change(XdrWriter& out, const Change& change) {
  AttributeList changed;
  XdrWriter values;
  if (change.size) {
    changed.push_back(Attribute::size);
    values.u64(*change.size);
  }
  if (change.mode) {
    changed.push_back(Attribute::mode);
    values.u32(*change.mode & 07777);
  }
  if (change.owner) {
    changed.push_back(Attribute::owner);
    values.opaque(std::to_string(*change.owner));
  }
  if (change.group) {
    changed.push_back(Attribute::owner_group);
    values.opaque(std::to_string(*change.group));
  }
  if (change.access_time) {
    changed.push_back(Attribute::time_access_set);
    write_time(values, *change.access_time);
  }
  if (change.modification_time) {
    changed.push_back(Attribute::time_modify_set);
    write_time(values, *change.modification_time);
  }
  write_bitmap(out, changed);
  out.opaque(values.bytes());
}

void write_channel(XdrWriter& out, std::uint32_t slots) {
  out.u32(0 /* header padding */).u32(kMaxMessage).u32(kMaxMessage).u32(kMaxKeptReply);
  out.u32(kMaxOperations).u32(slots).u32(0 /* RDMA */);
}

void skip_change_info(XdrReader& in) {
  in.fixed(20);
}

}  // namespace

const AttributeList status_attributes = [] {
  using enum Attribute;
  return AttributeList{type,        size,       fileid,      mode,          numlinks,   owner,
                       owner_group, space_used, time_access, time_metadata, time_modify};
}();
const AttributeList space_attributes = [] {
  using enum Attribute;
  return AttributeList{files_avail, files_free, files_total, space_avail, space_free, space_total};
}();
const AttributeList root_attributes = {Attribute::type, Attribute::maxread, Attribute::maxwrite};

uid_t id_of(std::string_view owner) {
  if (owner == "root" || owner.starts_with("root@")) return 0;
  uid_t id = kNobody;
  const auto [end, failure] = std::from_chars(owner.data(), owner.data() + owner.size(), id);
  return failure == std::errc() && end == owner.data() + owner.size() ? id : kNobody;
}

int errno_of(Status status) {
  switch (status) {
    case Status::ok:
      return 0;
    case Status::perm:
      return EPERM;
    case Status::noent:
      return ENOENT;
    case Status::nxio:
      return ENXIO;
    case Status::access:
    case Status::wrongsec:
      return EACCES;
    case Status::exist:
      return EEXIST;
    case Status::xdev:
      return EXDEV;
    case Status::notdir:
    case Status::symlink:  // a folder was needed
      return ENOTDIR;
    case Status::isdir:
      return EISDIR;
    case Status::inval:
    case Status::badname:
      return EINVAL;
    case Status::fbig:
      return EFBIG;
    case Status::nospc:
      return ENOSPC;
    case Status::rofs:
      return EROFS;
    case Status::mlink:
      return EMLINK;
    case Status::nametoolong:
      return ENAMETOOLONG;
    case Status::notempty:
      return ENOTEMPTY;
    case Status::dquot:
      return EDQUOT;
    case Status::stale:
    case Status::badhandle:
    case Status::fhexpired:
      return ESTALE;
    case Status::notsupp:
      return EOPNOTSUPP;
    case Status::locked:
    case Status::file_open:
      return EBUSY;
    default:
      return EIO;
  }
}

// --- Arguments ---------------------------------------------------------------------------------

XdrWriter& Compound::add(Operation operation) {
  ++count_;
  return operations_.u32(static_cast<std::uint32_t>(operation));
}

Compound& Compound::put_root() {
  add(Operation::putrootfh);
  return *this;
}

Compound& Compound::put(const Handle& file) {
  add(Operation::putfh).opaque(file);
  return *this;
}

Compound& Compound::save() {
  add(Operation::savefh);
  return *this;
}

Compound& Compound::look_up(std::string_view name) {
  add(Operation::lookup).opaque(name);
  return *this;
}

Compound& Compound::get_handle() {
  add(Operation::getfh);
  return *this;
}

Compound& Compound::get_attributes(const AttributeList& wanted) {
  write_bitmap(add(Operation::getattr), wanted);
  return *this;
}

Compound& Compound::set_attributes(const Change& change) {
  write_change(add(Operation::setattr).fixed(kAnonymousState), change);
  return *this;
}

Compound& Compound::make_folder(std::string_view name, mode_t mode) {
  Change change;
  change.mode = mode;
  write_change(add(Operation::create).u32(kFolder).opaque(name), change);
  return *this;
}

Compound& Compound::open_to_create(std::string_view name, const Creation& creation,
                                   std::string_view verifier) {
  Change change;
  change.mode = creation.mode;
  if (creation.truncate && !creation.exclusive) change.size = 0;
  XdrWriter& out = add(Operation::open);
  out.u32(0 /* seqid: a session has its own */).u32(kShareBothWantNoDelegation).u32(0 /* deny */);
  out.u64(kOpenOwnerUnused).opaque(verifier);
  out.u32(kOpenCreate).u32(creation.exclusive ? kExclusive : kUnchecked);
  if (creation.exclusive) out.fixed(verifier);
  write_change(out, change);
  out.u32(kClaimNull).opaque(name);
  return *this;
}

Compound& Compound::close() {
  add(Operation::close).u32(0 /* seqid */).fixed(kCurrentState);
  return *this;
}

Compound& Compound::remove(std::string_view name) {
  add(Operation::remove).opaque(name);
  return *this;
}

Compound& Compound::rename(std::string_view name, std::string_view new_name) {
  add(Operation::rename).opaque(name).opaque(new_name);
  return *this;
}

Compound& Compound::link(std::string_view name) {
  add(Operation::link).opaque(name);
  return *this;
}

Compound& Compound::read(std::uint64_t offset, std::size_t size) {
  add(Operation::read).fixed(kAnonymousState).u64(offset).u32(static_cast<std::uint32_t>(size));
  return *this;
}

Compound& Compound::write(std::uint64_t offset, std::string_view bytes) {
  add(Operation::write).fixed(kAnonymousState).u64(offset).u32(kFileSync).opaque(bytes);
  return *this;
}

Compound& Compound::list(std::uint64_t cookie, std::string_view verifier, std::uint32_t bytes) {
  XdrWriter& out = add(Operation::readdir).u64(cookie).fixed(verifier).u32(bytes).u32(bytes);
  write_bitmap(out, {Attribute::rdattr_error, Attribute::fileid});
  return *this;
}

Compound& Compound::exchange_id(std::string_view verifier, std::string_view owner) {
  add(Operation::exchange_id).fixed(verifier).opaque(owner).u32(kNoPnfs).u32(kNoStateProtection);
  operations_.u32(0 /* who made this client: untold */);
  return *this;
}

Compound& Compound::create_session(std::uint64_t client, std::uint32_t sequence) {
  XdrWriter& out = add(Operation::create_session).u64(client).u32(sequence).u32(0 /* flags */);
  write_channel(out, max_slots);
  write_channel(out, 1);  // back; it is never bound
  out.u32(0 /* callback program */).u32(1 /* security flavors */).u32(0 /* AUTH_NONE */);
  return *this;
}

Compound& Compound::reclaim_complete() {
  add(Operation::reclaim_complete).boolean(false);  // for all file systems
  return *this;
}

Compound& Compound::destroy_session(std::string_view session) {
  add(Operation::destroy_session).fixed(session);
  return *this;
}

Compound& Compound::destroy_client(std::uint64_t client) {
  add(Operation::destroy_clientid).u64(client);
  return *this;
}

void Compound::encode(XdrWriter& out, std::string_view sequence) const {
  out.opaque("").u32(kMinorVersion).u32(count_ + (sequence.empty() ? 0 : 1));
  out.fixed(sequence).fixed(operations_.bytes());
}

std::string sequence_arguments(std::string_view session, const Slot& slot, bool keep_reply) {
  XdrWriter out;
  out.u32(static_cast<std::uint32_t>(Operation::sequence)).fixed(session).u32(slot.sequence);
  out.u32(slot.number).u32(slot.highest).boolean(keep_reply);
  return out.bytes();
}

// --- Results -----------------------------------------------------------------------------------

Results::Results(std::string_view compound) : in_(compound), status_(Status(in_.u32())) {
  in_.opaque();  // the tag
  in_.u32();     // how many results there are
}

Status Results::take(Operation operation) {
  if (in_.u32() != static_cast<std::uint32_t>(operation))
    throw damaged("the result of another operation");
  return Status(in_.u32());
}

void Results::expect(Operation operation) {
  if (take(operation) != Status::ok) throw damaged("a failure in the middle");
}

Status Results::sequence() {
  const Status status = take(Operation::sequence);
  if (status == Status::ok) in_.fixed(session_id_bytes + 5 * 4);
  return status;
}

void Results::skip(std::initializer_list<Operation> operations) {
  for (const Operation operation : operations) {
    expect(operation);
    switch (operation) {
      case Operation::create:
        skip_change_info(in_);
        read_bitmap(in_);
        break;
      case Operation::setattr:
        read_bitmap(in_);
        break;
      case Operation::close:
        in_.fixed(kStateIdBytes);
        break;
      case Operation::putrootfh:
      case Operation::putfh:
      case Operation::savefh:
      case Operation::lookup:
      case Operation::reclaim_complete:
        break;
      default:
        throw std::logic_error("the operation's results are not skipped");
    }
  }
}

Handle Results::handle() {
  expect(Operation::getfh);
  return Handle(in_.opaque());
}

Attributes Results::attributes() {
  expect(Operation::getattr);
  return read_attributes(in_);
}

void Results::opened() {
  expect(Operation::open);
  in_.fixed(kStateIdBytes);
  skip_change_info(in_);
  in_.u32();  // flags
  read_bitmap(in_);
  const std::uint32_t delegation = in_.u32();
  if (delegation == kNoDelegation) return;
  if (delegation != kNoDelegationBecause) throw damaged("a delegation that was not wanted");
  const std::uint32_t why = in_.u32();
  constexpr std::uint32_t contention = 1, resource = 2;
  if (why == contention || why == resource) in_.u32();
}

Data Results::data() {
  expect(Operation::read);
  const bool at_end = in_.boolean();
  return {in_.opaque(), at_end};
}

std::size_t Results::written() {
  expect(Operation::write);
  const std::uint32_t count = in_.u32();
  const bool stable = in_.u32() == kFileSync;
  in_.fixed(verifier_bytes);
  return stable ? count : 0;
}

Results::Listing Results::listing() {
  expect(Operation::readdir);
  Listing listing;
  listing.verifier = in_.fixed(verifier_bytes);
  while (in_.boolean()) {
    listing.cookie = in_.u64();
    std::string name(in_.opaque());
    listing.entries.push_back({std::move(name), read_attributes(in_).status.st_ino});
  }
  listing.at_end = in_.boolean();
  return listing;
}

Results::Client Results::client() {
  expect(Operation::exchange_id);
  Client client;
  client.id = in_.u64();
  client.sequence = in_.u32();
  return client;
}

Results::Session Results::session() {
  expect(Operation::create_session);
  Session session;
  session.id = in_.fixed(session_id_bytes);
  in_.u32();  // sequence
  in_.u32();  // flags
  in_.u32();  // header padding
  session.max_request = in_.u32();
  session.max_response = in_.u32();
  in_.u32();  // bytes of a kept reply
  in_.u32();  // operations
  session.slots = in_.u32();
  return session;
}

}  // namespace virga::nfs::v4
