"""Print a script that completes commands and settings in bash or zsh. Research use only. Not for clinical use.

usage: medseg completion >> ~/.bashrc

In zsh, the file ~/.zshrc needs the line `autoload -U bashcompinit && bashcompinit` before the script.
"""

import sys
from collections.abc import Iterator, Sequence

from medseg.commands import COMMANDS, find_config
from medseg.config import leaf_fields
from medseg.config.recipes import list_recipes
from medseg.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> None:
    """Print the script."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        print((__doc__ or "").strip())
    elif arguments:
        raise ConfigError(f"completion takes no arguments, but got {' '.join(arguments)}")
    else:
        print("\n".join(_write_script()))


def _write_script() -> Iterator[str]:
    """A bash function that offers the commands, then the recipes, settings and files of the command typed."""
    yield "_medseg() {"
    yield "  local words files=1"
    yield '  local typed="${COMP_LINE:0:COMP_POINT}"; typed="${typed##* }"'
    yield '  case "$((COMP_CWORD > 1 ? 2 : 1)):${COMP_WORDS[1]}" in'
    for name in COMMANDS:
        yield f"    2:{name}) words='{' '.join(_list_words(name))}' ;;"
    yield "    2:*) words= ;;"
    yield f"    *) words='{' '.join([*COMMANDS, '--help', '--version'])}'; files= ;;"
    yield "  esac"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$typed"))'
    yield '  [[ -n $files && $typed == *=* ]] && COMPREPLY=($(compgen -f -- "${typed#*=}"))'
    yield '  [[ -n $files && $typed != *=* ]] && COMPREPLY+=($(compgen -f -X "!*.yaml" -- "$typed"))'
    yield "}"
    yield "complete -o nospace -F _medseg medseg"


def _list_words(command: str) -> list[str]:
    """The words that can follow a command: recipes, and settings with an equals sign."""
    config = find_config(command)
    return [*list_recipes(), *(f"{key}=" for key, *_ in leaf_fields(config))] if config else []
