"""Images inside LabelMe files: the field `imageData` of the JSON file holds the bytes of an image file in base64."""

import base64
import binascii
import json
import os
import re
from typing import BinaryIO

from medseg.errors import RadiographError
from medseg.radiograph.source import InMemory, refusing

_FIELD = re.compile(rb'"imageData"\s*:\s*"[^"]')
_PIECE, _OVERLAP = 1 << 20, 64


def embeds_image(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Return whether a file has the name `*.json` and a field `imageData` with text. The file is not parsed."""
    if not os.fsdecode(path).lower().endswith(".json"):
        return False
    file.seek(0)
    before = b""
    while piece := file.read(_PIECE):
        if _FIELD.search(before + piece):
            return True
        before = piece[-_OVERLAP:]
    return False


def extract_image(file: BinaryIO) -> InMemory:
    """Return the bytes of the embedded image file. Raises `RadiographError`."""
    file.seek(0)
    with refusing("is not valid JSON"):
        content = json.loads(file.read())
    text = content.get("imageData") if isinstance(content, dict) else None
    if not isinstance(text, str):
        raise RadiographError("has no embedded image (imageData)")
    try:
        data = base64.b64decode(
            "".join(text.rpartition(",")[2].split()), validate=True
        )  # behind `data:image/png;base64,`
    except (binascii.Error, ValueError):
        raise RadiographError("the embedded image (imageData) is not valid base64") from None
    return InMemory(data, file.name)
