"""The mark of shapes that a model made, which no longer holds once a person has changed them."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from medseg.annotations.outline import join_rings, outline
from medseg.annotations.raster import draw_shape
from medseg.annotations.runs import decode, encode
from medseg.annotations.shape import AnnotatedImage, Shape, Size, clean
from medseg.errors import DataError

_MARK = re.compile(r"medseg (\S+) ([0-9a-f]{16})")
_SCALES = {False: 10, True: 1e6}  # tenths of a pixel; outlines lie on halves, so a tool's rounding does not move them


def sign(image: AnnotatedImage) -> str | None:
    """Return the mark to be written with the shapes of `image`: its model and a digest of the shapes."""
    return f"medseg {image.made_by} {_digest(image)}" if image.made_by else None


def verify(image: AnnotatedImage, marks: Iterable[object]) -> AnnotatedImage:
    """Return `image` with the model of the first mark that fits its shapes."""
    found = [match for mark in marks if isinstance(mark, str) and (match := _MARK.fullmatch(mark.strip()))]
    digest = _digest(image) if found else ""
    return replace(image, made_by=next((match[1] for match in found if match[2] == digest), None))


def prepare(
    images: Sequence[AnnotatedImage], masks: bool, key: Callable[[AnnotatedImage], str] = attrgetter("name")
) -> list[AnnotatedImage]:
    """Return images whose shapes are one ring of pixels each or, in formats with `masks`, runs in the smallest box.

    Runs stay runs if possible, and a ring stays a ring. Raises `DataError` if two images have one `key`, by which the
    format tells them apart, or if a size is needed and unknown.
    """
    found: dict[str, str] = {}
    for image in images:
        if not key(image):
            raise DataError("an image has no name, but this format tells images apart by their names. Name it")
        if key(image) in found:
            raise DataError(
                f"images {found[key(image)]} and {image.name}: both are {key(image)} in this format. Rename one"
            )
        found[key(image)] = image.name
    return [replace(image, shapes=tuple(_prepare(image, masks)), relative=False) for image in images]


def find_size(image: AnnotatedImage) -> Size:
    """Return rows and columns. Raises `DataError` if unknown."""
    if image.size is None:
        raise DataError(
            f"image {image.name}: its size is unknown, but this format states it. Give the size of the image"
        )
    return image.size


def _prepare(image: AnnotatedImage, masks: bool) -> Iterator[Shape]:
    scale = find_size(image)[::-1] if image.relative else (1, 1)
    for shape in image.shapes:
        if shape.runs is None and (len(shape.rings) == 1 or not masks):
            yield replace(shape, rings=(join_rings([ring * scale for ring in shape.rings]),))
            continue
        mask = np.zeros(find_size(image), np.bool_)
        draw_shape(mask, shape, scale)
        if masks:
            yield Shape(shape.label, runs=encode(mask))
        else:
            yield from (Shape(part.label, (join_rings(part.rings),)) for part in outline(shape.label, mask))


def _digest(image: AnnotatedImage) -> str:
    """Return 16 hexadecimal digits that change if a person moves, adds or deletes anything.

    Neither the order of the shapes nor the way in which runs are coded counts.
    """
    parts = []
    for shape in image.shapes:
        values = [np.rint(ring * _SCALES[image.relative]).astype(np.int64) for ring in shape.rings]
        if shape.runs is not None:
            runs = encode(decode(shape.runs, image.size or (0, 0)))
            corner = np.add(runs.box[:2] if runs.box else 0, shape.runs.box[:2] if shape.runs.box else 0)
            values = [corner.astype(np.int64), np.array(runs.box, np.int64)[2:], runs.pairs.astype(np.int64)]
        parts.append(hashlib.sha256(b"\0".join([clean(shape.label).encode(), *(v.tobytes() for v in values)])).digest())
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()[:16]
