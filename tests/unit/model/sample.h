// Objects of any type with a value in every field, made by metadata.
#pragma once

#include "model/metadata.h"

namespace virga::model::sample {

// An object of the type or, where it is abstract, of one derived from it. Values differ from field
// to field and are the same in every run. Optional objects end at some depth.
enum class Secrets : bool { leave_out, fill };
DataPtr object(const TypeInfo& type, Secrets secrets = Secrets::fill);

}  // namespace virga::model::sample
