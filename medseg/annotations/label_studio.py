"""Label Studio's JSON export (labelstud.io/guide/export): polygons, rectangles, ellipses and brushes of all images.

Coordinates are percent of the image. A rectangle turns clockwise around its left top corner, an ellipse around its
center.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np

from medseg.annotations.geometry import make_ellipse, make_rectangle, make_ring
from medseg.annotations.mark import find_size, prepare
from medseg.annotations.raster import draw_shape
from medseg.annotations.runs import pack_brush, unpack_brush
from medseg.annotations.shape import AnnotatedImage, Draft, Shape, Size, clean, clean_path
from medseg.errors import RadiographError

FILE = "label_studio.json"
_MODEL = re.compile(r"medseg (\S+)")
_UPLOADED = re.compile(r"(/data/upload/.*?)[0-9a-f]{8}-([^/]+)$")  # Label Studio puts 8 digits before an uploaded name


def is_label_studio(content: Any) -> bool:
    """Return whether a JSON file is a list of tasks with annotations or predictions."""
    first = content[0] if isinstance(content, list) and content else None
    return (
        isinstance(first, dict)
        and "data" in first
        and bool({"annotations", "predictions", "completions"} & first.keys())
    )


def read_label_studio(content: Sequence[Mapping[str, Any]], draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of an export.

    A person's annotation replaces the predictions of models. Only if there is none, the last prediction counts, and
    says the model that made it; so nothing else is needed to know whether a person has changed it.
    """
    for task in content:
        name = _name(task["data"])
        done = [
            entry
            for entry in task.get("annotations") or task.get("completions") or []
            if not entry.get("was_cancelled")
        ]
        chosen = [entry for entry in done if entry.get("ground_truth")] or done
        if len(chosen) > 1:
            reason = f"has {len(chosen)} annotations. Mark one as ground truth in Label Studio, or delete the others"
            draft.note(name, "", reason, "name")
        predictions = [entry for entry in task.get("predictions") or [] if isinstance(entry, dict)]
        results = (chosen or predictions or [{}])[-1].get("result") or []
        model = _MODEL.fullmatch(str(predictions[-1].get("model_version"))) if predictions and not chosen else None
        yield _read_results(name, results, model[1] if model else None, draft)


def _read_results(name: str, results: Sequence[Mapping[str, Any]], made_by: str | None, draft: Draft) -> AnnotatedImage:
    """Return one image. Of the results with one id, the one with a label counts (`<Polygon>` with `<Labels>`)."""
    shapes: list[Shape] = []
    sizes: set[Size] = set()
    labeled = {result.get("id") for result in results if _labels(result)}
    for result in results:
        value = result.get("value") or {}
        if not {"points", "width", "radiusX", "rle", "x", "imageDataURL"} & value.keys():
            continue  # a choice or a text about the whole image
        labels = _labels(result)
        if not labels and result.get("id") not in labeled:
            draft.note(name, "", "a region has no label. Choose one in Label Studio", "label")
        for label in labels:
            with draft.reading(name, label):
                if not result.get("original_height") or not result.get("original_width"):
                    raise RadiographError("has no original_width and original_height. Export again as JSON", "size")
                if result.get("image_rotation"):
                    raise RadiographError("was drawn on a turned image. Turn it back in Label Studio")
                size = int(result["original_height"]), int(result["original_width"])
                sizes.add(size)
                shapes.append(_shape(label, value, size))
    if len(sizes) > 1:
        draft.note(name, "", f"states different image sizes (rows, columns): {sorted(sizes)}", "size")
    return AnnotatedImage(name, next(iter(sizes), None), tuple(shapes), made_by=made_by)


def _labels(result: Mapping[str, Any]) -> list[str]:
    value = result.get("value") or {}
    return [clean(label) for key, found in value.items() if key.endswith("labels") for label in found]


def _name(data: Mapping[str, Any]) -> str:
    """Return the path of the image, which a task gives as a path, an address, or a query `?d=PATH`."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    text = texts.get("image") or texts.get("img") or next(iter(texts.values()))
    parts = urlsplit(clean_path(text))
    if not re.fullmatch(r"https?|s3|gs|azure-blob|", parts.scheme):  # C:/data/a.png
        return clean_path(text)
    path = parse_qs(parts.query).get("d", [unquote(parts.path if parts.query or parts.scheme else clean_path(text))])[0]
    return clean_path(_UPLOADED.sub(r"\1\2", path))


def _shape(label: str, of: Mapping[str, Any], size: Size) -> Shape:
    rows, columns = size
    percent = np.array([columns, rows]) / 100
    degrees = float(of.get("rotation") or 0)
    if of.get("format") == "rle":
        return Shape(label, runs=unpack_brush(of["rle"], rows, columns))
    if "points" in of and of.get("closed", True):
        return Shape(label, (make_ring(np.asarray(of["points"], np.float64) * percent),))
    if "radiusX" in of:
        x, y = np.array([of["x"], of["y"]]) * percent
        radius_x, radius_y = np.array([of["radiusX"], of["radiusY"]]) * percent
        return Shape(label, (make_ellipse(x, y, radius_x, radius_y, degrees),))
    if "height" in of:
        corner, sides = np.array([of["x"], of["y"]]) * percent, np.array([of["width"], of["height"]]) * percent
        return Shape(label, (make_rectangle(corner[0], corner[1], sides[0], sides[1], degrees, corner),))
    if "imageDataURL" in of:
        raise RadiographError("is a bitmask, which is not supported. Draw it as a brush or a polygon")
    raise RadiographError("a point or a line covers no area. Draw a polygon, or delete it", "no_area")


def dump_label_studio(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `label_studio.json`. One ring is a polygon; masks and shapes with holes are brushes.

    Shapes of a model are predictions with its `model_version`, others annotations. `labels` without a shape are not
    written.
    """
    tasks = []
    for image in prepare(images, masks=True):
        rows, columns = find_size(image)
        results = [_result(f"{image.name} {index}", shape, (rows, columns)) for index, shape in enumerate(image.shapes)]
        task: dict[str, Any] = {"data": {"image": quote(image.name)}, "annotations": [], "predictions": []}
        if image.made_by:
            task["predictions"] = [{"model_version": f"medseg {image.made_by}", "result": results}]
        else:
            task["annotations"] = [{"result": results, "was_cancelled": False, "ground_truth": False}]
        tasks.append(task)
    return {FILE: json.dumps(tasks, ensure_ascii=False)}


def _result(key: str, shape: Shape, size: Size) -> dict[str, Any]:
    rows, columns = size
    if shape.runs is None:
        kind = "polygonlabels"
        value: dict[str, Any] = {"points": (shape.rings[0] / (columns / 100, rows / 100)).tolist(), "closed": True}
    else:
        mask = np.zeros(size, np.bool_)
        draw_shape(mask, shape)
        kind, value = "brushlabels", {"format": "rle", "rle": pack_brush(mask)}
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, key))[:10],
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": columns,
        "original_height": rows,
        "image_rotation": 0,
        "value": {**value, kind: [shape.label]},
    }
