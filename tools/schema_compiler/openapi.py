"""Emits the VI JSON binding as an OpenAPI 3.0 document."""

import json

from model import Data, Managed, Member, Method, Schema, TypeRef

_BUILTINS = {
    "boolean": {"type": "boolean"},
    "byte": {"type": "integer", "format": "int8"},
    "short": {"type": "integer", "format": "int16"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "anyURI": {"type": "string", "format": "uri"},
    "TypeName": {"type": "string"},
    "PropertyPath": {"type": "string"},
    "MethodName": {"type": "string"},
    "dateTime": {"type": "string", "format": "date-time"},
    "base64Binary": {"type": "string", "format": "byte"},
    "anyType": {"$ref": "#/components/schemas/Any"},
}

_ANY = {"description": 'A value with its type: an object with "_typeName", and "_value" for what '
                       "is no object by itself."}
_REFERENCE = {
    "type": "object",
    "required": ["type", "value"],
    "properties": {"_typeName": {"type": "string", "enum": ["ManagedObjectReference"]},
                   "type": {"type": "string"}, "value": {"type": "string"}},
}
_FAULT_RESPONSE = {
    "description": "The call failed",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MethodFault"}}},
}


class _OpenApi:
    def __init__(self, schema: Schema):
        self._schema = schema

    def _ref(self, name: str) -> dict:
        if name in _BUILTINS:
            return _BUILTINS[name]
        if name in self._schema.managed:
            name = "ManagedObjectReference"
        return {"$ref": f"#/components/schemas/{name}"}

    def _type(self, type_: TypeRef) -> dict:
        element = self._ref(type_.name)
        return {"type": "array", "items": element} if type_.array else element

    def _object(self, members: list[Member]) -> dict:
        shape = {"type": "object"}
        if members:
            shape["properties"] = {m.name: self._member(m) for m in members}
        required = [m.name for m in members if not m.type.optional]
        return shape | ({"required": required} if required else {})

    def _member(self, member: Member) -> dict:
        shape = self._type(member.type)
        if member.doc:
            # Beside a $ref every other keyword is ignored.
            shape = {"allOf": [shape]} if "$ref" in shape else dict(shape)
            shape["description"] = member.doc
        return shape

    def _data(self, data: Data) -> dict:
        own = self._object([m for m in data.fields if not m.reserved])
        if data.base:
            shape = {"allOf": [self._ref(data.base), own]}
        else:
            own.setdefault("properties", {})["_typeName"] = {"type": "string"}
            own["discriminator"] = {"propertyName": "_typeName"}
            shape = own
        return shape | ({"description": data.doc} if data.doc else {})

    def _schemas(self) -> dict:
        schemas = {"Any": _ANY, "ManagedObjectReference": _REFERENCE}
        for data in self._schema.data.values():
            schemas[data.name] = self._data(data)
        for enum in self._schema.enums.values():
            schemas[enum.name] = {"type": "string", "enum": enum.values}
        for managed in self._schema.served():
            for method in managed.methods:
                schemas[method.request_name] = self._object(method.parameters)
        return schemas

    def _inherited(self, managed: Managed, members: str) -> list:
        chain = [managed.name, *self._schema.ancestors(managed.name)]
        return [m for name in reversed(chain) for m in getattr(self._schema.managed[name], members)]

    def _answer(self, type_: TypeRef | None) -> dict:
        if type_ is None:
            return {"204": {"description": "Done"}}
        content = {"application/json": {"schema": self._type(type_)}}
        return {"200": {"description": "The result", "content": content}}

    def _call(self, managed: Managed, method: Method) -> dict:
        result = TypeRef("Task") if method.task else method.result
        operation = {
            "tags": [managed.name],
            "operationId": f"{managed.name}.{method.name}",
            "responses": self._answer(result) | {"500": {"$ref": "#/components/responses/Fault"}},
        }
        if method.doc:
            operation["summary"] = method.doc
        if method.parameters:
            body = {"schema": self._ref(method.request_name)}
            operation["requestBody"] = {"required": True, "content": {"application/json": body}}
        return {"parameters": [{"$ref": "#/components/parameters/moId"}], "post": operation}

    def _read(self, managed: Managed, member: Member) -> dict:
        operation = {
            "tags": [managed.name],
            "operationId": f"{managed.name}.get.{member.name}",
            "responses": self._answer(member.type) | {
                "500": {"$ref": "#/components/responses/Fault"}},
        }
        if member.doc:
            operation["summary"] = member.doc
        return {"parameters": [{"$ref": "#/components/parameters/moId"}], "get": operation}

    def _paths(self) -> dict:
        paths = {}
        for managed in self._schema.served():
            for member in self._inherited(managed, "properties"):
                paths[f"/{managed.name}/{{moId}}/{member.name}"] = self._read(managed, member)
            for method in self._inherited(managed, "methods"):
                paths[f"/{managed.name}/{{moId}}/{method.name}"] = self._call(managed, method)
        return paths

    def document(self, version: str) -> dict:
        return {
            "openapi": "3.0.3",
            "info": {"title": "Virga: the vSphere API as JSON", "version": version},
            "servers": [{"url": "/sdk/vim25/{release}",
                         "variables": {"release": {"default": version}}}],
            "security": [{"session": []}],
            "tags": [{"name": m.name} | ({"description": m.doc} if m.doc else {})
                     for m in self._schema.served()],
            "paths": self._paths(),
            "components": {
                "schemas": self._schemas(),
                "responses": {"Fault": _FAULT_RESPONSE},
                "parameters": {"moId": {"name": "moId", "in": "path", "required": True,
                                        "schema": {"type": "string"}}},
                "securitySchemes": {"session": {"type": "apiKey", "in": "header",
                                                "name": "vmware-api-session-id"}},
            },
        }


def openapi_document(schema: Schema, version: str) -> str:
    return json.dumps(_OpenApi(schema).document(version), separators=(",", ":")) + "\n"
