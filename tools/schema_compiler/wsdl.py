"""Emits the SOAP description of the API: vimService.wsdl, which imports vim.wsdl, whose schema
includes core-types.xsd, vim-types.xsd and vim-messagetypes.xsd."""

from xml.sax.saxutils import escape

from model import BUILTINS, MANAGED_ROOT, Data, Enum, Member, Method, Schema, TypeRef

NAMESPACE = "urn:vim25"

_XSD = {"TypeName": "string", "PropertyPath": "string", "MethodName": "string"}
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SCHEMA = (_HEAD + f'<schema targetNamespace="{NAMESPACE}" xmlns="http://www.w3.org/2001/XMLSchema"'
           f' xmlns:vim25="{NAMESPACE}" elementFormDefault="qualified">\n')
_REFERENCE = """\
  <complexType name="ManagedObjectReference">
    <simpleContent>
      <extension base="string">
        <attribute name="type" type="string"/>
      </extension>
    </simpleContent>
  </complexType>
"""

# The file whose types every other file of the schema stands on.
_CORE = "core.vsl"


class _Wsdl:
    def __init__(self, schema: Schema):
        self._schema = schema
        self._methods = [m for managed in schema.served() for m in managed.methods]
        self._faults = sorted({fault for m in self._methods for fault in _faults_of(m)})

    def _type(self, name: str) -> str:
        if name in BUILTINS:
            return _XSD.get(name, name)
        return "vim25:" + ("ManagedObjectReference" if name in self._schema.managed else name)

    def _element(self, name: str, type_: TypeRef) -> str:
        occurs = ' minOccurs="0"' if type_.optional else ""
        if type_.array:
            occurs += ' maxOccurs="unbounded"'
        return f'<element name="{name}" type="{self._type(type_.name)}"{occurs}/>'

    def _sequence(self, members: list[Member], indent: str) -> str:
        rows = "".join(f"{indent}  {self._element(m.name, m.type)}\n" for m in members)
        if not rows:
            return f"{indent}<sequence/>\n"
        return f"{indent}<sequence>\n{rows}{indent}</sequence>\n"

    def _data(self, data: Data) -> str:
        if data.base:
            body = ("    <complexContent>\n"
                    f'      <extension base="vim25:{data.base}">\n'
                    f"{self._sequence(data.fields, ' ' * 8)}"
                    "      </extension>\n    </complexContent>\n")
        else:
            body = self._sequence(data.fields, " " * 4)
        return f'  <complexType name="{data.name}">\n{body}  </complexType>\n'

    def _enum(self, enum: Enum) -> str:
        values = "".join(f'      <enumeration value="{v}"/>\n' for v in enum.values)
        return (f'  <simpleType name="{enum.name}">\n    <restriction base="string">\n{values}'
                "    </restriction>\n  </simpleType>\n")

    def _array(self, name: str, element: str) -> str:
        return (f'  <complexType name="ArrayOf{name}">\n    <sequence>\n      '
                f'<element name="{name}" type="{element}" minOccurs="0" maxOccurs="unbounded"/>\n'
                "    </sequence>\n  </complexType>\n")

    def _declarations(self, core: bool) -> str:
        text = ""
        for declaration in (*self._schema.data.values(), *self._schema.enums.values()):
            if declaration.place.file.endswith(_CORE) == core:
                emit = self._data if isinstance(declaration, Data) else self._enum
                text += emit(declaration) + self._array(declaration.name,
                                                        f"vim25:{declaration.name}")
        return text

    def core_types(self) -> str:
        text = _SCHEMA + _REFERENCE
        text += self._array("ManagedObjectReference", "vim25:ManagedObjectReference")
        for name in BUILTINS:
            if name not in _XSD:
                text += self._array(name[0].upper() + name[1:], name)
        return text + self._declarations(core=True) + "</schema>\n"

    def types(self) -> str:
        return (_SCHEMA + '  <include schemaLocation="core-types.xsd"/>\n'
                + self._declarations(core=False) + "</schema>\n")

    # Methods.

    def message_types(self) -> str:
        text = _SCHEMA + '  <include schemaLocation="vim-types.xsd"/>\n'
        for method in self._methods:
            this = Member("_this", TypeRef(MANAGED_ROOT), method.place)
            text += (f'  <complexType name="{method.request_name}">\n'
                     f"{self._sequence([this, *method.parameters], ' ' * 4)}  </complexType>\n")
        return text + "</schema>\n"

    def _response(self, method: Method) -> list[Member]:
        if method.task:
            return [Member("returnval", TypeRef(MANAGED_ROOT), method.place)]
        return [Member("returnval", method.result, method.place)] if method.result else []

    def description(self, version: str) -> str:
        return (_HEAD + f'<definitions targetNamespace="{NAMESPACE}" '
                'xmlns="http://schemas.xmlsoap.org/wsdl/" '
                f'xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:vim25="{NAMESPACE}">\n'
                + self._elements() + self._messages() + self._port_type() + self._binding(version)
                + "</definitions>\n")

    def _elements(self) -> str:
        text = (f'  <types>\n    <schema targetNamespace="{NAMESPACE}"'
                ' xmlns="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">\n'
                '      <include schemaLocation="vim-messagetypes.xsd"/>\n')
        for method in self._methods:
            text += (f'      <element name="{method.name}" type="vim25:{method.request_name}"/>\n'
                     f'      <element name="{method.name}Response">\n        <complexType>\n'
                     f"{self._sequence(self._response(method), ' ' * 10)}"
                     "        </complexType>\n      </element>\n")
        text += "".join(f'      <element name="{fault}Fault" type="vim25:{fault}"/>\n'
                        for fault in self._faults)
        return text + "    </schema>\n  </types>\n"

    def _messages(self) -> str:
        text = ""
        for method in self._methods:
            text += _message(f"{method.name}RequestMsg", "parameters", method.name)
            text += _message(f"{method.name}ResponseMsg", "parameters", f"{method.name}Response")
        return text + "".join(_message(f"{fault}FaultMsg", "fault", f"{fault}Fault")
                              for fault in self._faults)

    def _port_type(self) -> str:
        text = '  <portType name="VimPortType">\n'
        for method in self._methods:
            text += (f'    <operation name="{method.name}">\n'
                     f'      <input message="vim25:{method.name}RequestMsg"/>\n'
                     f'      <output message="vim25:{method.name}ResponseMsg"/>\n')
            text += "".join(f'      <fault name="{fault}" message="vim25:{fault}FaultMsg"/>\n'
                            for fault in _faults_of(method))
            text += "    </operation>\n"
        return text + "  </portType>\n"

    def _binding(self, version: str) -> str:
        text = ('  <binding name="VimBinding" type="vim25:VimPortType">\n    <soap:binding '
                'style="document" transport="http://schemas.xmlsoap.org/soap/http"/>\n')
        for method in self._methods:
            text += (f'    <operation name="{method.name}">\n      '
                     f'<soap:operation soapAction="{NAMESPACE}/{version}" style="document"/>\n'
                     '      <input><soap:body use="literal"/></input>\n'
                     '      <output><soap:body use="literal"/></output>\n')
            text += "".join(f'      <fault name="{fault}">'
                            f'<soap:fault name="{fault}" use="literal"/></fault>\n'
                            for fault in _faults_of(method))
            text += "    </operation>\n"
        return text + "  </binding>\n"


def _faults_of(method: Method) -> list[str]:
    return [*method.throws, "RuntimeFault"]


def _message(name: str, part: str, element: str) -> str:
    return (f'  <message name="{name}">\n    <part name="{part}" element="vim25:{element}"/>\n'
            "  </message>\n")


def _service(address: str) -> str:
    return _HEAD + f"""\
<definitions targetNamespace="{NAMESPACE}Service" xmlns="http://schemas.xmlsoap.org/wsdl/"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:interface="{NAMESPACE}">
  <import location="vim.wsdl" namespace="{NAMESPACE}"/>
  <service name="VimService">
    <port binding="interface:VimBinding" name="VimPort">
      <soap:address location="{escape(address)}"/>
    </port>
  </service>
</definitions>
"""


def wsdl_documents(schema: Schema, version: str) -> dict[str, str]:
    wsdl = _Wsdl(schema)
    return {
        "vimService.wsdl": _service("https://localhost/sdk"),
        "vim.wsdl": wsdl.description(version),
        "core-types.xsd": wsdl.core_types(),
        "vim-types.xsd": wsdl.types(),
        "vim-messagetypes.xsd": wsdl.message_types(),
    }
