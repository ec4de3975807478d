"""LabelMe (github.com/wkentaro/labelme): one JSON file for each image.

Its canvas paints the image at 0, 0 without an offset, so 0, 0 is the corner of the first pixel. Its own masks
(`shape_to_mask`) add the pixels that the outline itself passes, up to one at the border.
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from operator import attrgetter
from typing import Any

import numpy as np
from PIL import Image

from medseg.annotations.geometry import make_ellipse, make_rectangle, make_ring
from medseg.annotations.mark import find_size, prepare, sign, verify
from medseg.annotations.runs import decode, encode
from medseg.annotations.shape import AnnotatedImage, Draft, Runs, Shape, clean, clean_path
from medseg.errors import RadiographError
from medseg.radiograph.image import check_image_size
from medseg.radiograph.source import refusing


def is_labelme(content: Any) -> bool:
    """Return whether a JSON file has LabelMe's shapes of one image."""
    return isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys()


def read_labelme(content: Mapping[str, Any], draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the one image of a LabelMe file."""
    name = clean_path(content["imagePath"])
    shapes = []
    for entry in content["shapes"]:
        with draft.reading(name, entry.get("label", "")):
            shapes.append(_shape(entry))
    rows, columns = content.get("imageHeight"), content.get("imageWidth")
    size = (int(rows), int(columns)) if rows and columns else None
    flags = content.get("flags") or {}
    image = AnnotatedImage(name, size, tuple(shapes), embedded=bool(content.get("imageData")))
    yield verify(image, [flag for flag, is_set in flags.items() if is_set])


def _shape(entry: Mapping[str, Any]) -> Shape:
    label, points, kind = clean(entry["label"]), entry["points"], entry.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return Shape(label, (make_ring(points),))
    if kind == "circle":
        (x, y), perimeter = points
        radius = math.dist((x, y), perimeter)
        return Shape(label, (make_ellipse(x, y, radius, radius),))
    if kind == "rectangle":
        (x, y), (right, bottom) = points
        return Shape(label, (make_rectangle(x, y, right - x, bottom - y),))
    if kind == "mask":
        return Shape(label, runs=_read_mask(entry["mask"], *np.asarray(points, np.float64).tolist()))
    raise RadiographError(f"a {kind} covers no area. Draw a polygon or a mask, or delete it", "no_area")


def _read_mask(text: str, first: Sequence[float], last: Sequence[float]) -> Runs:
    """Return the runs of a PNG in base64, whose first and last pixel are at `first` and `last` (x, y)."""
    left, top, right, bottom = map(int, (*first, *last))
    rows, columns = bottom - top + 1, right - left + 1
    check_image_size(rows, columns)
    with refusing("has a mask that is not a PNG in base64"), Image.open(BytesIO(base64.b64decode(text))) as mask:
        if mask.size != (columns, rows):
            size = f"{mask.height} x {mask.width}"
            raise RadiographError(f"has a mask of {size} pixels, but its box has {rows} x {columns}", "size")
        runs = encode(np.asarray(mask.convert("L")) > 0, whole=True)
    return Runs(runs.pairs, runs.order, (top, left, rows, columns))


def dump_labelme(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return one JSON file for each image, of the same name. One ring is a polygon; other shapes are masks.

    Raises `DataError` if two images would share a file. `labels` without a shape are not written.
    """
    files = {}
    for image in prepare(images, masks=True, key=attrgetter("stem")):
        rows, columns = find_size(image)
        mark = sign(image)
        content = {
            "version": "5.5.0",
            "flags": {mark: True} if mark else {},
            "shapes": [_entry(shape) for shape in image.shapes],
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": rows,
            "imageWidth": columns,
        }
        files[f"{image.stem}.json"] = json.dumps(content, ensure_ascii=False, indent=2)
    return files


def _entry(shape: Shape) -> dict[str, Any]:
    common: dict[str, Any] = {"label": shape.label, "group_id": None, "description": "", "flags": {}}
    if shape.runs is None:
        return {**common, "shape_type": "polygon", "points": shape.rings[0].tolist(), "mask": None}
    assert shape.runs.box is not None
    top, left, rows, columns = shape.runs.box
    file = BytesIO()
    Image.fromarray(decode(shape.runs, (rows, columns))).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    points = [[left, top], [left + columns - 1, top + rows - 1]]
    return {**common, "shape_type": "mask", "points": points, "mask": text}
