// The objects of a daemon, by reference, and who wants to hear of their changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/async.h"
#include "kernel/object.h"

namespace virga::kernel {

// Hears of objects, on the kernel executor, in the order of the changes. A watcher may not change
// objects from inside these calls; it notes what it needs and acts later.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void object_added(Object&) {}
  virtual void object_changed(Object&, const DataPtr& /*before*/) {}
  virtual void object_removed(Object&) {}
};

struct MoRefHash {
  std::size_t operator()(const MoRef& ref) const {
    return std::hash<std::string>()(ref.value) * 31 + std::hash<std::string>()(ref.type);
  }
};

class Inventory {
 public:
  explicit Inventory(asio::any_io_executor kernel) : kernel_(std::move(kernel)) {}

  asio::any_io_executor executor() const { return kernel_; }

  // Any thread. nullptr when there is none. A reference whose type is a base of the object's own
  // ("ManagedEntity") finds it as well; so does one without a type.
  std::shared_ptr<Object> find(const MoRef& ref) const;
  // Throws the API's ManagedObjectNotFound.
  std::shared_ptr<Object> get(const MoRef& ref) const;

  // The number of changes so far: grows with every change, addition and removal. Any thread.
  std::uint64_t sequence() const { return sequence_.load(std::memory_order_acquire); }

  // Kernel executor from here on.
  void add(std::shared_ptr<Object> object);
  template <class T, class... Args>
  std::shared_ptr<T> emplace(Args&&... args) {
    auto object = std::make_shared<T>(std::forward<Args>(args)...);
    add(object);
    return object;
  }
  // Watchers hear of the removal while the object can still be read.
  void remove(const MoRef& ref);
  std::vector<std::shared_ptr<Object>> all() const;

  // Changes and removal of one object. The watcher must call unwatch before it ends.
  void watch(const MoRef& ref, Watcher* watcher);
  void unwatch(const MoRef& ref, Watcher* watcher);
  // Additions and removals of all objects (changes not).
  void watch_membership(Watcher* watcher);
  void unwatch_membership(Watcher* watcher);

  // A fresh identifier, "PREFIX-N" or "PREFIXN" style as the caller formats it.
  std::uint64_t next_number() { return ++numbers_; }

 private:
  friend class Object;
  void changed(Object& object, const DataPtr& before);

  struct Entry {
    std::shared_ptr<Object> object;
    std::vector<Watcher*> watchers;
  };

  asio::any_io_executor kernel_;
  std::atomic<std::uint64_t> sequence_{0};
  std::uint64_t numbers_ = 0;
  mutable std::shared_mutex mutex_;    // guards the map's shape, not the objects
  std::unordered_map<std::string, Entry> entries_;    // by MoRef::value: unique within a daemon
  std::vector<Watcher*> membership_watchers_;
};

}  // namespace virga::kernel
