// Internal to the module: NFS 4.1 (RFC 8881) as far as it is spoken. Numbers and shapes are those
// of its XDR description, RFC 5662. Pure: arguments are made, results are read.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "nfs/export.h"
#include "nfs/v4/xdr.h"

namespace virga::nfs::v4 {

// nfs_opnum4
enum class Operation : std::uint32_t {
  close = 4,
  create = 6,
  getattr = 9,
  getfh = 10,
  link = 11,
  lookup = 15,
  open = 18,
  putfh = 22,
  putrootfh = 24,
  read = 25,
  readdir = 26,
  remove = 28,
  rename = 29,
  savefh = 32,
  setattr = 34,
  write = 38,
  exchange_id = 42,
  create_session = 43,
  destroy_session = 44,
  sequence = 53,
  destroy_clientid = 57,
  reclaim_complete = 58,
};

// nfsstat4: those that are told apart here. Any other number may come.
enum class Status : std::uint32_t {
  ok = 0,
  perm = 1,
  noent = 2,
  nxio = 6,
  access = 13,
  exist = 17,
  xdev = 18,
  notdir = 20,
  isdir = 21,
  inval = 22,
  fbig = 27,
  nospc = 28,
  rofs = 30,
  mlink = 31,
  nametoolong = 63,
  notempty = 66,
  dquot = 69,
  stale = 70,
  badhandle = 10001,
  notsupp = 10004,
  delay = 10008,
  locked = 10012,
  grace = 10013,
  fhexpired = 10014,
  wrongsec = 10016,
  minor_vers_mismatch = 10021,
  stale_clientid = 10022,
  symlink = 10029,
  badname = 10041,
  file_open = 10046,
  retry_uncached_rep = 10068,
};

int errno_of(Status status);

// The numbers of fattr4_*.
enum class Attribute : std::uint32_t {
  type = 1,
  size = 4,
  lease_time = 10,
  rdattr_error = 11,
  fileid = 20,
  files_avail = 21,
  files_free = 22,
  files_total = 23,
  maxread = 30,
  maxwrite = 31,
  mode = 33,
  numlinks = 35,
  owner = 36,
  owner_group = 37,
  space_avail = 42,
  space_free = 43,
  space_total = 44,
  space_used = 45,
  time_access = 47,
  time_access_set = 48,
  time_metadata = 52,
  time_modify = 53,
  time_modify_set = 54,
};

// In the order of their numbers, each.
using AttributeList = std::vector<Attribute>;
extern const AttributeList status_attributes;  // what a struct stat says
extern const AttributeList space_attributes;   // what a struct statvfs says
extern const AttributeList root_attributes;    // what is to be known of an export

struct Attributes {
  struct stat status {};
  struct statvfs space {};
  std::uint64_t max_read = 0, max_write = 0;  // bytes; 0: the server has not told
  std::uint32_t lease_time = 0;               // seconds
};

// "0" or "root@domain"; whoever is not told by number is nobody.
uid_t id_of(std::string_view owner);

// --- Arguments ---------------------------------------------------------------------------------

// The operations of a COMPOUND, in order, each on the file that the one before left current.
class Compound {
 public:
  Compound& put_root();
  Compound& put(const Handle& file);
  Compound& save();
  Compound& look_up(std::string_view name);
  Compound& get_handle();
  Compound& get_attributes(const AttributeList& wanted);
  Compound& set_attributes(const Change& change);
  Compound& make_folder(std::string_view name, mode_t mode);
  // Leaves the file open; `verifier` (8 bytes) tells a request that comes twice.
  Compound& open_to_create(std::string_view name, const Creation& creation,
                           std::string_view verifier);
  // Closes what was opened before in the same compound.
  Compound& close();
  Compound& remove(std::string_view name);
  Compound& rename(std::string_view name, std::string_view new_name);  // from the saved folder
  Compound& link(std::string_view name);                               // to the saved file
  Compound& read(std::uint64_t offset, std::size_t size);
  Compound& write(std::uint64_t offset, std::string_view bytes);
  Compound& list(std::uint64_t cookie, std::string_view verifier, std::uint32_t bytes);

  Compound& exchange_id(std::string_view verifier, std::string_view owner);
  Compound& create_session(std::uint64_t client, std::uint32_t sequence);
  Compound& reclaim_complete();
  Compound& destroy_session(std::string_view session);
  Compound& destroy_client(std::uint64_t client);

  // A reply to be kept by the server until the next call in the same slot: what must not be carried
  // out twice.
  Compound& once() {
    once_ = true;
    return *this;
  }
  bool is_once() const { return once_; }

  // COMPOUND4args; `sequence` is empty or what sequence_arguments() made.
  void encode(XdrWriter& out, std::string_view sequence) const;

 private:
  XdrWriter& add(Operation operation);

  XdrWriter operations_;
  std::uint32_t count_ = 0;
  bool once_ = false;
};

constexpr std::uint32_t max_slots = 64;  // of a session: calls at a time

struct Slot {
  std::uint32_t number = 0, sequence = 0, highest = 0;
};

// A SEQUENCE, which starts each compound in a session.
std::string sequence_arguments(std::string_view session, const Slot& slot, bool keep_reply);

// --- Results -----------------------------------------------------------------------------------
// All of them throw ErrorKind::damaged for what does not have the form. Those of an operation are
// called in the order in which the operations were added, after Results says ok.

constexpr std::size_t session_id_bytes = 16;
constexpr std::size_t verifier_bytes = 8;

class Results {
 public:
  // Of COMPOUND4res. Refers to the bytes.
  explicit Results(std::string_view compound);

  // Of the last operation that was carried out.
  Status status() const { return status_; }

  // Takes the SEQUENCE at the beginning; its own status.
  Status sequence();
  // Takes operations without results that matter.
  void skip(std::initializer_list<Operation> operations);

  Handle handle();
  Attributes attributes();
  void opened();
  Data data();
  std::size_t written();  // 0 unless it is on stable storage
  struct Listing {
    std::string verifier;
    std::vector<FolderEntry> entries;
    std::uint64_t cookie = 0;  // of the last entry
    bool at_end = false;
  };
  Listing listing();

  struct Client {
    std::uint64_t id = 0;
    std::uint32_t sequence = 0;
  };
  Client client();
  struct Session {
    std::string id;
    std::uint32_t max_request = 0, max_response = 0;  // bytes of a message
    std::uint32_t slots = 0;
  };
  Session session();

 private:
  Status take(Operation operation);
  void expect(Operation operation);

  XdrReader in_;
  Status status_;
};

}  // namespace virga::nfs::v4
