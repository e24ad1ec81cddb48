"""The table of docs/api.md: which methods of the API Virga serves."""

from model import Schema

# Of vSphere 7.0; tests/unit/schema_test.py holds it against the reference.
METHODS_OF_API = 928

_BEGIN = "<!-- Generated: python3 tools/schema_compiler --api-table docs/api.md -->\n"
_END = "<!-- End of the generated part. -->\n"


def api_table(schema: Schema) -> str:
    described = [m for m in schema.served() if m.methods or m.unserved]
    served = sum(not method.internal for m in described for method in m.methods)
    text = (f"{_BEGIN}\n{served} of {METHODS_OF_API} methods are served.\n\n"
            "| managed object | served | methods |\n|---|---|---|\n")
    for managed in sorted(described, key=lambda m: m.name):
        names = ", ".join(m.name for m in managed.methods)
        total = len(managed.methods) + len(managed.unserved)
        text += f"| {managed.name} | {len(managed.methods)} of {total} | {names} |\n"
    absent = ", ".join(sorted(m.name for m in schema.managed.values() if m.absent))
    return f"{text}\nNot there yet: {absent}.\n\n{_END}"


def with_api_table(document: str, schema: Schema) -> str:
    """The document with its table made anew. Throws ValueError when it has no place for one."""
    if _BEGIN not in document or _END not in document:
        raise ValueError("the document lacks the lines that mark the generated table")
    before, rest = document.split(_BEGIN, 1)
    return before + api_table(schema) + rest.split(_END, 1)[1]
