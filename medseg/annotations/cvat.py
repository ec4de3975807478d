"""CVAT for images 1.1 (docs.cvat.ai, XML annotation format): all images in one XML file.

Coordinates have 0, 0 at the corner of the first pixel. Turned boxes and ellipses turn clockwise around their center.
A mask's run lengths count along the rows of its box, background first.
"""

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from medseg.annotations.geometry import make_ellipse, make_rectangle, make_ring
from medseg.annotations.mark import find_size, prepare, sign, verify
from medseg.annotations.runs import from_counts, to_counts
from medseg.annotations.shape import AnnotatedImage, Draft, Shape, clean, clean_path
from medseg.errors import RadiographError

FILE = "annotations.xml"
_NO_AREA = ("points", "polyline", "skeleton", "tag", "cuboid")
_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def is_cvat(content: object) -> bool:
    """Return whether an XML file is CVAT's, for images or for videos."""
    return isinstance(content, Element) and content.tag == "annotations"


def read_cvat(content: Element, draft: Draft) -> Iterator[AnnotatedImage]:
    """Yield the images of a CVAT file. Raises `RadiographError` for CVAT for videos."""
    if content.find("track") is not None:
        raise RadiographError("is CVAT for videos. Export the task as 'CVAT for images 1.1'")
    labels = [label for label in content.iterfind("meta//labels/label") if label.findtext("type") not in _NO_AREA]
    draft.declare(*(label.findtext("name", "") for label in labels))
    for entry in content.iterfind("image"):
        name = clean_path(entry.get("name", ""))
        shapes = []
        for figure in entry:
            if figure.tag == "tag":  # says something of the whole image
                continue
            with draft.reading(name, figure.get("label", "")):
                shapes.append(_shape(figure))
        rows, columns = (int(entry.get(side, "0") or 0) for side in ("height", "width"))
        image = AnnotatedImage(
            name,
            (rows, columns) if rows and columns else None,
            tuple(shapes),
            split=_SPLITS.get(entry.get("subset", "").lower()),
        )
        marks = [entry.get("made_by"), *(field.text for field in entry.iterfind("*/attribute[@name='made_by']"))]
        yield verify(image, marks)


def _shape(figure: Element) -> Shape:
    label, of = clean(figure.attrib["label"]), figure.attrib
    degrees = float(of.get("rotation", 0))
    if figure.tag == "polygon":
        return Shape(label, (make_ring([point.split(",") for point in of["points"].split(";")]),))
    if figure.tag == "box":
        x, y = float(of["xtl"]), float(of["ytl"])
        return Shape(label, (make_rectangle(x, y, float(of["xbr"]) - x, float(of["ybr"]) - y, degrees),))
    if figure.tag == "ellipse":
        x, y, radius_x, radius_y = (float(of[key]) for key in ("cx", "cy", "rx", "ry"))
        return Shape(label, (make_ellipse(x, y, radius_x, radius_y, degrees),))
    if figure.tag == "mask":
        top, left, rows, columns = (int(of[key]) for key in ("top", "left", "height", "width"))
        counts = [int(count) for count in of["rle"].split(",")]
        return Shape(label, runs=from_counts(counts, "rows", (top, left, rows, columns)))
    raise RadiographError(f"<{figure.tag}> covers no area. Draw a polygon or a mask, or delete it", "no_area")


def dump_cvat(images: Sequence[AnnotatedImage], labels: Sequence[str]) -> dict[str, str]:
    """Return `annotations.xml`. One ring is a polygon; masks and shapes with holes are masks.

    The mark of a model is an attribute of the image, and of each shape, where CVAT keeps it if the task has it too.
    """
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    task = SubElement(SubElement(root, "meta"), "task")
    SubElement(task, "size").text = str(len(images))
    listed = SubElement(task, "labels")
    for label in labels:
        _describe(SubElement(listed, "label"), label, any(image.made_by for image in images))
    for index, image in enumerate(prepare(images, masks=True)):
        rows, columns = find_size(image)
        mark = sign(image)
        stated = {"id": str(index), "name": image.name, "width": str(columns), "height": str(rows)}
        entry = SubElement(root, "image", {**stated, "made_by": mark} if mark else stated)
        for shape in image.shapes:
            source = {"source": "auto" if mark else "manual", "occluded": "0", "z_order": "0"}
            figure = SubElement(
                entry, "mask" if shape.runs else "polygon", {"label": shape.label, **source, **_place(shape)}
            )
            if mark:
                SubElement(figure, "attribute", name="made_by").text = mark
    indent(root)
    return {FILE: '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"}


def _describe(entry: Element, label: str, marked: bool) -> None:
    SubElement(entry, "name").text = label
    attributes = SubElement(entry, "attributes")
    if marked:
        attribute = SubElement(attributes, "attribute")
        for key, text in (("name", "made_by"), ("mutable", "False"), ("input_type", "text"), ("default_value", "")):
            SubElement(attribute, key).text = text


def _place(shape: Shape) -> Mapping[str, str]:
    if shape.runs is None:
        return {"points": ";".join(f"{x!r},{y!r}" for x, y in shape.rings[0].tolist())}
    assert shape.runs.box is not None
    box = dict(zip(("top", "left", "height", "width"), map(str, shape.runs.box), strict=True))
    return {"rle": ", ".join(map(str, to_counts(shape.runs))), **box}
