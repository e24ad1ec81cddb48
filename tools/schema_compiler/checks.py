"""What a schema must hold beyond its grammar."""

import re

from model import MANAGED_ROOT, Data, Managed, Member, Place, Schema, SchemaError

_VERSION = re.compile(r"\d+(\.\d+){1,3}(u2(server)?)?$")

# Carries a fault and its sentence wherever one is a value.
_FAULT_HOLDER = "LocalizedMethodFault"


class _Checker:
    def __init__(self, schema: Schema):
        self._schema = schema
        self.mistakes: list[tuple[Place, str]] = []

    def run(self) -> None:
        self._bases(self._schema.managed, "managed object")
        self._bases(self._schema.data, "data object")
        if self.mistakes:
            return      # the rest walks from types to their bases
        for managed in self._schema.managed.values():
            self._managed(managed)
        self._requests()
        for data in self._schema.data.values():
            self._data(data)
        for enum in self._schema.enums.values():
            self._since(enum)
            self._unique(enum.values, enum.place, f"{enum.name} has the value")
            if not enum.values:
                self._mistake(enum.place, f"{enum.name} has no values")

    def _mistake(self, place: Place, text: str) -> None:
        self.mistakes.append((place, text))

    def _managed(self, managed: Managed) -> None:
        self._since(managed)
        if managed.base and self._schema.managed[managed.base].absent > managed.absent:
            self._mistake(managed.place, f"{managed.name} derives from {managed.base}, "
                                         "which is absent")
        self._members(managed.name, managed.properties, self._inherited(managed, "properties"))
        self._unique([m.name for m in managed.methods] + managed.unserved
                     + [m.name for m in self._inherited(managed, "methods")]
                     + self._inherited(managed, "unserved"),
                     managed.place, f"{managed.name} has the method")
        for method in managed.methods:
            self._since(method)
            self._members(method.name, method.parameters, [])
            if method.result:
                self._type(method.name, method.result.name, method.place)
            for fault in method.throws:
                if not self._schema.is_fault(fault):
                    self._mistake(method.place, f"{method.name} throws {fault}, which is no fault")

    def _requests(self) -> None:
        """A method's request is a type of its own: its name must be nobody else's."""
        owners: dict[str, str] = {}
        for managed in self._schema.managed.values():
            for method in managed.methods:
                owner = owners.setdefault(method.request_name, managed.name)
                if owner != managed.name or self._schema.knows(method.request_name):
                    self._mistake(method.place, f"{method.request_name} is already the request of "
                                                f"a method of {owner}")

    def _data(self, data: Data) -> None:
        self._since(data)
        if data.base and not self._schema.data[data.base].extensible:
            self._mistake(data.place, f"{data.name} derives from {data.base}, "
                                      "which is not marked extensible")
        if data.fault != self._schema.is_fault(data.name):
            right = "fault" if self._schema.is_fault(data.name) else "data"
            self._mistake(data.place, f"{data.name} must be declared with '{right}'")
        self._members(data.name, data.fields, self._inherited(data, "fields"))
        self._finite(data)

    def _bases(self, table: dict, what: str) -> None:
        for declaration in table.values():
            if declaration.base and declaration.base not in table:
                self._mistake(declaration.place, f"{declaration.name} derives from "
                                                 f"{declaration.base}, which is no {what}")
            base, steps = declaration.base, 0
            while base in table and base != declaration.name and steps < len(table):
                base, steps = table[base].base, steps + 1
            if base == declaration.name:
                self._mistake(declaration.place, f"{declaration.name} derives from itself")

    def _inherited(self, declaration, members: str) -> list:
        table = self._schema.managed if isinstance(declaration, Managed) else self._schema.data
        return [m for base in self._schema.ancestors(declaration.name)
                for m in getattr(table[base], members)]

    def _members(self, owner: str, members: list[Member], inherited: list[Member]) -> None:
        seen = {m.name for m in inherited}
        for member in members:
            if member.name in seen:
                self._mistake(member.place, f"{owner} has {member.name} twice")
            seen.add(member.name)
            self._since(member)
            self._type(owner, member.type.name, member.place)

    def _type(self, owner: str, name: str, place: Place) -> None:
        if not self._schema.knows(name):
            self._mistake(place, f"unknown type {name}")
        elif self._schema.is_fault(name) and owner != _FAULT_HOLDER:
            self._mistake(place, f"a fault is held as a {_FAULT_HOLDER}")

    def _since(self, declaration) -> None:
        if declaration.since and not _VERSION.match(declaration.since):
            self._mistake(declaration.place, f"{declaration.since} is no version")

    def _unique(self, names: list[str], place: Place, what: str) -> None:
        for name in sorted({n for n in names if names.count(n) > 1}):
            self._mistake(place, f"{what} {name} twice")

    def _finite(self, data: Data) -> None:
        """No value may need another of its own type in it, however deep."""
        def needs(name: str, path: tuple[str, ...]) -> bool:
            if name in path:
                return name == data.name
            declaration = self._schema.data.get(name)
            if declaration is None:
                return False
            required = [f.type.name for f in declaration.fields
                        if not f.type.array and not f.type.optional]
            return any(needs(r, (*path, name)) for r in [*required, declaration.base])
        if needs(data.name, ()):
            self._mistake(data.place, f"every {data.name} requires another one in it")


def check(schema: Schema) -> None:
    """Throws SchemaError with everything that is wrong."""
    checker = _Checker(schema)
    if MANAGED_ROOT not in schema.managed:
        checker.mistakes.append((Place("schema", 0), f"{MANAGED_ROOT} is not declared"))
    checker.run()
    if checker.mistakes:
        raise SchemaError(*checker.mistakes)
