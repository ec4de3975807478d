"""The `medseg` command: which page of `medseg.commands` runs."""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import version

from medseg.commands import COMMANDS
from medseg.commands.running import run_command
from medseg.errors import ConfigError
from medseg.notice import RESEARCH_USE


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first word names, with the other words, and end the process with its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    run_command(partial(_run, words), together=words[:1] == ["train"])


def _run(words: Sequence[str]) -> int | None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_format_help(), flush=True)
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"medseg {version('medseg')}")
        return 0
    name, *arguments = words
    if name not in COMMANDS:
        near = get_close_matches(name, [*COMMANDS, *(page for page, _ in COMMANDS.values())], n=1)
        hint = f"did you mean '{_NAMES.get(near[0], near[0])}'?" if near else f"the commands are {', '.join(COMMANDS)}"
        raise ConfigError(f"unknown command '{name}'; {hint}")
    page = import_module(f"medseg.commands.{COMMANDS[name][0]}")
    code: int | None = page.main(arguments)
    return code


_NAMES = {page: name for name, (page, _) in COMMANDS.items()}


def _format_help() -> str:
    widest = max(map(len, COMMANDS))
    return "\n".join(
        [
            "Train, evaluate and use segmentation networks for radiographs.",
            RESEARCH_USE,
            "",
            "usage: medseg COMMAND [RECIPE] [section.key=value ...]",
            "",
            *(f"  {name:{widest}}  {purpose}" for name, (_, purpose) in COMMANDS.items()),
            "",
            "medseg COMMAND --help lists every setting. medseg COMMAND RECIPE --help also shows the recipe's values.",
            "Put quotes around settings with brackets or spaces: 'preprocess.size=[512, 512]'. Start with: medseg demo",
        ]
    )
