"""Emits what reflection knows of the types: vim/metadata.h (for the generated code alone) and the
sources with the tables. They are split into several files so that they compile side by side."""

from cpp import BANNER, Cpp, Struct, quoted, version
from model import Managed, Method

_TYPE_FILES = 8


def metadata_header(cpp: Cpp) -> str:
    schema = cpp.schema
    text = BANNER + """\
// The metadata the generated sources refer to among themselves. Others use model/metadata.h.
#pragma once

#include "model/metadata.h"
#include "model/value_ops.h"
#include "vim/types.h"

namespace virga::vim {

using model::EnumInfo;
using model::FieldInfo;
using model::Holder;
using model::ManagedInfo;
using model::MethodInfo;
using model::TypeInfo;
using model::ValueType;
using model::Version;
namespace builtin = model::builtin;

constexpr Version since(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {{a, b, c, d}};
}

namespace enums {
"""
    text += "".join(f"extern const EnumInfo {name};\n" for name in schema.enums)
    text += "}  // namespace enums\n\nnamespace types {\n"
    structs = cpp.data_structs()
    others = cpp.request_structs() + cpp.property_structs()
    text += "".join(f"extern const TypeInfo {s.name};\n" for s in structs + others)
    text += "}  // namespace types\n\nnamespace values {\n"
    text += "".join(f"extern const ValueType {name}, ArrayOf{name};\n" for name in schema.enums)
    text += "".join(f"extern const ValueType {s.name}, ArrayOf{s.name};\n" for s in structs)
    text += "".join(f"extern const ValueType {s.name};\n" for s in others)
    text += "}  // namespace values\n\nnamespace objects {\n"
    text += "".join(f"extern const ManagedInfo {name};\n" for name in schema.managed)
    text += "}  // namespace objects\n\n"
    for managed in schema.served():
        if managed.methods:
            text += f"extern const MethodInfo {managed.name}_methods[{len(managed.methods)}];\n"
    return text + "\n}  // namespace virga::vim\n"


_SOURCE_HEAD = """\
#include "vim/metadata.h"

namespace virga::vim {

"""
_SOURCE_TAIL = "\n}  // namespace virga::vim\n"


def _enum_source(cpp: Cpp) -> str:
    enums = cpp.schema.enums.values()
    text = BANNER + _SOURCE_HEAD + "namespace {\n"
    for enum in enums:
        values = ", ".join(quoted(v) for v in enum.values)
        text += f"constexpr std::string_view {enum.name}_values[] = {{{values}}};\n"
    text += "}  // namespace\n\nnamespace enums {\n"
    for enum in enums:
        text += (f"constinit const EnumInfo {enum.name} = {{{quoted(enum.name)}, "
                 f"{version(enum.since)}, {enum.name}_values,\n"
                 f"    &values::{enum.name}, &values::ArrayOf{enum.name}}};\n")
    text += "}  // namespace enums\n\nnamespace values {\n"
    for enum in enums:
        text += (f"constinit const ValueType {enum.name} =\n    model::enum_value_type"
                 f"<vim::{enum.name}>({quoted(enum.name)}, enums::{enum.name});\n")
        text += (f"constinit const ValueType ArrayOf{enum.name} =\n    model::enum_array_type"
                 f"<vim::{enum.name}>({quoted('ArrayOf' + enum.name)}, {enum.name}, "
                 f"enums::{enum.name});\n")
    text += "}  // namespace values\n" + _SOURCE_TAIL + "\nnamespace virga::model {\n\n"
    for enum in enums:
        for type_, value in ((f"vim::{enum.name}", enum.name),
                             (f"Array<vim::{enum.name}>", f"ArrayOf{enum.name}")):
            text += (f"template <>\nconst ValueType& value_type<{type_}>() {{\n"
                     f"  return vim::values::{value};\n}}\n")
    return text + "\n}  // namespace virga::model\n"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _field_rows(struct: Struct) -> str:
    rows = ""
    for field in struct.fields:
        member = field.member
        optional = f"&model::optional_access<{field.optional}>" if field.optional else "nullptr"
        rows += (f"    {{{quoted(member.name)}, &{field.value}, {version(field.since)}, "
                 f"offsetof({struct.name}, {field.name}),\n     Holder::{field.holder}, "
                 f"{_boolean(not member.type.optional)}, {_boolean(member.secret)}, "
                 f"{quoted(member.privilege)}, {optional}}},\n")
    return rows


def _struct_source(structs: list[Struct]) -> str:
    # The metadata counts offsets from the first byte, where single inheritance puts the DataObject.
    text = (BANNER + "#include <cstddef>\n\n" + _SOURCE_HEAD
            + '#pragma GCC diagnostic ignored "-Winvalid-offsetof"\n\n')
    for s in structs:
        fields = "{}"
        if s.fields:
            fields = f"{s.name}_fields"
            text += f"static constexpr FieldInfo {fields}[] = {{\n{_field_rows(s)}}};\n"
        base = f"&types::{s.base}" if s.base else "nullptr"
        array = f"&values::ArrayOf{s.name}" if s.public else "nullptr"
        text += (f"constinit const TypeInfo types::{s.name} = {{\n"
                 f"    {quoted(s.name)}, {base}, {version(s.since)}, {fields},\n"
                 f"    model::create_data<vim::{s.name}>, model::copy_data<vim::{s.name}>, "
                 f"{_boolean(s.extensible)}, {_boolean(s.internal)},\n"
                 f"    &values::{s.name}, {array}}};\n"
                 f"constinit const ValueType values::{s.name} =\n"
                 f"    model::data_value_type({quoted(s.name)}, types::{s.name});\n")
        if s.public:
            text += (f"constinit const ValueType values::ArrayOf{s.name} =\n"
                     "    model::data_array_type("
                     f"{quoted('ArrayOf' + s.name)}, values::{s.name}, types::{s.name});\n")
        text += (f"const TypeInfo& {s.name}::static_type() {{ return types::{s.name}; }}\n"
                 f"const TypeInfo& {s.name}::type_info() const {{ return types::{s.name}; }}\n\n")
    return text + _SOURCE_TAIL


def _shares(structs: list[Struct]) -> list[list[Struct]]:
    """The structs in _TYPE_FILES parts of about the same work for the C++ compiler."""
    weights = [3 + len(s.fields) for s in structs]
    shares: list[list[Struct]] = [[] for _ in range(_TYPE_FILES)]
    done = 0
    for struct, weight in zip(structs, weights):
        shares[done * _TYPE_FILES // sum(weights)].append(struct)
        done += weight
    return shares


def _method_row(cpp: Cpp, managed: Managed, method: Method) -> str:
    result = task_result = "nullptr"
    if method.task:
        result = "&builtin::reference"
    if method.result:
        value = "&" + cpp.value(method.result)
        if method.task:
            task_result = value
        else:
            result = value
    optional = bool(method.result and method.result.optional and not method.task)
    faults = f"{managed.name}_{method.name}_faults" if method.throws else "{}"
    return (f"    {{{quoted(method.name)}, {quoted(method.request_name)}, "
            f"{version(method.since or managed.since)}, {quoted(method.privilege)},\n"
            f"     &types::{method.request_name}, {result}, {task_result}, {_boolean(optional)}, "
            f"{faults},\n"
            f"     model::Invocation<&{managed.name}::{method.name}>::invoke}},\n")


def _strings(name: str, values: list[str]) -> str:
    return (f"static constexpr std::string_view {name}[] = {{"
            + ", ".join(quoted(v) for v in values) + "};\n")


def _object_source(cpp: Cpp) -> str:
    text = BANNER + '#include "model/invoke.h"\n#include "vim/interfaces.h"\n' + _SOURCE_HEAD
    for managed in cpp.schema.managed.values():
        name = managed.name
        methods = unserved = "{}"
        for method in managed.methods:
            if method.throws:
                text += _strings(f"{name}_{method.name}_faults", method.throws)
        if managed.methods:
            methods = f"{name}_methods"
            rows = "".join(_method_row(cpp, managed, m) for m in managed.methods)
            text += f"constinit const MethodInfo {methods}[] = {{\n{rows}}};\n"
        if managed.unserved:
            unserved = f"{name}_unserved"
            text += _strings(unserved, managed.unserved)
        base = f"&objects::{managed.base}" if managed.base else "nullptr"
        properties = f"&types::{_served_ancestor(cpp, managed)}Properties"
        text += (f"constinit const ManagedInfo objects::{name} = {{\n"
                 f"    {quoted(name)}, {base}, {version(managed.since)}, {properties}, {methods},\n"
                 f"    {unserved}, {_boolean(managed.internal)}, {_boolean(managed.absent)}}};\n")
        if not managed.absent:
            text += (f"const ManagedInfo& {name}::static_info() {{ return objects::{name}; }}\n"
                     f"const ManagedInfo& {name}::info() const {{ return objects::{name}; }}\n")
        text += "\n"
    return text + _SOURCE_TAIL


def _served_ancestor(cpp: Cpp, managed: Managed) -> str:
    while managed.absent:
        managed = cpp.schema.managed[managed.base]
    return managed.name


def _table(kind: str, name: str, namespace: str, names: list[str]) -> str:
    rows = "".join(f"    &{namespace}::{n},\n" for n in sorted(names))
    return f"static constexpr const {kind}* {name}[] = {{\n{rows}}};\n"


def _lookup_source(cpp: Cpp) -> str:
    schema = cpp.schema
    text = BANNER + "#include <algorithm>\n#include <iterator>\n\n" + _SOURCE_HEAD
    text += _table("TypeInfo", "type_table", "types", list(schema.data))
    text += _table("EnumInfo", "enum_table", "enums", list(schema.enums))
    text += _table("ManagedInfo", "managed_table", "objects", list(schema.managed))
    text += """
// The entry of a table sorted by name.
template <class Info, std::size_t size>
static const Info* find(const Info* const (&table)[size], std::string_view name) {
  auto found = std::ranges::lower_bound(table, name, {}, &Info::name);
  return found != std::end(table) && (*found)->name == name ? *found : nullptr;
}

}  // namespace virga::vim

namespace virga::model {

const TypeInfo* find_type(std::string_view name) { return vim::find(vim::type_table, name); }
const EnumInfo* find_enum(std::string_view name) { return vim::find(vim::enum_table, name); }
const ManagedInfo* find_managed(std::string_view name) {
  return vim::find(vim::managed_table, name);
}
std::span<const TypeInfo* const> all_types() { return vim::type_table; }
std::span<const EnumInfo* const> all_enums() { return vim::enum_table; }
std::span<const ManagedInfo* const> all_managed() { return vim::managed_table; }

}  // namespace virga::model
"""
    return text


def metadata_sources(cpp: Cpp) -> dict[str, str]:
    structs = cpp.data_structs() + cpp.request_structs() + cpp.property_structs()
    files = {"enums.cpp": _enum_source(cpp), "objects.cpp": _object_source(cpp),
             "lookup.cpp": _lookup_source(cpp)}
    for i, share in enumerate(_shares(structs)):
        files[f"types_{i}.cpp"] = _struct_source(share)
    return files
