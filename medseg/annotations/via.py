"""VGG Image Annotator: projects and annotations of VIA 2, and projects of VIA 3 (`_VIA_RSHAPE` of its source).

Coordinates are pixels of the image with 0, 0 at the corner of the first pixel; the files do not say image sizes.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medseg.annotations.geometry import make_ellipse, make_rectangle, make_ring
from medseg.annotations.mark import prepare, sign, verify
from medseg.annotations.shape import UNNAMED, AnnotatedImage, Draft, Ring, Shape, clean, clean_path
from medseg.errors import RadiographError

FILE = "via_project.json"
_PREFERRED = ("class", "label", "name", "type", "category", "object", "organ")
_VERSION_3 = {2: "rect", 3: "circle", 4: "ellipse", 6: "polyline", 7: "polygon", 8: "extreme_rect"}


def is_via(content: Any) -> bool:
    """Return whether a JSON file is a project of VIA 2 or 3, or annotations of VIA 2."""
    if not isinstance(content, dict):
        return False
    first = next(iter(content.values()), None)
    return (
        "_via_img_metadata" in content
        or {"metadata", "view", "file"} <= content.keys()
        or (isinstance(first, dict) and {"filename", "regions"} <= first.keys())
    )


def read_via(content: Mapping[str, Any], draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of a VIA file. The label is the attribute of a region; see `_choose` if it has several."""
    if "metadata" in content:
        yield from _read_version_3(content, draft)
        return
    entries = content.get("_via_img_metadata", content)
    options = {
        name: attribute.get("options") or {}
        for name, attribute in content.get("_via_attributes", {}).get("region", {}).items()
    }
    regions = {key: _list(entry["regions"]) for key, entry in entries.items()}
    used = [region["region_attributes"] for listed in regions.values() for region in listed]
    chosen = _choose(list(options), used)
    draft.declare(*(_translate(value, options.get(chosen, {})) for value in options.get(chosen, {})))
    for key, entry in entries.items():
        name = clean_path(entry["filename"])
        shapes: list[Shape] = []
        for region in regions[key]:
            of = region["shape_attributes"]
            for label in _labels(region["region_attributes"].get(chosen), options.get(chosen, {})):
                with draft.reading(name, label):
                    ring = _ring_2(of)
                    shapes.append(Shape(label if chosen else UNNAMED, (ring,)))
        marks = [(entry.get("file_attributes") or {}).get("made_by")]
        yield verify(AnnotatedImage(name, None, tuple(shapes)), marks)


def _read_version_3(content: Mapping[str, Any], draft: Draft) -> Iterator[AnnotatedImage]:
    attributes = content.get("attribute") or {}
    options = {key: attribute.get("options") or {} for key, attribute in attributes.items()}
    entries = [entry for entry in content["metadata"].values() if entry.get("xy")]
    names = {str(attribute["aname"]): key for key, attribute in attributes.items()}
    aliases = {key: name for name, key in names.items()}
    used = [{aliases.get(key, key): value for key, value in entry["av"].items()} for entry in entries]
    chosen = names.get(_choose(list(names), used), "")
    draft.declare(*(text for text in options.get(chosen, {}).values() if text))
    for key, view in content["view"].items():
        (file,) = view["fid_list"][:1]
        name = clean_path(content["file"][str(file)]["fname"])
        shapes: list[Shape] = []
        for entry in (entry for entry in entries if str(entry["vid"]) == str(key)):
            value = entry["av"].get(chosen)
            for label in [options.get(chosen, {}).get(part, part) for part in str(value or "").split(",")]:
                with draft.reading(name, label):
                    ring = _ring_3(*entry["xy"])
                    shapes.append(Shape(clean(label) if chosen else UNNAMED, (ring,)))
        yield AnnotatedImage(name, None, tuple(shapes))


def _list(regions: Any) -> list[Mapping[str, Any]]:
    return list(regions.values() if isinstance(regions, dict) else regions)  # VIA 1 numbers them in a dict


def _choose(declared: list[str], used: Sequence[Mapping[str, Any]]) -> str:
    """Return the attribute that holds the label: the only one, else the first with a usual name, else the first."""
    names = declared or list(dict.fromkeys(name for attributes in used for name in attributes))
    usual = [name for wish in _PREFERRED for name in names if name.lower() == wish]
    return (usual if len(names) > 1 and usual else [*names, ""])[0]


def _labels(value: Any, options: Mapping[str, Any]) -> list[str]:
    chosen = [key for key, is_set in value.items() if is_set] if isinstance(value, dict) else [value]
    return [_translate(key, options) for key in chosen] or [""]


def _translate(value: Any, options: Mapping[str, Any]) -> str:
    """Return the description of an option that is only a number, else the option."""
    described = options.get(str(value)) if str(value).isdigit() else None
    return clean(described if isinstance(described, str) and described else "" if value is None else value)


def _ring_2(of: Mapping[str, Any]) -> Ring:
    kind = of["name"]
    if kind in ("polygon", "polyline"):
        return _polygon(kind, list(zip(of["all_points_x"], of["all_points_y"], strict=True)))
    if kind == "rect":
        return make_rectangle(of["x"], of["y"], of["width"], of["height"])
    if kind == "circle":
        return make_ellipse(of["cx"], of["cy"], of["r"], of["r"])
    if kind == "ellipse":  # `theta`, in radians, is clockwise
        return make_ellipse(of["cx"], of["cy"], of["rx"], of["ry"], math.degrees(of.get("theta") or 0))
    raise RadiographError(f"a {kind} covers no area. Draw a polygon, or delete it", "no_area")


def _ring_3(shape: int, *numbers: float) -> Ring:
    kind = _VERSION_3.get(shape, f"shape of kind {shape}")
    points = list(zip(numbers[::2], numbers[1::2], strict=False))
    if kind in ("polygon", "polyline"):
        return _polygon(kind, points)
    if kind == "rect":
        return make_rectangle(*numbers)
    if kind == "extreme_rect":  # four points on its sides
        (x, y), (right, bottom) = (tuple(map(extreme, zip(*points, strict=True))) for extreme in (min, max))
        return make_rectangle(x, y, right - x, bottom - y)
    if kind in ("circle", "ellipse"):
        x, y, radius, *other = numbers
        return make_ellipse(x, y, radius, *(other or [radius]))
    raise RadiographError(f"a {kind} covers no area or cannot be read. Draw a polygon, or delete it", "no_area")


def _polygon(kind: str, points: list[tuple[float, float]]) -> Ring:
    if kind == "polyline" and points[:1] != points[-1:]:
        raise RadiographError("an open line covers no area. Draw a polygon, or delete it", "no_area")
    return make_ring(points)


def dump_via(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `via_project.json` for VIA 2, which VIA 3 imports; masks become polygons, and holes are cut open."""
    entries = {}
    for image in prepare(images, masks=False):
        mark = sign(image)
        regions = [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": shape.rings[0][:, 0].tolist(),
                    "all_points_y": shape.rings[0][:, 1].tolist(),
                },
                "region_attributes": {"label": shape.label},
            }
            for shape in image.shapes
        ]
        entry = {
            "filename": image.name,
            "size": -1,
            "regions": regions,
            "file_attributes": {"made_by": mark} if mark else {},
        }
        entries[f"{image.name}-1"] = entry
    label = {"type": "dropdown", "description": "", "options": dict.fromkeys(labels, ""), "default_options": {}}
    made_by = {"type": "text", "description": "", "default_value": ""}
    content = {
        "_via_settings": {
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
            "project": {"name": "medseg"},
        },
        "_via_img_metadata": entries,
        "_via_attributes": {"region": {"label": label}, "file": {"made_by": made_by}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(entries),
    }
    return {FILE: json.dumps(content, ensure_ascii=False)}
