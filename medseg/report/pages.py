"""Renders self-contained HTML pages, which need no other file and no network."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: Path, **values: object) -> str:
    """The page rendered from `template` with `values`, which are escaped.

    A template can also call `read_part(name)`, the unescaped text of a file in its folder, and `digest(text)`, the hash
    with which a Content-Security-Policy allows this one script.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(
        values,
        read_part=lambda name: Markup((template.parent / name).read_text(encoding="utf-8")),
        digest=lambda text: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
    )


def to_data_uri(content: bytes, kind: str) -> str:
    """A data URI that holds the content; `kind` is its media type, such as `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
