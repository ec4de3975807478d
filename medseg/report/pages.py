"""Pages that need no other file and no network: all that they show is written into them."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render_page(template: Path, **values: object) -> str:
    """The page that `template` makes of `values`, each escaped.

    Beside what Jinja2 knows, a template may call `read_part(name)`, the text of a file beside it, as it is, and
    `digest(text)`, by which a Content-Security-Policy admits that one script.
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
    """An address that is itself the file: `kind` such as `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
