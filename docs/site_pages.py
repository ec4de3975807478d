"""Builds the pages of the site that are not written in docs/: settings, tutorial, and pages of the top folder."""

import json
import re
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from properdocs.config.defaults import ProperDocsConfig
from properdocs.structure.files import File, Files
from properdocs.structure.pages import Page

from medseg.commands import COMMANDS, find_config
from medseg.config import describe_values, leaf_fields

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
TOP_PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
MARKER = "<!-- the settings of every command -->"
"""The place in reference.md that the settings take on the site."""


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    """The files of docs/, the tutorial as a page, and the pages of the top folder."""
    files.append(File.generated(config, "tutorial.md", content="\n\n".join(show_notebook(NOTEBOOK))))
    for name in TOP_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """The text of a page with the settings in place, and with links to the pages of the site, all in one folder."""
    if page.file.src_uri == "reference.md":
        markdown = markdown.replace(MARKER, "\n".join(list_settings()))
    markdown = re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)
    return markdown.replace("](README.md", "](index.md").replace("](tutorial.ipynb", "](tutorial.md")


def list_settings() -> Iterator[str]:
    """Lines of Markdown: a heading per command and section; each setting with its values, default and meaning."""
    for command, (page, _) in COMMANDS.items():
        yield f"\n## medseg {command}\n"
        text = (import_module(f"medseg.commands.{page}").__doc__ or "").strip()
        for paragraph in text.replace("\nExit code", "\n\nExit code").split("\n\n"):
            html = _to_html(paragraph)
            yield f"<pre><code>{html}</code></pre>\n" if html.startswith("usage:") else f"<p>{html}</p>\n"
        heading = None
        for key, field, section in leaf_fields(config) if (config := find_config(command)) else ():
            if section is not heading:
                yield "" if heading is None else "</dl>\n"
                name = key.rpartition(".")[0]
                about = _to_html((section.__doc__ or "").strip().splitlines()[0])
                yield f"### {name or 'Top level'} {{: #{command}-{name or 'top'} }}\n\n<p>{about}</p>\n\n<dl>"
                heading = section
            yield f'<dt id="{command}-{key}"><code>{key}</code> <em>{escape(describe_values(field))}</em></dt>'
            yield f"<dd>{_to_html(field.description or '')}</dd>"
        yield "" if heading is None else "</dl>\n"


def show_notebook(path: Path) -> Iterator[str]:
    """The cells of a notebook as Markdown, with the outputs that are stored in it."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
        yield from map(_show_output, cell.get("outputs", ()))


def _show_output(output: dict[str, Any]) -> str:
    """An output of a cell: its image, else its table, else its text."""
    data = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return f'<p><img alt="output of the cell above" src="data:{kind};base64,{data[kind].strip()}"></p>'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return data.get("text/html") or f"```text\n{text.rstrip()}\n```"


def _to_html(text: str) -> str:
    """The text as HTML, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
