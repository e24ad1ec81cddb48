#include "host/vm_config_unserved.h"

#include "kernel/faults.h"
#include "model/metadata.h"
#include "vim/types.h"

namespace virga::host {
namespace {

using model::DataObject;
using model::FieldInfo;
using model::Kind;
using model::ValueType;

const DataObject* as_data(const ValueType& type, const void* value) {
  return type.kind == Kind::data ? static_cast<const DataObject*>(value) : nullptr;
}

bool asks_nothing(const ValueType& type, const void* value);

bool asks_nothing(const DataObject& object) {
  bool nothing = true;
  object.type_info().for_each_field([&](const FieldInfo& field) {
    const void* value = field.get(object);
    nothing = nothing && (!value || asks_nothing(*field.type, value));
  });
  return nothing;
}

bool asks_nothing(const ValueType& type, const void* value) {
  switch (type.kind) {
    case Kind::boolean:
      return !*static_cast<const bool*>(value);
    case Kind::string:
      return static_cast<const std::string*>(value)->empty();
    case Kind::array:
      return type.size(value) == 0;
    case Kind::data:
      return asks_nothing(*static_cast<const DataObject*>(value));
    default:
      return false;
  }
}

// The number of shares counts at level custom only.
bool same_shares(const DataObject& asked, const DataObject* granted) {
  if (!granted || &asked.type_info() != &vim::SharesInfo::static_type() ||
      &granted->type_info() != &vim::SharesInfo::static_type())
    return false;
  const auto& wanted = static_cast<const vim::SharesInfo&>(asked);
  return wanted.level != vim::SharesLevel::custom &&
         wanted.level == static_cast<const vim::SharesInfo&>(*granted).level;
}

void refuse(const DataObject& asked, const DataObject* granted, const FieldPaths& served,
            const std::string& path, const std::string& name) {
  if (same_shares(asked, granted)) return;
  asked.type_info().for_each_field([&](const FieldInfo& field) {
    const std::string field_path = path + std::string(field.name);
    const void* value = field.get(asked);
    if (!value || served.contains(field_path)) return;
    const FieldInfo* other = granted ? granted->type_info().field(field.name) : nullptr;
    const void* present = other ? other->get(*granted) : nullptr;
    if (present && other->type == field.type && field.type->equal(value, present)) return;
    const DataObject* part = as_data(*field.type, value);
    // What sort of object it is says something too: to encrypt needs no more words.
    const bool is_special = part && &part->type_info() != field.type->data;
    if (part && (present || !is_special)) {
      refuse(*part, present ? as_data(*other->type, present) : nullptr, served, field_path + ".",
             name);
    } else if (present || is_special || !asks_nothing(*field.type, value)) {
      throw kernel::not_supported(name + "." + field_path);
    }
  });
}

}  // namespace

void refuse_unserved(const DataObject& asked, const DataObject* granted, const FieldPaths& served,
                     const std::string& name) {
  refuse(asked, granted, served, "", name);
}

}  // namespace virga::host
