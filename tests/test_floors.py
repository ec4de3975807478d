"""ARCHITECTURE.md's floors: a module imports only from floors below its own or from its own package."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.modules import MODULES, ROOT, list_imports

_LIST = re.search(r"```floors\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
assert _LIST is not None
FLOORS = {name: floor for floor, names in enumerate(_LIST[1].splitlines()) for name in names.split(", ")}


def package_of(name: str) -> str | None:
    """`data` of `medseg.data.cases.Case`, `pipelines`, or None for what is not of this project."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] or "medseg" if first == "medseg" else first if first == "pipelines" else None


def breaches(path: Path) -> list[str]:
    own = package_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    own = "cli" if own == "__main__" else own
    found = []
    for name in sorted(list_imports(path)):
        package = package_of(name)
        if package is None or package in (own, "medseg") or own is None or own == "__init__":
            continue
        if FLOORS[package] >= FLOORS[own]:
            found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def test_modules_are_found():
    assert {"medseg/config/section.py", "medseg/data/cases.py", "pipelines/train_xray.py"} <= {
        str(path.relative_to(ROOT)) for path in MODULES
    }


def test_every_package_has_a_floor():
    packages = {
        path.relative_to(ROOT / "medseg").parts[0].removesuffix(".py") for path in (ROOT / "medseg").rglob("*.py")
    }
    assert packages - {"__init__", "__main__"} == set(FLOORS) - {"pipelines"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_come_from_below(path):
    assert breaches(path) == []


def test_a_breach_in_a_function_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    module = tmp_path / "medseg" / "radiograph" / "read.py"
    module.parent.mkdir(parents=True)
    module.write_text("def f():\n    from medseg.data.cases import Case\n    import medseg.tracking.run\n")
    assert breaches(module) == [
        "medseg/radiograph/read.py imports medseg.data.cases.Case",
        "medseg/radiograph/read.py imports medseg.tracking.run",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "medseg").glob("*/config.py")), ids=lambda path: path.parent.name)
def test_config_modules_are_light(path):
    foreign = {name for name in list_imports(path) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {n for n in foreign if not re.match(r"pydantic\.|medseg\.config\.|medseg\.\w+\.config\.", n)} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "medseg" / "radiograph").rglob("*.py")), ids=lambda path: path.name)
def test_radiograph_needs_neither_torch_nor_monai(path):
    assert {name.partition(".")[0] for name in list_imports(path)}.isdisjoint({"torch", "monai", "ignite", "mlflow"})
