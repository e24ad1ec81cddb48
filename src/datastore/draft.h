// Internal to the module: operations of several steps that are whole or never were.
//
// What an operation makes stands in the private folder until the single rename that counts, the one
// of its pivot. Steps that others can see before that rename, and those still owed after it, are
// recorded first. Whoever finds the record later, the same process on a failure or a sweep after a
// crash, looks whether the pivot is still there and knows which of them to carry out.
//
// The record is held by an OFD lock as long as its process lives, so that a sweep, on this host or
// on another that shares the folder, leaves work in progress alone. Where such locks do not reach
// other hosts (Datastore::leases()), each sweeps only what it began itself.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/beneath.h"
#include "datastore/datastore.h"

namespace virga::datastore {

// Done only while `path` is the file with that inode: what somebody else put there stays. Inode 0
// is any, for what lies in the private folder.
struct RecoveryStep {
  enum class Action { remove, rename, truncate };

  Action action = Action::remove;
  std::string path;
  ino_t inode = 0;
  std::string to;          // rename
  std::uint64_t size = 0;  // truncate, bytes
};

struct Recovery {
  std::vector<RecoveryStep> with_pivot;
  std::vector<RecoveryStep> without_pivot;
};

class Draft {
 public:
  explicit Draft(std::shared_ptr<const Datastore> datastore);
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  // Undoes or finishes, as the pivot says, and removes every trace. A failure is left to a sweep.
  ~Draft();

  // "PRIVATE/drafts/ID-part", in the datastore.
  std::string path(std::string_view part) const;
  std::string pivot() const { return path("pivot"); }
  Entry entry(std::string_view part) const;

  Fd create_file(std::string_view part) const;
  // The pivot, with its text on stable storage.
  void create_pivot(std::string_view text) const;

  // On stable storage when it returns. Once for a draft.
  void record(const Recovery& recovery) const;
  // What the destructor does, but errors are thrown. For the end of an operation that went well.
  void finish();

 private:
  std::shared_ptr<const Datastore> datastore_;
  std::string id_;
  Fd record_;
  bool finished_ = false;
};

}  // namespace virga::datastore
