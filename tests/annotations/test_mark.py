from dataclasses import replace

import numpy as np
import pytest

from medseg.annotations import AnnotatedImage, Shape, outline
from medseg.annotations.mark import prepare, sign, verify
from medseg.annotations.runs import decode, encode
from medseg.annotations.shape import Runs
from medseg.errors import DataError
from tests.support.annotation_files import MASK, MODEL, SIZE, make_images


def test_a_person_who_changes_anything_is_seen():
    (image, _) = prepare(make_images(outlined=True, made_by=MODEL), masks=True)
    mark = sign(image)
    assert verify(image, ["other", None, mark]).made_by == MODEL
    assert verify(replace(image, shapes=image.shapes[::-1]), [mark]).made_by == MODEL
    ringed = next(index for index, shape in enumerate(image.shapes) if shape.rings)
    moved = image.shapes[ringed].rings[0].copy()
    moved[0] += 0.5
    edited = (*image.shapes[:ringed], replace(image.shapes[ringed], rings=(moved,)), *image.shapes[ringed + 1 :])
    for shapes in (edited, image.shapes[1:], (*image.shapes, image.shapes[0]), ()):
        assert verify(replace(image, shapes=shapes), [mark]).made_by is None
    renamed = tuple(replace(shape, label="kidney") for shape in image.shapes)
    assert verify(replace(image, shapes=renamed), [mark]).made_by is None


def test_another_coding_of_the_same_pixels_does_not_matter():
    image = AnnotatedImage("a.png", SIZE, (Shape("a", runs=encode(MASK)),), made_by=MODEL)
    whole = replace(image, shapes=(Shape("a", runs=encode(MASK, "columns", whole=True)),))
    assert verify(whole, [sign(image)]).made_by == MODEL
    moved = Runs(encode(MASK).pairs, "rows", (1, 3, 22, 27))
    assert verify(replace(image, shapes=(Shape("a", runs=moved),)), [sign(image)]).made_by is None


def test_rounding_by_a_tool_does_not_matter():
    image = AnnotatedImage("a.png", SIZE, outline("a", MASK)[-1:], made_by=MODEL)
    rounded = replace(image, shapes=tuple(replace(s, rings=tuple(r + 0.004 for r in s.rings)) for s in image.shapes))
    assert verify(rounded, [sign(image)]).made_by == MODEL


def test_a_person_has_no_mark():
    assert sign(make_images(outlined=True)[0]) is None


def test_shapes_as_a_format_can_hold_them():
    images = make_images(outlined=True)
    assert {len(shape.rings) for shape in prepare(images, masks=False)[0].shapes} == {1}
    with_masks = prepare(images, masks=True)[0].shapes
    assert any(shape.runs for shape in with_masks)
    drawn = prepare(make_images(outlined=False), masks=True)[0].shapes[0].runs
    np.testing.assert_array_equal(decode(drawn, SIZE), MASK[2:24, 3:30])


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([AnnotatedImage("a.png"), AnnotatedImage("a.png")], r"images a\.png and a\.png: both are a\.png"),
        ([AnnotatedImage("")], "an image has no name"),
        ([AnnotatedImage("a.png", None, (Shape("a", runs=encode(MASK)),))], r"image a\.png: its size is unknown"),
    ],
)
def test_images_that_cannot_be_written(images, reason):
    with pytest.raises(DataError, match=reason):
        prepare(images, masks=True)
