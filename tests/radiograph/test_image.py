import numpy as np
import pytest

from medseg.errors import RadiographError
from medseg.radiograph.image import (
    MAX_PIXELS,
    check_content,
    check_image_size,
    clean_term,
    digest_pixels,
)


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0), (-1, 5), (MAX_PIXELS, 2)])
def test_impossible_sizes_are_refused(rows, columns):
    with pytest.raises(RadiographError):
        check_image_size(rows, columns)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(RadiographError, match="1 pixels are NaN or infinite"):
        check_content(np.array([[1, 2], [3, value]], np.float32))


def test_constant_content_is_refused_and_padding_does_not_count():
    with pytest.raises(RadiographError, match=r"every pixel is 2\.5; nothing to segment"):
        check_content(np.full((3, 3), 2.5, np.float32))
    picture = np.array([[1, 2], [2, 2]], np.float32)
    check_content(picture)
    with pytest.raises(RadiographError, match="every pixel is 2;"):
        check_content(picture, picture == 1)


@pytest.mark.parametrize(
    ("value", "term"),
    [("chest ", "CHEST"), ("C-SPINE", "C-SPINE"), ("", None), (None, None), ("A" * 17, None), ("DOE^JOHN", None)],
)
def test_terms_are_short_codes(value, term):
    warnings = []
    assert clean_term(value, "BodyPartExamined", warnings) == term
    assert len(warnings) == (term is None and bool(value))


def test_digest_tells_values_shapes_and_types_apart():
    zeros = np.zeros((2, 3), np.uint8)
    digests = {digest_pixels(a) for a in (zeros, zeros.T, zeros.astype(np.int16), zeros + 1)}
    assert len(digests) == 4
    assert digest_pixels(zeros.T.copy()) == digest_pixels(zeros.T)
