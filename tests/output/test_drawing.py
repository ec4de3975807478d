import numpy as np
import pytest

from medseg.output.drawing import COLORS, draw_grid, draw_learning_curves, draw_rgb_strip, draw_strip


def square(top: int, left: int, size: int = 12) -> np.ndarray:
    mask = np.zeros((40, 30), bool)
    mask[top : top + size, left : left + size] = True
    return mask


IMAGE = np.linspace(-1000, 3000, 1200, dtype=np.float32).reshape(40, 30)
REFERENCE = np.stack([square(4, 4), square(10, 10)])
PREDICTION = np.stack([square(20, 4), np.zeros((40, 30), bool)])


def test_a_strip_is_image_reference_and_prediction_side_by_side() -> None:
    strip = draw_strip(IMAGE, REFERENCE, PREDICTION)
    assert (strip.shape, strip.dtype) == ((40, 90, 3), np.uint8)
    image, reference, prediction = np.split(strip, 3, axis=1)
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[0, 0, 0], image[-1, -1, 0]) == (0, 255)
    np.testing.assert_array_equal((reference != image).any(-1), REFERENCE.any(0))
    np.testing.assert_array_equal((prediction != image).any(-1), PREDICTION.any(0))


def test_each_class_has_a_contour_in_its_color_that_no_fill_hides() -> None:
    reference = np.split(draw_strip(IMAGE, REFERENCE, PREDICTION), 3, axis=1)[1]
    first = (reference == COLORS[0]).all(-1)
    second = (reference == COLORS[1]).all(-1)
    assert second.sum() == 44  # the border of a square of 12
    assert first.sum() == 44 - 2  # where both contours cross, the later one
    assert first[4, 4:16].all()


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_an_image_without_contrast_is_drawn(value: float) -> None:
    empty = np.zeros_like(REFERENCE)
    assert draw_strip(np.full((40, 30), value, np.float32), empty, empty).max() == 0


def test_a_color_strip_keeps_colors() -> None:
    red, green, blue = (np.zeros((3, 4, 5), np.float32) for _ in range(3))
    red[0], green[1], blue[2] = 1.0, 1.5, 0.5
    strip = draw_rgb_strip(red, green, blue)
    assert strip.shape == (4, 15, 3)
    assert [strip[0, column].tolist() for column in (0, 5, 10)] == [[255, 0, 0], [0, 255, 0], [0, 0, 128]]


def test_a_grid_stacks_strips_of_any_width_under_a_heading() -> None:
    strip = draw_strip(IMAGE, REFERENCE, PREDICTION)
    grid = draw_grid([strip, strip[:10, :60]])
    assert grid.shape == (40 + 2 + 10, 90, 3)
    np.testing.assert_array_equal(grid[:40], strip)
    assert not grid[42:, 60:].any()
    headed = draw_grid([strip], ["lungs", "heart"])
    assert headed.shape[0] > 40 + 2
    np.testing.assert_array_equal(headed[-40:], strip)
    for color in COLORS[:2]:
        assert (headed[:-42] == color).all(-1).any()


def test_learning_curves_show_loss_and_scores_by_epoch() -> None:
    history = {
        "train/loss": [(1, 0.9), (2, 0.5), (3, float("nan"))],
        "val/dice": [(1, 0.5), (2, 0.8), (3, 0.7)],
        "val/miou": [(1, 0.4), (2, 0.7), (3, 0.6)],
        "val/dice_lungs": [(1, 0.6), (2, 0.9), (3, 0.8)],
        "val/iou_lungs": [(1, 0.5), (2, 0.8), (3, 0.7)],
        "learning_rate": [(1, 1e-3)],
    }
    left, right = draw_learning_curves(history).axes
    assert [line.get_label() for line in left.lines] == ["train loss"]
    assert left.lines[0].get_xydata().tolist() == [[1, 0.9], [2, 0.5]]
    assert [line.get_label() for line in right.lines][:3] == ["lungs", "mean Dice", "mIoU"]
    assert right.get_title("right") == "best mean Dice 0.800 at epoch 2"


def test_learning_curves_of_nothing_say_so() -> None:
    figure = draw_learning_curves({"train/loss": [(1, float("nan"))]})
    figure.canvas.draw()
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["nothing recorded"] * 2
