"""What the pages of the documentation hold: blocks of code with the words before them, links, headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.processes import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
"""Pages whose blocks are run."""
_NOT_RUN = re.compile(r"<!-- not run: (\S.*) -->\n?")


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    page: str
    line: int
    language: str
    """Empty for an indented block."""
    text: str
    reason: str | None
    """Why it is not run: `<!-- not run: REASON -->` right before it."""

    def commands(self) -> Iterator[list[str]]:
        """The words of each command, without comments."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def list_blocks(page: str) -> list[Block]:
    """The blocks of a page in their order."""
    blocks, before = [], ""
    for token in _parse(page):
        if token.type in ("fence", "code_block"):
            marked = _NOT_RUN.fullmatch(before)
            line = token.map[0] + 1 if token.map else 0
            blocks.append(Block(page, line, token.info.strip(), token.content, marked[1] if marked else None))
        before = token.content if token.type == "html_block" else ""
    return blocks


def list_links(page: str) -> list[str]:
    """The targets of links and images within the repository, relative to the page."""
    inline = [child for token in _parse(page) for child in token.children or ()]
    targets = [str(child.attrs.get("href") or child.attrs.get("src") or "") for child in inline]
    return [target for target in targets if target and not re.match(r"[a-z]+:", target)]


@cache
def list_anchors(page: str) -> frozenset[str]:
    """The anchors of the headings of a page, as GitHub and the site name them."""
    tokens = _parse(page)
    titles = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    return frozenset(re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles)


def _parse(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(Path(ROOT, page).read_text(encoding="utf-8"))
