"""Emits vim/interfaces.h, what a server implements, and vim/client.h with its client.cpp."""

from cpp import BANNER, Cpp, comment
from model import Managed, Method

_INTERFACES = """\
// The managed objects of the vSphere API as a server implements them: derive from an interface and
// define its methods. A method's result is an Async of: nothing; the value; std::optional for one
// that may be unset; Ptr<T> of a data object; Array<T> or List<T>; of a task method the MoRef of
// the task.
#pragma once

#include "base/async.h"
#include "model/managed_object.h"
#include "vim/types.h"

namespace virga::vim {

"""

_CLIENT = """\
// The managed objects of the vSphere API as a client calls them. A stub is a reference and the
// channel that carries its calls; the channel must outlive it.
#pragma once

#include "base/async.h"
#include "model/managed_object.h"
#include "vim/types.h"

namespace virga::vim::client {

"""


def _server_method(cpp: Cpp, method: Method) -> str:
    head = f"  virtual Async<{cpp.result(method)}> {method.name}("
    call, request = "model::Call& call", f"const {method.request_name}& request) = 0;"
    line = f"{head}{call}, {request}"
    if len(line) > 100:
        line = f"{head}{call},\n{' ' * len(head)}{request}"
    return comment(method.doc, "  ") + line + "\n"


def _server(cpp: Cpp, managed: Managed) -> str:
    base = managed.base or "model::ManagedObject"
    methods = "".join("\n" + _server_method(cpp, m) for m in managed.methods)
    return (f"{comment(managed.doc)}class {managed.name} : public {base} {{\n"
            " public:\n"
            f"  using Properties = {managed.name}Properties;\n"
            "  static const model::ManagedInfo& static_info();\n"
            "  const model::ManagedInfo& info() const override;\n"
            f"{methods}}};\n")


def interfaces_header(cpp: Cpp) -> str:
    classes = "\n".join(_server(cpp, m) for m in cpp.schema.served())
    return f"{BANNER}{_INTERFACES}{classes}\n}}  // namespace virga::vim\n"


def _stub(cpp: Cpp, managed: Managed) -> str:
    name = managed.name
    if managed.base:
        head = (f"class {name} : public {managed.base} {{\n public:\n"
                f"  using {managed.base}::{managed.base};\n")
        tail = ""
    else:
        head = (f"class {name} {{\n public:\n"
                f"  {name}(model::Channel& channel, MoRef ref)\n"
                "      : channel_(&channel), ref_(std::move(ref)) {}\n"
                "  const MoRef& ref() const { return ref_; }\n"
                "  model::Channel& channel() const { return *channel_; }\n")
        tail = "\n private:\n  model::Channel* channel_;\n  MoRef ref_;\n"
    methods = ""
    for method in managed.methods:
        default = "" if method.parameters else " = {}"
        methods += (f"  Async<{cpp.result(method)}> {method.name}"
                    f"({method.request_name} request{default});\n")
    return head + ("\n" if methods else "") + methods + tail + "};\n"


def client_header(cpp: Cpp) -> str:
    classes = "\n".join(_stub(cpp, m) for m in cpp.schema.served())
    return f"{BANNER}{_CLIENT}{classes}\n}}  // namespace virga::vim::client\n"


def client_source(cpp: Cpp) -> str:
    text = BANNER + """\
#include "vim/client.h"

#include "model/invoke.h"
#include "vim/metadata.h"

namespace virga::vim::client {

"""
    for managed in cpp.schema.served():
        for i, method in enumerate(managed.methods):
            result = cpp.result(method)
            text += (f"Async<{result}> {managed.name}::{method.name}({method.request_name} request)"
                     f" {{\n  return model::call<{result}>(channel(), "
                     f"{managed.name}_methods[{i}], ref(),\n"
                     f"      model::share(std::move(request)).data());\n}}\n")
    return text + "\n}  // namespace virga::vim::client\n"
