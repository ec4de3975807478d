"""COCO instances (cocodataset.org/#format-data): polygons and run lengths of all images in one JSON file.

Several polygons of one annotation are parts, not holes. `iscrowd` marks a group of objects, whose pixels are of the
class like any other. Coordinates have 0, 0 at the corner of the first pixel (cocoapi/common/maskApi.c, `rleFrPoly`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medseg.annotations.geometry import make_ring, measure_area
from medseg.annotations.mark import find_size, prepare, sign, verify
from medseg.annotations.runs import decode, encode, from_counts, parse_coco, to_counts
from medseg.annotations.shape import AnnotatedImage, Draft, Shape, Size, clean, clean_path
from medseg.errors import RadiographError

FILE = "annotations.json"


def is_coco(content: Any) -> bool:
    """Return whether a JSON file has COCO's images, annotations and categories."""
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def read_coco(content: Mapping[str, Any], draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of COCO instances."""
    labels = {entry["id"]: clean(entry["name"]) for entry in content["categories"]}
    draft.declare(*labels.values())
    found: dict[Any, list[Mapping[str, Any]]] = {entry["id"]: [] for entry in content["images"]}
    for entry in content["annotations"]:
        if entry.get("image_id") in found:
            found[entry["image_id"]].append(entry)
        else:
            draft.note(
                "", labels.get(entry.get("category_id"), ""), f"annotation {entry.get('id')} is of no image", "name"
            )
    for entry in content["images"]:
        name = clean_path(entry["file_name"])
        size = _size(entry)
        shapes: list[Shape] = []
        for annotation in found[entry["id"]]:
            label = labels.get(annotation.get("category_id"))
            if label is None:
                draft.note(name, "", f"category {annotation.get('category_id')} is not among 'categories'", "label")
                continue
            with draft.reading(name, label):
                shapes += _shapes(label, annotation.get("segmentation"), size)
        marks = [entry.get("made_by"), *((a.get("attributes") or {}).get("made_by") for a in found[entry["id"]])]
        yield verify(AnnotatedImage(name, size, tuple(shapes)), marks)


def _size(entry: Mapping[str, Any]) -> Size | None:
    rows, columns = entry.get("height"), entry.get("width")
    return (int(rows), int(columns)) if rows and columns else None


def _shapes(label: str, segmentation: Any, size: Size | None) -> Iterator[Shape]:
    if not segmentation:
        raise RadiographError("has no outline, only a box or points. Draw a polygon or a mask", "no_area")
    if isinstance(segmentation, dict):
        rows, columns = map(int, segmentation["size"])
        if size and (rows, columns) != size:
            raise RadiographError(
                f"has a mask of {rows} x {columns} pixels, but its image has {size[0]} x {size[1]}", "size"
            )
        counts = segmentation["counts"]
        counts = parse_coco(counts) if isinstance(counts, str) else counts
        yield Shape(label, runs=from_counts(counts, "columns", (0, 0, rows, columns)))
    else:
        for polygon in segmentation:
            yield Shape(label, (make_ring(np.reshape(polygon, (-1, 2))),))


def dump_coco(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `annotations.json`. One ring is a polygon; masks and shapes with holes are uncompressed run lengths."""
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in prepare(images, masks=True):
        rows, columns = find_size(image)
        mark = sign(image)
        marked = {"made_by": mark} if mark else {}
        entry = {"id": len(entries) + 1, "file_name": image.name, "height": rows, "width": columns, **marked}
        entries.append(entry)
        for shape in image.shapes:
            common = {"id": len(annotations) + 1, "image_id": entry["id"], "category_id": 1 + labels.index(shape.label)}
            outlined = {**common, "iscrowd": 0, **_segmentation(shape, (rows, columns))}
            annotations.append({**outlined, "attributes": marked} if mark else outlined)
    categories = [{"id": 1 + index, "name": label, "supercategory": ""} for index, label in enumerate(labels)]
    info = {"description": "Written by medseg. Research use only. Not for clinical use."}
    content = {"info": info, "licenses": [], "categories": categories, "images": entries, "annotations": annotations}
    return {FILE: json.dumps(content, ensure_ascii=False)}


def _segmentation(shape: Shape, size: Size) -> dict[str, Any]:
    if shape.runs is None:
        (ring,) = shape.rings
        low, high = ring.min(axis=0), ring.max(axis=0)
        box = [*low.tolist(), *(high - low).tolist()]
        return {"segmentation": [ring.ravel().tolist()], "area": measure_area(ring), "bbox": box}
    assert shape.runs.box is not None
    top, left, rows, columns = shape.runs.box
    mask = np.zeros(size, np.bool_)
    mask[top : top + rows, left : left + columns] = decode(shape.runs, size)
    counts = to_counts(encode(mask, "columns", whole=True))
    area = int(np.count_nonzero(mask))
    return {"segmentation": {"size": size, "counts": counts}, "area": area, "bbox": [left, top, columns, rows]}
