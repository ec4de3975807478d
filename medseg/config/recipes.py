"""The recipes that come with medseg: YAML files that commands take by name."""

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path


def list_recipes() -> dict[str, Path]:
    """The path of each recipe by its name, in alphabetical order."""
    found = [Path(str(entry)) for entry in files("medseg.configs").iterdir()]
    return {path.stem: path for path in sorted(found) if path.suffix == ".yaml"}


def suggest_recipe(name: str) -> str:
    """A hint at the recipes for a `name` that is neither a file nor a recipe: the most similar one, or all."""
    names = list_recipes()
    near = get_close_matches(Path(name).stem, names, n=1)
    return f"did you mean the recipe '{near[0]}'?" if near else f"the recipes are {', '.join(names)}"
