// The VI JSON binding: data objects as JSON objects with "_typeName", references as
// {"_typeName": "ManagedObjectReference", "type": …, "value": …}, arrays in an anyType as
// {"_typeName": "ArrayOfX", "_value": […]}, boxed primitives as {"_typeName": "int", "_value": 5},
// dateTime as RFC 3339, long as a number, binary as base64. Unset fields are left out.
// Errors as in soap.h.
#pragma once

#include <string>
#include <string_view>

#include "model/fault.h"
#include "model/metadata.h"

namespace virga::model::json_binding {

// The body of a method's POST: an object with the parameters as members. "" reads as {}.
DataPtr read_request(const MethodInfo& method, std::string_view body);
// A method's result or a property's value as a response body; "" for none.
std::string write_result(const ValueType& declared, const Any& value, Version client);
std::string write_fault(const Fault& fault, Version client);

// Data objects as self-describing text, all fields: what the database keeps. Reading passes over
// fields this schema does not know and leaves missing ones at their default, so that what another
// version of Virga wrote can be read.
std::string write_object(const DataObject& object);
DataPtr read_object(std::string_view text);

}  // namespace virga::model::json_binding
