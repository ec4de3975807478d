from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from medseg.data.levels import measure_levels
from medseg.radiograph import LabelImage

SIZE = 96
PATH = Path("a.png")


def draw(lungs=255, heart=0, size=SIZE):
    """Two ellipses, and a third between them unless it is left out."""
    picture = Image.new("L", (size, size))
    for left, top, right, bottom, value in ((10, 15, 40, 80, lungs), (55, 15, 88, 82, lungs), (38, 45, 70, 75, heart)):
        if value:
            ImageDraw.Draw(picture).ellipse([size * at // 100 for at in (left, top, right, bottom)], fill=value)
    return picture


def as_jpeg(picture, quality):
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def measure(picture, known=()):
    lossy = getattr(picture, "format", None) == "JPEG"
    return measure_levels(LabelImage(np.asarray(picture), None, "png", lossy), PATH, known, False)


BLURRED = {
    **{f"JPEG {quality}": as_jpeg(draw(), quality) for quality in (10, 30, 50, 75, 90)},
    "JPEG of dark and bright gray": as_jpeg(draw().point(lambda level: 235 if level else 15), 50),
    **{f"JPEG {q} as PNG": Image.fromarray(np.asarray(as_jpeg(draw(), q))) for q in (75, 95, 100)},
    **{f"anti-aliased by {n}": draw(size=n * SIZE).resize((SIZE, SIZE), Image.Resampling.BOX) for n in (2, 4)},
    "Lanczos": draw(size=3 * SIZE).resize((SIZE, SIZE), Image.Resampling.LANCZOS),
    **{f"enlarged by {n}": draw(size=SIZE // n).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for n in (2, 4)},
    "smoothed": draw().filter(ImageFilter.GaussianBlur(2)),
    "0, 85, 170, 255": draw(size=3 * SIZE).resize((SIZE, SIZE), Image.Resampling.BOX).point(lambda v: v // 85 * 85),
    "fractions": np.asarray(draw(size=2 * SIZE).resize((SIZE, SIZE), Image.Resampling.BOX)) / 255,
}


@pytest.mark.parametrize("name", BLURRED)
def test_blurred_borders_are_no_label_map(name):
    levels = measure(BLURRED[name])
    assert levels.total > 2
    assert not levels.mapped


def draw_lines():
    """Labels of two pixels' width, none of which fills an area."""
    picture = Image.new("L", (SIZE, SIZE))
    for number in range(12):
        ImageDraw.Draw(picture).line((5, 5 + 7 * number, 90, 10 + 7 * number), fill=20 * number + 20, width=2)
    return picture


def draw_objects():
    picture = Image.new("L", (SIZE, SIZE))
    for number in range(200):
        row, column = divmod(number, 14)
        ImageDraw.Draw(picture).rectangle((column * 6, row * 6, column * 6 + 4, row * 6 + 4), fill=number + 1)
    return picture


MAPS = {
    "0, 1, 2": draw(1, 2),
    "0, 1, 255": draw(255, 1),
    "0, 128, 255": draw(255, 128),
    "0, 100, 200": draw(100, 200),
    **{f"JPEG {quality} of a map": as_jpeg(draw(100, 200), quality) for quality in (30, 75, 95)},
    "JPEG of a map, as PNG": Image.fromarray(np.asarray(as_jpeg(draw(200, 100), 75))),
    "anti-aliased map": draw(200, 100, size=2 * SIZE).resize((SIZE, SIZE), Image.Resampling.BOX),
    "objects": draw_objects(),
    "lines": draw_lines(),
    "lines of 1 beside 255": Image.fromarray(np.where(np.arange(SIZE) % 9 == 4, 1, np.asarray(draw()))),
    "negative and fractions": np.asarray(draw(1, 2)) / 2 - 0.5,
}


@pytest.mark.parametrize("name", MAPS)
def test_label_maps(name):
    assert measure(MAPS[name]).mapped


def test_a_small_third_value_counts():
    picture = draw()
    ImageDraw.Draw(picture).rectangle((20, 40, 24, 44), fill=128)
    assert measure(picture).mapped


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, bool])
def test_levels_and_their_counts(dtype):
    levels = measure_levels(LabelImage(np.array([[0, 1, 1, 1]], dtype), None, "png", False), PATH, (), True)
    assert (levels.values, levels.counts, levels.total, levels.mapped) == ((0, 1), (1, 3), 2, False)
    assert levels.alone


def test_many_levels_are_counted_but_not_kept():
    levels = measure(np.arange(10_000, dtype=np.uint16).reshape(100, 100))
    assert (levels.total, len(levels.values), levels.values[0], levels.values[-1]) == (10_000, 256, 0, 9999)


def test_declared_values_are_not_looked_at():
    assert not measure(draw(1, 2), known=(1, 2)).mapped
