"""The schema against the facts of the published interface, and the compiler against itself."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "tools" / "schema_compiler"
REFERENCE = ROOT.parent / "shared" / "reference" / "vim-7.0.txt"

sys.path.insert(0, str(COMPILER))
from api_table import METHODS_OF_API, with_api_table  # noqa: E402
from checks import check  # noqa: E402
from cpp import Cpp, version_parts  # noqa: E402
from cpp_interfaces import interfaces_header  # noqa: E402
from cpp_types import types_header  # noqa: E402
from model import SchemaError  # noqa: E402
from reader import read_schema  # noqa: E402

# What the reference takes for granted rather than lists.
ROOTS = {"ManagedObject", "MethodFault", "RuntimeFault", "LocalizedMethodFault"}


# The reference, in the words of the schema: a fault in a field is a LocalizedMethodFault, and the
# roots go without their package.

class Reference:
    def __init__(self, path):
        self.managed, self.data, self.enums = {}, {}, {}
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                self._read(line)

    def _read(self, line):
        if match := re.fullmatch(r"(managed|data) (\w+) : (\S+)(?:  since (\S+))?", line):
            kind, name, base, since = match.groups()
            base = base.removeprefix("vmodl.")
            self._current = {"base": "" if base == "DataObject" else base, "since": since or "",
                             "members": [], "methods": {}}
            getattr(self, kind)[name] = self._current
        elif match := re.fullmatch(r"enum (\w+)(?:  since (\S+))? = (.*)", line):
            self.enums[match[1]] = {"since": match[2] or "", "values": match[3].split()}
        elif match := re.fullmatch(r"  method (\w+)\((.*)\) -> (\S+?)((?:  .*)?)", line):
            self._method(*match.groups())
        else:
            match = re.fullmatch(r"  (?:property )?(\w+) : (\S+)( secret)?((?:  .*)?)", line)
            name, type_, secret, rest = match.groups()
            self._current["members"].append(
                (name, held(type_), bool(secret), flag("since", rest), flag("priv", rest)))

    def _method(self, name, parameters, result, rest):
        throws = re.search(r"  throws (.*)", rest)
        self._current["methods"][name] = {
            "parameters": [(n, held(t), s == " secret") for n, t, s in re.findall(
                r"(\w+): ([^\s,]+)( secret)?", parameters)],
            "result": held(re.sub(r"^(Task<.*)>\?$", r"\1?>", result)),
            "since": flag("since", rest),
            "privilege": flag("priv", rest),
            "throws": throws[1].split(", ") if throws else [],
        }


def held(type_):
    return type_.replace("vmodl.MethodFault", "LocalizedMethodFault")


def flag(name, rest):
    match = re.search(rf"  {name} (\S+)", rest)
    return match[1] if match else ""


@pytest.fixture(scope="module")
def reference():
    return Reference(REFERENCE)


@pytest.fixture(scope="module")
def schema():
    schema = read_schema(ROOT / "schema")
    check(schema)
    return schema


def members(declared):
    return [(m.name, str(m.linked or m.type), m.secret, m.since, m.privilege)
            for m in declared if not m.internal]


def result_of(method):
    result = str(method.result) if method.result else "void"
    return f"Task<{result}>" if method.task else result


def published(table):
    return {name: d for name, d in table.items() if not d.internal and name not in ROOTS}


# The schema against the reference.

def test_what_the_api_does_not_have_is_marked_internal(schema, reference):
    assert published(schema.managed).keys() <= reference.managed.keys()
    assert published(schema.data).keys() <= reference.data.keys()
    assert published(schema.enums).keys() <= reference.enums.keys()


def test_what_is_marked_internal_is_not_in_the_api(schema, reference):
    for table in (schema.managed, schema.data, schema.enums):
        names = {name for name, d in table.items() if d.internal}
        assert not names & (reference.managed.keys() | reference.data.keys()
                            | reference.enums.keys())


def test_every_managed_object_of_the_api_is_known(schema, reference):
    assert reference.managed.keys() <= schema.managed.keys()


def test_managed_objects_agree(schema, reference):
    for name, managed in published(schema.managed).items():
        fact = reference.managed[name]
        assert (managed.base, managed.since) == (fact["base"], fact["since"]), name
        if not managed.absent:
            assert members(managed.properties) == fact["members"], name


def test_every_method_is_served_or_named_as_unserved(schema, reference):
    for name, managed in published(schema.managed).items():
        if not managed.absent:
            declared = [m.name for m in managed.methods if not m.internal] + managed.unserved
            assert sorted(declared) == sorted(reference.managed[name]["methods"]), name


def test_methods_agree(schema, reference):
    for managed in published(schema.managed).values():
        for method in managed.methods:
            if method.internal:
                continue
            assert {
                "parameters": [(p.name, str(p.type), p.secret) for p in method.parameters],
                "result": result_of(method),
                "since": method.since,
                "privilege": method.privilege,
                "throws": method.throws,
            } == reference.managed[managed.name]["methods"][method.name], method.name


def test_data_objects_agree(schema, reference):
    for name, data in published(schema.data).items():
        fact = reference.data[name]
        assert (data.base, data.since) == (fact["base"], fact["since"]), name
        assert members(data.fields) == fact["members"], name


def test_data_objects_are_extensible_when_the_api_derives_from_them(schema, reference):
    bases = {fact["base"] for fact in reference.data.values()}
    for name, data in published(schema.data).items():
        assert data.extensible == (name in bases), name


def test_enums_agree(schema, reference):
    for name, enum in published(schema.enums).items():
        fact = reference.enums[name]
        assert (enum.since, enum.values) == (fact["since"], fact["values"]), name


def test_the_count_of_the_api_is_right(reference):
    assert sum(len(m["methods"]) for m in reference.managed.values()) == METHODS_OF_API


def test_every_managed_object_and_served_method_says_what_it_is_for(schema):
    for managed in schema.served():
        assert managed.doc, managed.name
        assert not [m.name for m in managed.methods if not m.doc], managed.name


def test_the_table_of_served_methods_is_current(schema):
    document = (ROOT / "docs" / "api.md").read_text()
    assert with_api_table(document, schema) == document, \
        "run: python3 tools/schema_compiler --api-table docs/api.md"


# The compiler: what it refuses, and where.

SMALL = """\
managed ManagedObject
data DynamicData : DataObject extensible
fault MethodFault : DataObject extensible
data LocalizedMethodFault { fault : MethodFault }
managed Lamp {
  on : boolean  priv Lamp.See

  Switch(on: boolean, colour: Colour?) -> Task<void>  priv Lamp.Use  throws Broken
  unserved Dim Blink
}
data Shade extensible { template : string }
data Screw { turns : int }
data Bulb : Shade since 4.0 { screw : Screw  spare : Screw?  shade : Shade  filament : Screw[]? }
fault Broken : MethodFault
enum Colour { red green }
"""


def small(directory, text):
    (directory / "schema").mkdir()
    (directory / "schema" / "lamp.vsl").write_text(text)
    schema = read_schema(directory / "schema")
    check(schema)
    return schema


@pytest.mark.parametrize("text, mistake", [
    ("data Post {\n  height : metres\n}", "17: unknown type metres"),
    ("data Post : Pole", "16: Post derives from Pole, which is no data object"),
    ("data Post : Screw", "16: Post derives from Screw, which is not marked extensible"),
    ("data Bulb", "16: Bulb is already declared; first at schema/lamp.vsl:13"),
    ("data string", "16: string is already declared by the language"),
    ("data Post { height : int  height : int }", "16: Post has height twice"),
    ("data Post : Shade { template : int }", "16: Post has template twice"),
    ("data Post { foot : Foot }\ndata Foot { post : Post }",
     "16: every Post requires another one in it"),
    ("data Post : Broken2\ndata Broken2 : Post", "16: Post derives from itself"),
    ("data Post : MethodFault", "16: Post must be declared with 'fault'"),
    ("fault Post : Shade", "16: Post must be declared with 'data'"),
    ("data Post { why : Broken }", "16: a fault is held as a LocalizedMethodFault"),
    ("data Post since 4", "16: 4 is no version"),
    ("data Post priv Lamp.See", "16: 'priv' does not go with a data"),
    ("data Post { height int }", "16: expected ':' before int"),
    ("data Post {\n\n", "18: expected a field before the end of the file"),
    ("data Post %", "16: unexpected character '%'"),
    ("struct Post", "16: expected managed, absent, data, fault or enum, not struct"),
    ("enum Size { }", "16: Size has no values"),
    ("enum Size { big big }", "16: Size has the value big twice"),
    ("managed Post : Shade", "16: Post derives from Shade, which is no managed object"),
    ("managed Post { Fall() throws Shade }", "16: Fall throws Shade, which is no fault"),
    ("managed Post : Lamp { Dim() }", "16: Post has the method Dim twice"),
    ("managed Post { Fall() unserved Fall }", "16: Post has the method Fall twice"),
    ("managed Post { Switch() }",
     "16: SwitchRequestType is already the request of a method of Lamp"),
    ("absent Pole\nmanaged Post : Pole", "17: Post derives from Pole, which is absent"),
])
def test_mistakes_are_told_with_file_and_line(tmp_path, text, mistake):
    assert SMALL.count("\n") == 15
    with pytest.raises(SchemaError) as error:
        small(tmp_path, SMALL + text)
    assert f"schema/lamp.vsl:{mistake}" in str(error.value).splitlines()


def test_the_command_fails_on_a_mistake(tmp_path):
    with pytest.raises(SchemaError):
        small(tmp_path, SMALL + "data Post { height : metres }")
    run = compile_schema(tmp_path / "schema", tmp_path / "out")
    assert run.returncode == 1
    assert run.stderr == "schema/lamp.vsl:16: unknown type metres\n"
    assert not (tmp_path / "out").exists()


# The compiler: what it makes.

def compile_schema(schema, out):
    return subprocess.run([sys.executable, str(COMPILER), "--schema", str(schema),
                           "--out", str(out)], capture_output=True, text=True, timeout=60)


def test_a_field_is_held_as_its_type_asks(tmp_path):
    header = types_header(Cpp(small(tmp_path, SMALL)))
    bulb = re.search(r"struct Bulb : Shade \{\n(.*?)\n\n", header, re.S)[1]
    assert [line.strip() for line in bulb.splitlines()] == [
        "Screw screw;", "Ptr<Screw> spare;", "Ptr<Shade> shade;", "List<Screw> filament;"]
    assert header.index("struct Screw :") < header.index("struct Bulb :")
    assert "std::string template_;" in header
    assert "struct SwitchRequestType : model::DataObject {\n" \
           "  bool on = false;\n  std::optional<Colour> colour;\n" in header


def test_versions_order_as_they_came():
    came = ["", "2.0", "2.5", "2.5u2", "2.5u2server", "4.0", "6.7", "6.7.1", "7.0.0.0", "7.0.1.1"]
    assert sorted(came, key=version_parts) == came
    assert version_parts("7.0") == version_parts("7.0.0.0")


def test_a_method_costs_its_line_in_the_schema(tmp_path):
    shutil.copytree(ROOT / "schema", tmp_path / "schema")
    path = tmp_path / "schema" / "virtual_machine.vsl"
    text = path.read_text()
    assert re.search(r"\bSendNMI\b", text.split("unserved", 1)[1])
    text = re.sub(r"\bSendNMI\b", "", text)
    text = text.replace("  unserved\n", "  SendNMI()  since 6.0\n\n  unserved\n", 1)
    before = interfaces_header(Cpp(read_schema(ROOT / "schema")))
    path.write_text(text)

    run = compile_schema(tmp_path / "schema", tmp_path / "out")

    assert run.returncode == 0, run.stderr
    line = ("  virtual Async<void> SendNMI(model::Call& call, "
            "const SendNMIRequestType& request) = 0;")
    assert line not in before.splitlines()
    assert line in (tmp_path / "out/vim/interfaces.h").read_text().splitlines()
    assert "Async<void> SendNMI(" in (tmp_path / "out/vim/client.h").read_text()
    assert 'name="SendNMI"' in (tmp_path / "out/documents/vim.wsdl").read_text()
    assert "/VirtualMachine/{moId}/SendNMI" in json.loads(
        (tmp_path / "out/documents/openapi.json").read_text())["paths"]


def test_only_what_changed_is_written_again(tmp_path):
    small(tmp_path, SMALL)
    out = tmp_path / "out"
    assert compile_schema(tmp_path / "schema", out).returncode == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    path = tmp_path / "schema" / "lamp.vsl"
    path.write_text(path.read_text().replace("Dim Blink", "Dim Blink Glow"))
    assert compile_schema(tmp_path / "schema", out).returncode == 0
    changed = {p.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"objects.cpp"}


# The documents.

@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated")
    run = compile_schema(ROOT / "schema", out)
    assert run.returncode == 0, run.stderr
    return out / "documents"


def test_suds_reads_the_wsdl(documents, schema):
    from suds.client import Client
    client = Client((documents / "vimService.wsdl").as_uri(), cache=None)
    methods = {m.name for o in schema.served() for m in o.methods}
    assert set(client.wsdl.services[0].ports[0].methods) == methods
    spec = client.factory.create("ns0:TraversalSpec")
    assert {"name", "type", "path", "skip", "selectSet"} <= set(spec.__keylist__)


def test_zeep_reads_the_wsdl(documents, schema):
    import zeep
    client = zeep.Client(str(documents / "vimService.wsdl"))
    types = client.type_factory("urn:vim25")
    for data in schema.data:
        client.get_type(f"{{urn:vim25}}{data}")
    card = types.VirtualE1000(key=4000, unitNumber=7)
    assert (card.key, card.unitNumber) == (4000, 7)
    methods = {m.name for o in schema.served() for m in o.methods}
    assert set(client.service._operations) == methods


def test_openapi_is_closed(documents, schema):
    document = json.loads((documents / "openapi.json").read_text())
    components = {f"#/components/{kind}/{name}"
                  for kind, table in document["components"].items() for name in table}
    references = set(re.findall(r'"\$ref":"([^"]+)"', (documents / "openapi.json").read_text()))
    assert references and references <= components
    call = document["paths"]["/VirtualMachine/{moId}/PowerOnVM_Task"]["post"]
    assert call["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/PowerOnVMRequestType"}
    # What a virtual machine inherits is called at its own path.
    assert "/VirtualMachine/{moId}/Rename_Task" in document["paths"]
    assert "get" in document["paths"]["/VirtualMachine/{moId}/name"]
