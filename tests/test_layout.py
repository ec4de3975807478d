"""Files and functions are short, folders hold few modules, and no modules import each other in a circle."""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.modules import MODULES, ROOT, list_imports

FILE_LINES = 300
FUNCTION_LINES = 45
FOLDER_MODULES = 20


def name_of(path: Path) -> str:
    """`medseg.data.cases`; a package has the name of its folder."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def list_modules(path: Path, known: set[str]) -> set[str]:
    """Those of the `known` modules that a module imports, functions included."""
    found = set()
    for name in list_imports(path):
        while name and name not in known:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {"", name_of(path)}


def long_functions(source: str, lines: int) -> list[str]:
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    lengths = [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in functions]
    return [f"{name}: {length}" for name, length in lengths if length > lines]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    source = path.read_text()
    assert len(source.splitlines()) <= FILE_LINES
    assert long_functions(source, FUNCTION_LINES) == []


def test_a_long_function_is_seen():
    source = "class A:\n    def f(self):\n        def g(): return 1\n        return 2\n"
    assert long_functions(source, 2) == ["f: 3"]


def test_folders_hold_few_modules():
    held = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in held.items() if n > FOLDER_MODULES} == {}


def test_no_modules_import_each_other_in_a_circle():
    names = {name_of(path): path for path in MODULES}
    graph = {name: list_modules(path, set(names)) for name, path in names.items()}
    assert sum(map(len, graph.values())) > 2 * len(graph)  # they are followed at all
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" < ".join(error.args[1]))
