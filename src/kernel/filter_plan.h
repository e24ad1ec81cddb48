// What a PropertyFilterSpec asks for, checked against the schema: which objects, and what of each.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/requested_property.h"
#include "vim/types.h"

namespace virga::kernel {

// One step from objects of a type to those they refer to.
struct Traversal {
  const model::ManagedInfo* type;
  RequestedProperty path;
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

  SelectionPlan() = default;
  SelectionPlan(SelectionPlan&&) = default;  // a copy would point into the original
  SelectionPlan& operator=(SelectionPlan&&) = default;

  std::vector<Root> roots;
  std::deque<Traversal> traversals;  // at addresses that stay
};

// What is asked of the objects of one type.
struct TypeRequest {
  std::vector<RequestedProperty> properties;
  PropertySet touched;  // the object's own properties that the paths start with
};

class FilterPlan {
 public:
  // Throws InvalidProperty for a path that the version's API does not have, InvalidType for a type,
  // InvalidArgument for a selection by a name that no traversal has.
  FilterPlan(const vim::PropertyFilterSpec& spec, model::Version version);

  // Immutable, and lives as long as anybody holds it.
  const std::shared_ptr<const SelectionPlan>& selection() const { return selection_; }
  bool report_missing() const { return report_missing_; }

  // What is asked of objects of this type; nullptr when nothing is, not even that they are. Valid
  // as long as the plan. One thread at a time.
  const TypeRequest* request(const model::ManagedInfo& type);

 private:
  struct Requested {
    const model::ManagedInfo* type;
    bool all;
    std::vector<RequestedProperty> properties;
  };
  void add(const vim::PropertySpec& spec);
  std::optional<TypeRequest> make_request(const model::ManagedInfo& type) const;

  model::Version version_;
  bool report_missing_;
  std::vector<Requested> requested_;
  std::shared_ptr<const SelectionPlan> selection_;
  std::unordered_map<const model::ManagedInfo*, std::optional<TypeRequest>> requests_;
};

}  // namespace virga::kernel
