"""The schema in memory: what the reader makes of schema/*.vsl and every emitter works from."""

from dataclasses import dataclass, field

# The API's built-in types. TypeName, PropertyPath and MethodName are strings that name something.
BUILTINS = (
    "boolean", "byte", "short", "int", "long", "float", "double",
    "string", "anyURI", "TypeName", "PropertyPath", "MethodName",
    "dateTime", "base64Binary", "anyType",
)

# The root of all data types in C++; it has no name on the wire.
DATA_ROOT = "DataObject"
MANAGED_ROOT = "ManagedObject"


@dataclass(frozen=True)
class Place:
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SchemaError(Exception):
    """One or more mistakes in the schema, a line each: FILE:LINE: what is wrong."""

    def __init__(self, *mistakes: tuple[Place, str]):
        self.mistakes = mistakes
        super().__init__("\n".join(f"{place}: {text}" for place, text in mistakes))


@dataclass(frozen=True)
class TypeRef:
    """A use of a type: T, T?, T[] or T[]?."""

    name: str
    array: bool = False
    optional: bool = False

    def __str__(self) -> str:
        return self.name + ("[]" if self.array else "") + ("?" if self.optional else "")


@dataclass
class Member:
    """A field of a data object, a property of a managed object or a parameter of a method."""

    name: str
    type: TypeRef
    place: Place
    doc: str = ""
    since: str = ""        # "" where it is the owner's
    privilege: str = ""
    secret: bool = False
    reserved: bool = False  # in the documents, but never held or sent
    link: bool = False      # of data that stands elsewhere: the wire has its key, a string
    linked: TypeRef | None = None   # what a link leads to; its type is then string
    internal: bool = False


@dataclass
class Method:
    name: str
    parameters: list[Member]
    result: TypeRef | None          # None is void; of a task method the type of info.result
    task: bool                      # answers a Task
    place: Place
    doc: str = ""
    since: str = ""
    privilege: str = ""
    throws: list[str] = field(default_factory=list)
    internal: bool = False

    @property
    def request_name(self) -> str:
        return self.name.removesuffix("_Task") + "RequestType"


@dataclass
class Managed:
    name: str
    base: str                       # "" for the root
    place: Place
    doc: str = ""
    since: str = ""
    internal: bool = False
    absent: bool = False            # known by name, but Virga has none of it
    properties: list[Member] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    unserved: list[str] = field(default_factory=list)


@dataclass
class Data:
    name: str
    base: str
    place: Place
    doc: str = ""
    since: str = ""
    fault: bool = False             # written with the keyword "fault"
    extensible: bool = False        # the API has types derived from it, here or elsewhere
    internal: bool = False
    fields: list[Member] = field(default_factory=list)


@dataclass
class Enum:
    name: str
    values: list[str]
    place: Place
    doc: str = ""
    since: str = ""
    internal: bool = False


@dataclass
class Schema:
    """All declarations by name, in the order they were read."""

    managed: dict[str, Managed] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)

    def add(self, declaration: Managed | Data | Enum) -> None:
        earlier = self.find(declaration.name)
        if earlier or declaration.name in BUILTINS or declaration.name == DATA_ROOT:
            where = f"; first at {earlier.place}" if earlier else " by the language"
            raise SchemaError((declaration.place, f"{declaration.name} is already declared{where}"))
        table = {Managed: self.managed, Data: self.data, Enum: self.enums}[type(declaration)]
        table[declaration.name] = declaration

    def find(self, name: str) -> Managed | Data | Enum | None:
        return self.managed.get(name) or self.data.get(name) or self.enums.get(name)

    def knows(self, name: str) -> bool:
        return name in BUILTINS or self.find(name) is not None

    def served(self) -> list[Managed]:
        """The managed objects there can be instances of, bases first."""
        return self.bases_first([m for m in self.managed.values() if not m.absent])

    def bases_first(self, declarations: list) -> list:
        ordered: dict[str, Managed | Data] = {}
        wanted = {d.name: d for d in declarations}

        def place(declaration) -> None:
            if declaration.name in ordered:
                return
            if declaration.base in wanted:
                place(wanted[declaration.base])
            ordered[declaration.name] = declaration

        for declaration in declarations:
            place(declaration)
        return list(ordered.values())

    def ancestors(self, name: str) -> list[str]:
        """The bases of a data or managed type, nearest first."""
        chain = []
        while (declaration := self.data.get(name) or self.managed.get(name)) and declaration.base:
            name = declaration.base
            chain.append(name)
        return chain

    def is_fault(self, name: str) -> bool:
        return name == "MethodFault" or "MethodFault" in self.ancestors(name)
