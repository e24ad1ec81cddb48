"""Roles can hold every privilege that the code asks for."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PRIVILEGE = re.compile(
    r'"((?:Datastore|Folder|Global|Host|Network|Resource|VApp|VirtualMachine)(?:\.[A-Z]\w+)+)"')


def test_what_the_code_asks_for_can_be_granted():
    granted = set(re.findall(r"priv ([\w.]+)", "".join(
        path.read_text() for path in (ROOT / "schema").rglob("*.vsl"))))
    listed = ROOT / "src/kernel/privileges.cpp"
    granted.update(PRIVILEGE.findall(listed.read_text()))
    asked = {privilege: path.name for path in (ROOT / "src").rglob("*.cpp") if path != listed
             for privilege in PRIVILEGE.findall(path.read_text())}
    assert asked
    assert {privilege: name for privilege, name in asked.items() if privilege not in granted} == {}
