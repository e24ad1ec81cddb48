// What a PropertyFilterSpec asks for, worked out once against the schema and then read from the
// objects' snapshots as often as needed. Any thread: nothing here waits for a writer.
#pragma once

#include <bitset>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "kernel/kernel.h"
#include "model/property_path.h"
#include "vim/types.h"

namespace virga::kernel {

// Who reads.
struct Reader {
  std::string user;        // "" before login
  std::string session;     // its key; "" before login
  model::Version version;  // of the API the client speaks: what is newer does not exist for it

  static Reader of(const Call& call);
};

// The properties of a managed object as a set: bit i is the i-th in wire order. A type with more
// properties than bits folds them, which only makes a set larger than it need be.
using PropertySet = std::bitset<128>;

// The properties that differ between two snapshots of an object.
PropertySet changed_properties(const DataPtr& before, const DataPtr& after);

// One path on one type of managed object.
class RequestedProperty {
 public:
  // Throws InvalidProperty when the type has no such path, or not in this version.
  RequestedProperty(const model::ManagedInfo& type, std::string_view path, model::Version version);

  const std::string& path() const { return path_; }
  const model::PropertyPath& steps() const { return steps_; }
  // The object's own property that the path starts with.
  const model::FieldInfo& property() const { return *property_; }
  std::string_view privilege() const;

  // The value in a snapshot, sharing it; none when unset. An array of the object itself is never
  // unset, at most empty.
  Any read(const DataPtr& snapshot) const;
  // The references at the path: of one, or of an array of them.
  std::span<const MoRef> references(const DataPtr& snapshot) const;

 private:
  std::string path_;
  model::PropertyPath steps_;
  const model::FieldInfo* property_;
  // The field of each step, where the declared types name them all; empty where only the objects
  // can tell (array elements, fields of derived types).
  std::vector<const model::FieldInfo*> chain_;
};

// What is asked of the objects of one type.
struct TypeRequest {
  std::vector<RequestedProperty> properties;
  PropertySet touched;
};

// One step from objects of a type to those they refer to.
struct Traversal {
  const model::ManagedInfo* type;
  RequestedProperty path;
  PropertySet touched;                 // the property the path starts with, on `type` and below
  bool skip;                           // the objects found are passed through, not selected
  std::vector<const Traversal*> next;  // taken from each object found
};

// Where a selection starts and where it goes. Traversals may lead back to themselves.
struct SelectionPlan {
  struct Root {
    MoRef object;
    bool skip;
    std::vector<const Traversal*> next;
  };
  std::vector<Root> roots;
  std::deque<Traversal> traversals;  // at addresses that stay
};

// A PropertyFilterSpec, checked. Immutable but for the types it has met; one thread at a time.
class FilterPlan {
 public:
  // Throws InvalidProperty; InvalidType for a type the API does not have; InvalidArgument for a
  // selection that names none, ManagedObjectNotFound never: see missing_roots().
  FilterPlan(const vim::PropertyFilterSpec& spec, model::Version version);

  const SelectionPlan& selection() const { return *selection_; }
  std::shared_ptr<const SelectionPlan> shared_selection() const { return selection_; }
  bool report_missing() const { return report_missing_; }

  // What is asked of objects of this type; nullptr when they are not asked for at all.
  const TypeRequest* request(const model::ManagedInfo& type);

 private:
  struct Spec {
    const model::ManagedInfo* type;
    bool all;
    std::vector<std::string> paths;
  };
  void add_specs(const vim::PropertyFilterSpec& spec);
  TypeRequest make_request(const model::ManagedInfo& type) const;

  model::Version version_;
  bool report_missing_;
  std::vector<Spec> specs_;
  std::shared_ptr<const SelectionPlan> selection_;
  std::unordered_map<const model::ManagedInfo*, std::optional<TypeRequest>> requests_;
};

// What a reader may see, remembered for the length of one answer. One thread at a time.
class Access {
 public:
  Access(const Kernel& kernel, const Reader& reader);

  // Another session's own objects do not exist for this reader.
  bool sees(const Object& object) const;
  std::shared_ptr<Object> find(const MoRef& ref) const;
  bool allows(const Object& object, std::string_view privilege);
  // The fault that a property the reader may not have is reported with.
  Fault refusal(const Object& object, std::string_view privilege) const;

 private:
  bool decide(const Object& object, std::string_view privilege);

  const Kernel& kernel_;
  const Reader& reader_;
  std::shared_ptr<const AccessTable> table_;
  std::unordered_set<std::string> guarded_;  // entities with a permission of their own
  // Entities without one have the answer of their siblings: by parent and privilege.
  std::unordered_map<std::string, std::vector<std::pair<std::string_view, bool>>> answers_;
};

// The roots that do not exist for the reader.
std::vector<MoRef> missing_roots(const SelectionPlan& plan, const Access& access);

// The objects that the specs select with the properties they ask for, each object once, in the
// order found. Throws as FilterPlan does, and ManagedObjectNotFound for a missing root unless the
// spec wants to go on without.
model::List<vim::ObjectContent> retrieve(const Kernel& kernel, const Reader& reader,
                                         const model::List<vim::PropertyFilterSpec>& specs);

}  // namespace virga::kernel
