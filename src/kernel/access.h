// Who reads, and what it may see.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "kernel/faults.h"
#include "kernel/kernel.h"

namespace virga::kernel {

struct Reader {
  std::shared_ptr<const Session> session;  // nullptr before login
  model::Version version;                  // of the client's API: what is newer does not exist

  static Reader of(const Call& call) { return {call.session, call.version}; }
};

// What the reader may see, for the length of one answer: it remembers what it has found out. Reads
// only what any thread may; one thread at a time.
class Access {
 public:
  // `kernel` must outlive it.
  Access(const Kernel& kernel, Reader reader);

  const Reader& reader() const { return reader_; }
  // Whether permissions are still what its answers go by.
  bool is_current() const { return kernel_.authorization.table() == table_; }

  // Whether the object exists for the reader: another session's own objects do not.
  bool sees(const Object& object) const;
  // nullptr when it does not exist for the reader.
  std::shared_ptr<Object> find(const MoRef& ref) const;

  // A property's or entity's privilege. A session may do anything with its own objects.
  bool allows(const Object& object, std::string_view privilege);
  // Why not: NotAuthenticated or NoPermission.
  Fault refusal(const Object& object, std::string_view privilege) const;

 private:
  using Answers = std::vector<std::pair<std::string_view, bool>>;
  bool decide(const Object& object, std::string_view privilege) const;

  const Kernel& kernel_;
  const Reader reader_;
  const std::shared_ptr<const AccessTable> table_;
  std::vector<std::string> groups_;
  std::unordered_set<std::string> guarded_;  // moIds of entities with permissions of their own
  std::unordered_set<std::string> on_the_way_;  // AccessTable::on_the_way()
  // By the moId that the answer hangs on.
  std::unordered_map<std::string, Answers> answers_;
};

}  // namespace virga::kernel
