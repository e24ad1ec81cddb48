// Reading properties of many objects at once. Everything here reads the objects' snapshots, on any
// thread, and waits for nobody.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "kernel/access.h"
#include "kernel/filter_plan.h"

namespace virga::kernel {

// The objects a plan leads to, each once, in the order found.
std::vector<std::shared_ptr<Object>> select(const SelectionPlan& plan, const Access& access);

// The roots that do not exist for the reader.
std::vector<MoRef> missing_roots(const SelectionPlan& plan, const Access& access);

// The objects that the specs select with the properties they ask for, each object once. Throws as
// FilterPlan does, and ManagedObjectNotFound for a missing root unless its spec reports those in
// the results, where a single reading leaves them out.
model::List<vim::ObjectContent> retrieve(const Kernel& kernel, const Reader& reader,
                                         const model::List<vim::PropertyFilterSpec>& specs);

// A property that the reader may not have, in the API's words.
vim::MissingProperty missing_property(const RequestedProperty& property, const Fault& fault);

}  // namespace virga::kernel
