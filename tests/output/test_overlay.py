from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.metrics.cardiothoracic import measure_ctr
from medseg.output.drawing import COLORS
from medseg.output.overlay import draw_overlay, shrink_preview, write_overlay
from medseg.output.writers import is_own_result
from medseg.phantom.chest import draw_phantom

CLASSES = ("lungs", "heart")
WHITE = (255, 255, 255)


def scene(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Two lungs and a heart, drawn to scale."""
    y, x = np.mgrid[:rows, :columns] / np.reshape([rows, columns], (2, 1, 1))
    lungs = (abs(y - 0.5) < 0.3) & ((abs(x - 0.25) < 0.15) | (abs(x - 0.75) < 0.15))
    heart = ((y - 0.6) / 0.15) ** 2 + ((x - 0.55) / 0.2) ** 2 < 1
    return np.full((rows, columns), 100, np.uint8), np.stack([lungs, heart])


def find(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (picture == color).all(axis=-1)


class TestPreview:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((2000, 1500), (1024, 768)), ((1500, 3000), (512, 1024)), ((700, 300), (700, 300)), ((5, 20000), (1, 1024))],
    )
    def test_the_longest_side_is_at_most_1024(self, shape: tuple[int, int], expected: tuple[int, int]) -> None:
        preview = shrink_preview(np.random.default_rng(0).random(shape, np.float32))
        assert (preview.shape, preview.dtype) == (expected, np.uint8)

    def test_gray_levels_fill_the_range(self) -> None:
        ramp = np.linspace(-1000, 3000, 10_000, dtype=np.float32).reshape(100, 100)
        preview = shrink_preview(ramp)
        assert (preview[0, 0], preview[-1, -1], preview[50, 0]) == (0, 255, 128)

    def test_few_extreme_pixels_do_not_darken_the_image(self) -> None:
        ramp = np.linspace(0, 1000, 10_000, dtype=np.float32).reshape(100, 100)
        marked = ramp.copy()
        marked[0, :10] = 60_000
        assert abs(shrink_preview(marked)[50].astype(int) - shrink_preview(ramp)[50]).max() <= 1

    def test_padding_is_black_and_does_not_set_the_range(self) -> None:
        pixels = np.tile(np.linspace(100, 200, 3000, dtype=np.float32), (1500, 1))
        padding = np.zeros(pixels.shape, bool)
        padding[:, :1000] = True
        bare = shrink_preview(np.ascontiguousarray(pixels[:, 1000:]))
        preview = shrink_preview(np.where(padding, np.float32(-9e4), pixels), padding)
        assert not preview[:, :340].any()
        assert preview[:, 345:].min() < 8
        assert preview.max() == bare.max() == 255
        assert abs(float(np.median(preview[:, 342:])) - float(np.median(bare))) <= 2

    def test_reduced_pixels_are_means(self) -> None:
        checkered = np.indices((2048, 2048)).sum(axis=0) % 2 * np.float32(100)
        checkered[:, :100], checkered[:, -100:] = 0, 100
        assert np.unique(shrink_preview(checkered)[:, 60:-60]).tolist() == [128]

    @pytest.mark.slow
    def test_a_preview_is_the_image_pillow_reduces(self) -> None:
        pixels = draw_phantom(np.random.default_rng(1), 1300).pixels.astype(np.float32)
        low, high = np.percentile(pixels, (0.5, 99.5))
        gray = Image.fromarray(((pixels - low) / (high - low) * 255).clip(0, 255).astype(np.uint8))
        preview = shrink_preview(pixels)
        reference = np.asarray(gray.resize(preview.shape[::-1], Image.Resampling.LANCZOS)).astype(int)
        assert abs(preview - reference).mean() < 3


class TestOverlay:
    def test_the_image_stands_above_a_dark_bar(self) -> None:
        preview, masks = scene(400, 500)
        drawn = draw_overlay(preview, masks, CLASSES)
        assert (drawn.dtype, drawn.shape[1:]) == (np.uint8, (500, 3))
        outside = ~masks.any(axis=0)
        assert (drawn[:400][outside] == 100).all()
        assert np.median(drawn[400:]) < 30

    def test_each_class_has_its_color_in_image_and_legend(self) -> None:
        preview, masks = scene(400, 500)
        drawn = draw_overlay(preview, masks, CLASSES)
        for color, mask in zip(COLORS, masks, strict=False):
            contour = find(drawn[:400], color)
            assert contour.any()
            assert mask[contour].all()
            assert find(drawn[400:], color).sum() > 40

    def test_masks_of_the_original_size_are_reduced_to_the_preview(self) -> None:
        preview, _ = scene(300, 400)
        _, masks = scene(1500, 2000)
        contour = find(draw_overlay(preview, masks, CLASSES)[:300], COLORS[0])
        rows, columns = np.nonzero(contour)
        assert (rows.min(), rows.max()) == pytest.approx((60, 239), abs=1)
        assert (columns.min(), columns.max()) == pytest.approx((40, 359), abs=1)

    @pytest.mark.parametrize("scale", [1, 3])
    def test_the_lines_of_the_ratio_are_where_it_was_measured(self, scale: int) -> None:
        preview, _ = scene(400, 500)
        _, masks = scene(400 * scale, 500 * scale)
        ratio = measure_ctr(*masks)
        assert ratio is not None
        white = find(draw_overlay(preview, masks, CLASSES, [ratio])[:400], WHITE)
        rows = np.flatnonzero(white.sum(axis=1) > 100)
        ends = [(row, *np.flatnonzero(white[row])[[0, -1]]) for row in rows]
        # heart: rows 180 to 300, widest at 240, columns 175 to 375; lungs: last row 319, columns 50 to 449
        assert ends == [pytest.approx((240, 175, 375), abs=2), pytest.approx((319, 50, 449), abs=2)]

    def test_the_ratio_is_told_below_the_image(self) -> None:
        preview, masks = scene(400, 500)
        without = draw_overlay(preview, masks, CLASSES)
        drawn = draw_overlay(preview, masks, CLASSES, [measure_ctr(*masks)])
        assert drawn.shape[0] > without.shape[0]
        assert find(drawn[400:], WHITE).any()

    def test_each_measurement_has_its_lines_and_its_words(self) -> None:
        preview, masks = scene(400, 500)
        ratio = measure_ctr(*masks)
        assert ratio is not None
        shifted = replace(ratio, heart=((20, 10), (20, 200)), chest=((30, 10), (30, 200)))
        without, one, two = (draw_overlay(preview, masks, CLASSES, drawn) for drawn in ([], [ratio], [ratio, shifted]))
        assert len(two) - len(one) == len(one) - len(without) > 0
        assert not find(one, WHITE)[20, 50:150].any()
        assert find(two, WHITE)[20, 50:150].all()

    @pytest.mark.parametrize("columns", [3, 96, 256, 300, 700, 1024])
    def test_no_word_is_cut(self, columns: int) -> None:
        preview, masks = scene(max(3, columns), columns)
        drawn = draw_overlay(preview, masks, ["W" * 32, "heart"], [measure_ctr(*scene(400, 500)[1])])
        bar = drawn[preview.shape[0] :]
        words = bar.max(axis=(0, 2)) > 60
        assert not words[:3].any()
        assert not words[-3:].any()
        assert (bar[0] < 60).all()
        assert (bar[-3:] < 60).all()

    def test_letters_grow_with_the_image(self) -> None:
        bars = [
            draw_overlay(*scene(size, size), CLASSES).shape[0] - size  # two lines and a margin
            for size in (256, 1024)
        ]
        assert bars == [42, 70]

    def test_a_narrow_image_stands_in_the_middle(self) -> None:
        preview, masks = np.full((300, 40), 200, np.uint8), np.zeros((2, 300, 40), bool)
        drawn = draw_overlay(preview, masks, CLASSES)
        lit = np.flatnonzero(drawn[0, :, 0])
        assert len(lit) == 40
        assert lit[0] == pytest.approx(drawn.shape[1] - 1 - lit[-1], abs=1)

    def test_what_is_given_stays_as_it_was(self) -> None:
        preview, masks = scene(400, 500)
        before = preview.copy(), masks.copy()
        draw_overlay(preview, masks, CLASSES, [measure_ctr(*masks)])
        np.testing.assert_array_equal(preview, before[0])
        np.testing.assert_array_equal(masks, before[1])


class TestFile:
    def test_holds_the_image_and_says_what_it_is_for(self, tmp_path: Path) -> None:
        preview, masks = scene(400, 500)
        write_overlay(tmp_path / "deep" / "overlay.png", preview, masks, CLASSES)
        with Image.open(tmp_path / "deep" / "overlay.png") as picture:
            assert picture.text == {"Software": "medseg", "Description": "Research use only. Not for clinical use."}
            np.testing.assert_array_equal(np.asarray(picture), draw_overlay(preview, masks, CLASSES))

    def test_is_recognized_as_our_own(self, tmp_path: Path) -> None:
        write_overlay(tmp_path / "overlay.png", *scene(400, 500), CLASSES)
        with (tmp_path / "overlay.png").open("rb") as file:
            assert is_own_result(file, "png")

    def test_the_same_makes_the_same_bytes(self, tmp_path: Path) -> None:
        preview, masks = scene(400, 500)
        for name in ("a.png", "b.png"):
            write_overlay(tmp_path / name, preview, masks, CLASSES, [measure_ctr(*masks)])
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
