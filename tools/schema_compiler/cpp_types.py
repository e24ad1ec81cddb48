"""Emits vim/types.h: enums, data objects, requests and properties."""

from cpp import BANNER, Cpp, Struct, comment, identifier

_HEAD = """\
// The types of the vSphere API as C++: enums, data objects (faults and events among them), the
// requests of the served methods and the properties of the managed objects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "model/metadata.h"
#include "model/values.h"

namespace virga::vim {

using model::Any;
using model::Array;
using model::Binary;
using model::List;
using model::MoRef;
using model::Ptr;
using model::Time;

"""


def _enum(enum) -> str:
    values = "".join(f"  {identifier(v)},\n" for v in enum.values)
    return f"{comment(enum.doc)}enum class {enum.name} : std::int16_t {{\n{values}}};\n"


def _struct(struct: Struct) -> str:
    fields = "".join(f"{comment(f.member.doc, '  ')}  {f.declaration}\n" for f in struct.fields)
    return (f"{comment(struct.doc)}struct {struct.name} : {struct.base or 'model::DataObject'} {{\n"
            f"{fields}{chr(10) if fields else ''}"
            "  static const model::TypeInfo& static_type();\n"
            "  const model::TypeInfo& type_info() const override;\n"
            "};\n")


def types_header(cpp: Cpp) -> str:
    enums = list(cpp.schema.enums.values())
    data = cpp.data_structs()
    text = BANNER + _HEAD
    text += "".join(f"struct {s.name};\n" for s in sorted(data, key=lambda s: s.name)) + "\n"
    text += "\n".join(_enum(e) for e in enums)
    text += "\n" + "\n".join(_struct(s) for s in data)
    text += "\n// The parameters of each method, as one data object.\n\n"
    text += "\n".join(_struct(s) for s in cpp.request_structs())
    text += "\n// The properties of each managed object, as one data object.\n\n"
    text += "\n".join(_struct(s) for s in cpp.property_structs())
    text += "\n}  // namespace virga::vim\n\nnamespace virga::model {\n\n"
    for enum in enums:
        for type_ in (f"vim::{enum.name}", f"Array<vim::{enum.name}>"):
            text += f"template <>\nconst ValueType& value_type<{type_}>();\n"
    return text + "\n}  // namespace virga::model\n"
