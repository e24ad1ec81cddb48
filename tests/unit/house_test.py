"""No include points up: each floor may use the floors named here and nothing else of ours."""
import pathlib
import re

FLOORS = {
    "base": set(),
    "wire": {"base"},
    "ovf": {"base", "wire"},
    "model": {"base", "wire"},
    "kernel": {"base", "wire", "model"},
    "vmx": {"base"},
    "storage": {"base"},
    "nfs": {"base"},
    "datastore": {"base", "vmx"},
    "hypervisor": {"base", "vmx", "datastore"},
    "switching": {"base"},
    "host": {"base", "wire", "ovf", "model", "kernel", "vmx", "storage", "nfs", "datastore",
             "hypervisor", "switching"},
    "cli": {"base", "wire", "model", "kernel"},
}
# Headers the schema compiler makes belong to a floor as well.
GENERATED = {"vim": "model"}
SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def test_every_folder_is_a_floor():
    assert {p.name for p in SOURCE.iterdir() if p.is_dir()} <= set(FLOORS)


def test_no_include_points_up():
    wrong = []
    for path in SOURCE.rglob("*"):
        if path.suffix not in {".h", ".cpp"}:
            continue
        room = path.relative_to(SOURCE).parts[0]
        for included in INCLUDE.findall(path.read_text()):
            target = included.split("/")[0]
            target = GENERATED.get(target, target)
            if target != room and target not in FLOORS[room]:
                wrong.append(f"{path.relative_to(SOURCE)} includes {included}")
    assert not wrong, "\n".join(wrong)
