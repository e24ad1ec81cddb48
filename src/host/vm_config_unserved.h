// Internal to vm_config: what a caller asks for and nobody would hear.
#pragma once

#include <set>
#include <string>

#include "model/data_object.h"

namespace virga::host {

using FieldPaths = std::set<std::string, std::less<>>;

// Throws NotSupported naming the first field of `asked` that is set and neither served nor what
// `granted` says anyway. A field that asks for nothing (false, "", an empty list or object) where
// `granted` has none passes.
//
// `granted` is the object as the API shows it afterwards; nullptr: there is none. `served` has the
// paths of fields dealt with otherwise, from `asked` on: "backing.fileName". `name` is what the
// message calls `asked`.
void refuse_unserved(const model::DataObject& asked, const model::DataObject* granted,
                     const FieldPaths& served, const std::string& name);

}  // namespace virga::host
