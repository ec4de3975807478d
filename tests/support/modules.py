"""The project's own modules, and what each imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("medseg", "pipelines") for path in (ROOT / folder).rglob("*.py"))


def list_imports(path: Path) -> set[str]:
    """The full names that a module imports anywhere in it, functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
