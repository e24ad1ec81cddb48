"""Reads the interface language of schema/*.vsl. The grammar, newlines and order being free:

    declaration = managed | absent | data | enum
    managed     = "managed" NAME [":" BASE] flags ["{" {property | method} ["unserved" {NAME}] "}"]
    absent      = "absent" NAME [":" BASE] flags
    data        = ("data" | "fault") NAME [":" BASE] flags ["{" {field} "}"]
    enum        = "enum" NAME flags "{" {VALUE} "}"
    property    = NAME ":" type flags
    field       = NAME ":" type flags
    method      = NAME "(" [parameter {"," parameter}] ")" ["->" result] flags
    result      = type | "Task" "<" (type | "void") ">" ["?"]
    parameter   = NAME ":" type ["secret"]
    type        = NAME ["[]"] ["?"]
    flags       = {"since" VERSION | "priv" PRIVILEGE | "throws" NAME {"," NAME} | "secret"
                   | "extensible" | "reserved" | "link" | "internal"}

A base left out is DynamicData for data and ManagedObject for managed. "///" documents what follows,
"//" is for readers of the schema alone. T is required, T? may be unset, T[] is an array.
A field marked "link" names data that stands elsewhere; on the wire it is that data's key.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from model import (DATA_ROOT, MANAGED_ROOT, Data, Enum, Managed, Member, Method, Place, Schema,
                   SchemaError, TypeRef)

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<doc>///[^\n]*)"
    r"|(?P<comment>//[^\n]*)"
    r"|(?P<version>\d[\w.]*)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<mark>->|\[\]|[{}():,?<>])")

_MARKERS = ("secret", "extensible", "reserved", "link", "internal")
_FLAGS = ("since", "priv", "throws", *_MARKERS)
_ALLOWED = {
    "managed": {"since", "internal"},
    "absent": {"since"},
    "data": {"since", "extensible", "internal"},
    "enum": {"since", "internal"},
    "property": {"since", "priv", "secret", "internal"},
    "field": {"since", "secret", "reserved", "link", "internal"},
    "method": {"since", "priv", "throws", "internal"},
    "parameter": {"secret"},
}


@dataclass(frozen=True)
class _Token:
    kind: str     # "doc", "version", "name", "mark" or "end"
    text: str
    place: Place


def _tokens(text: str, file: str) -> list[_Token]:
    tokens, position, line = [], 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise SchemaError((Place(file, line), f"unexpected character {text[position]!r}"))
        if match.lastgroup not in ("space", "comment"):
            tokens.append(_Token(match.lastgroup, match.group(), Place(file, line)))
        line += match.group().count("\n")
        position = match.end()
    tokens.append(_Token("end", "the end of the file", Place(file, line)))
    return tokens


class _Reader:
    def __init__(self, text: str, file: str):
        self._tokens = _tokens(text, file)
        self._next = 0

    def declarations(self):
        while True:
            doc = self._doc()
            if self._here.kind == "end":
                return
            yield self._declaration(doc)

    # Tokens.

    @property
    def _here(self) -> _Token:
        return self._tokens[self._next]

    @property
    def _after(self) -> _Token:
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._here
        self._next += 1
        return token

    def _accept(self, mark: str) -> bool:
        if self._here.kind == "mark" and self._here.text == mark:
            self._next += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._accept(mark):
            self._fail(f"expected '{mark}' before {self._here.text}")

    def _name(self, what: str) -> str:
        if self._here.kind != "name" or "." in self._here.text:
            self._fail(f"expected {what} before {self._here.text}")
        return self._take().text

    def _fail(self, message: str):
        raise SchemaError((self._here.place, message))

    def _doc(self) -> str:
        lines = []
        while self._here.kind == "doc":
            lines.append(self._take().text[3:].strip())
        return " ".join(lines)

    # Declarations.

    def _declaration(self, doc: str):
        place = self._here.place
        keyword = self._name("a declaration")
        if keyword == "managed":
            return self._managed(doc, place)
        if keyword == "absent":
            return self._absent(doc, place)
        if keyword in ("data", "fault"):
            return self._data(doc, place, keyword == "fault")
        if keyword == "enum":
            return self._enum(doc, place)
        raise SchemaError((place, f"expected managed, absent, data, fault or enum, not {keyword}"))

    def _base(self, default: str) -> str:
        return self._name("a base") if self._accept(":") else default

    def _managed(self, doc: str, place: Place) -> Managed:
        managed = Managed(self._name("a name"), "", place, doc)
        managed.base = self._base("" if managed.name == MANAGED_ROOT else MANAGED_ROOT)
        self._flags("managed", managed)
        if not self._accept("{"):
            return managed
        while not self._accept("}"):
            doc, place = self._doc(), self._here.place
            name = self._name("a property or method")
            if self._accept(":"):
                member = Member(name, self._type(), place, doc)
                self._flags("property", member)
                managed.properties.append(member)
            elif self._accept("("):
                managed.methods.append(self._method(name, doc, place))
            elif name == "unserved":
                while not self._accept("}"):
                    managed.unserved.append(self._name("a method"))
                return managed
            else:
                raise SchemaError((place, f"expected ':' or '(' after {name}"))
        return managed

    def _absent(self, doc: str, place: Place) -> Managed:
        managed = Managed(self._name("a name"), self._base(MANAGED_ROOT), place, doc, absent=True)
        self._flags("absent", managed)
        return managed

    def _data(self, doc: str, place: Place, fault: bool) -> Data:
        data = Data(self._name("a name"), self._base("DynamicData"), place, doc, fault=fault)
        if data.base == DATA_ROOT:
            data.base = ""
        self._flags("data", data)
        if self._accept("{"):
            while not self._accept("}"):
                doc, place = self._doc(), self._here.place
                name = self._name("a field")
                self._expect(":")
                member = Member(name, self._type(), place, doc)
                self._flags("field", member)
                if member.link:
                    member.linked = member.type
                    member.type = TypeRef("string", member.type.array, member.type.optional)
                data.fields.append(member)
        return data

    def _enum(self, doc: str, place: Place) -> Enum:
        enum = Enum(self._name("a name"), [], place, doc)
        self._flags("enum", enum)
        self._expect("{")
        while not self._accept("}"):
            enum.values.append(self._name("a value"))
        return enum

    # Members.

    def _type(self) -> TypeRef:
        name = self._name("a type")
        array = self._accept("[]")
        return TypeRef(name, array, self._accept("?"))

    def _method(self, name: str, doc: str, place: Place) -> Method:
        parameters = []
        while not self._accept(")"):
            if parameters:
                self._expect(",")
            at = self._here.place
            parameter_name = self._name("a parameter")
            self._expect(":")
            parameter = Member(parameter_name, self._type(), at)
            self._flags("parameter", parameter)
            parameters.append(parameter)
        method = Method(name, parameters, None, False, place, doc)
        if self._accept("->"):
            self._result(method)
        self._flags("method", method)
        return method

    def _result(self, method: Method) -> None:
        method.task = self._here.text == "Task" and self._after.text == "<"
        if not method.task:
            method.result = self._type()
            return
        self._take()
        self._expect("<")
        result = self._type()
        self._expect(">")
        if self._accept("?"):
            result = TypeRef(result.name, result.array, True)
        method.result = None if result.name == "void" else result

    def _flags(self, kind: str, owner) -> None:
        """Reads the flags that follow. A word before ':' or '(' is the next member, not a flag."""
        while (self._here.text in _FLAGS and self._here.kind == "name"
               and self._after.text not in (":", "(")):
            flag = self._here.text
            if flag not in _ALLOWED[kind]:
                self._fail(f"'{flag}' does not go with a {kind}")
            self._take()
            if flag in _MARKERS:
                setattr(owner, flag, True)
            elif flag == "since":
                if self._here.kind != "version":
                    self._fail(f"expected a version before {self._here.text}")
                owner.since = self._take().text
            elif flag == "priv":
                if self._here.kind != "name":
                    self._fail(f"expected a privilege before {self._here.text}")
                owner.privilege = self._take().text
            else:
                owner.throws.append(self._name("a fault"))
                while self._accept(","):
                    owner.throws.append(self._name("a fault"))


def read_schema(directory: Path) -> Schema:
    """All *.vsl below the directory as one schema. Throws SchemaError."""
    schema = Schema()
    for path in sorted(directory.rglob("*.vsl")):
        name = str(path.relative_to(directory.parent))
        for declaration in _Reader(path.read_text(encoding="utf-8"), name).declarations():
            schema.add(declaration)
    return schema
