"""The schema compiler: reads schema/*.vsl and writes the C++ of the model and its documents.

    python3 tools/schema_compiler --schema schema --out DIR     everything below DIR/vim
    python3 tools/schema_compiler --schema schema --list        the files --out would write
    python3 tools/schema_compiler --schema schema --api-table   the table of docs/api.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from checks import check
from cpp import Cpp
from cpp_interfaces import client_header, client_source, interfaces_header
from cpp_metadata import metadata_header, metadata_sources
from cpp_types import types_header
from model import Schema, SchemaError
from reader import read_schema


def generated_files(schema: Schema) -> dict[str, str]:
    """The text of every generated file by its path."""
    cpp = Cpp(schema)
    files = {
        "types.h": types_header(cpp),
        "interfaces.h": interfaces_header(cpp),
        "client.h": client_header(cpp),
        "client.cpp": client_source(cpp),
        "metadata.h": metadata_header(cpp),
        **metadata_sources(cpp),
    }
    return {f"vim/{name}": text for name, text in files.items()}


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
    action.add_argument("--list", action="store_true", help="print the names of those files")
    options = parser.parse_args()
    try:
        schema = read_schema(options.schema)
        check(schema)
    except SchemaError as error:
        print(error, file=sys.stderr)
        return 1
    files = generated_files(schema)
    if options.list:
        print("\n".join(files))
    else:
        write_changed(options.out, files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
