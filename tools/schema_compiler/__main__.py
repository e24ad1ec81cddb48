"""The schema compiler: reads schema/*.vsl and writes the C++ of the model and its documents.

    python3 tools/schema_compiler --out DIR               everything, below DIR
    python3 tools/schema_compiler --api-table docs/api.md that file's table of served methods
"""

import argparse
import sys
from pathlib import Path

from api_table import with_api_table
from checks import check
from cpp import Cpp, version_parts
from cpp_documents import documents_header, documents_source
from cpp_interfaces import client_header, client_source, interfaces_header
from cpp_metadata import metadata_header, metadata_sources
from cpp_types import types_header
from model import Schema, SchemaError
from openapi import openapi_document
from reader import read_schema
from wsdl import wsdl_documents


def latest_version(schema: Schema) -> str:
    declared = [*schema.managed.values(), *schema.data.values(), *schema.enums.values()]
    declared += [f for d in schema.data.values() for f in d.fields]
    return max((d.since for d in declared), key=version_parts)


def generated_files(schema: Schema) -> dict[str, str]:
    """The text of every generated file by its path."""
    cpp, version = Cpp(schema), latest_version(schema)
    documents = wsdl_documents(schema, version)
    documents["openapi.json"] = openapi_document(schema, version)
    sources = {
        "types.h": types_header(cpp),
        "interfaces.h": interfaces_header(cpp),
        "client.h": client_header(cpp),
        "client.cpp": client_source(cpp),
        "metadata.h": metadata_header(cpp),
        **metadata_sources(cpp),
        "documents.h": documents_header(documents),
        "documents.cpp": documents_source(documents),
    }
    return ({f"vim/{name}": text for name, text in sources.items()}
            | {f"documents/{name}": text for name, text in documents.items()})


def write_changed(directory: Path, files: dict[str, str]) -> None:
    """Writes what differs from what is there, so that nothing else is compiled again."""
    for name, text in files.items():
        path = directory / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="schema_compiler", description=__doc__.splitlines()[0])
    parser.add_argument("--schema", type=Path, default=Path("schema"), help="folder of *.vsl files")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", type=Path, help="write the generated files below this folder")
    action.add_argument("--api-table", type=Path, help="renew the table in this document")
    options = parser.parse_args()
    try:
        schema = read_schema(options.schema)
        check(schema)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    if options.out:
        write_changed(options.out, generated_files(schema))
    else:
        document = options.api_table.read_text(encoding="utf-8")
        options.api_table.write_text(with_api_table(document, schema), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
