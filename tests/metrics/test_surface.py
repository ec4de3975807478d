import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDiceMetric, SurfaceDistanceMetric
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist

from medseg.metrics.surface import SurfaceDistances, measure_surface

SHAPE = (40, 56)


def draw(*pixels: tuple[int, int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for row, column in pixels:
        mask[row, column] = True
    return mask


def draw_blobs(rng: np.random.Generator) -> np.ndarray:
    """Smooth shapes with holes and islands, often cut by the border of the image."""
    noise = gaussian_filter(rng.normal(size=SHAPE), rng.uniform(0.5, 5))
    return noise > np.quantile(noise, rng.uniform(0.3, 0.95))


def draw_pairs(number: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [(draw_blobs(rng), draw_blobs(rng)) for _ in range(number)]


def measure(prediction: np.ndarray, reference: np.ndarray, *settings: object) -> SurfaceDistances:
    distances = measure_surface(prediction, reference, *(settings or (None,)))
    assert distances is not None
    return distances


def measure_with_monai(prediction: np.ndarray, reference: np.ndarray, spacing: tuple | None) -> tuple:
    pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    metrics = (
        HausdorffDistanceMetric(include_background=True, percentile=95),
        SurfaceDistanceMetric(include_background=True, symmetric=True),
        SurfaceDiceMetric(class_thresholds=[2.0], include_background=True),
    )
    return tuple(float(metric(*pair, spacing=spacing)) for metric in metrics)


def measure_with_itk(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float]) -> tuple:
    """The three distances, from SimpleITK's contours and distance maps."""
    contours, maps = [], []
    for mask in (prediction, reference):
        image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
        image.SetSpacing(spacing[::-1])
        contour = sitk.BinaryContour(image, fullyConnected=False, foregroundValue=1)
        distance = sitk.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
        contours.append(sitk.GetArrayFromImage(contour) == 1)
        maps.append(np.maximum(sitk.GetArrayFromImage(distance), 0))
    directed = maps[1][contours[0]], maps[0][contours[1]]
    both = np.concatenate(directed)
    return max(np.percentile(d, 95) for d in directed), both.mean(), (both <= 2.00001).mean()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.6's own call
@pytest.mark.parametrize("spacing", [None, (0.7, 0.7), (0.35, 1.4)])
def test_equal_to_monai(spacing):
    for prediction, reference in draw_pairs(12, seed=1):
        found = measure(prediction, reference, spacing)
        assert (found.hd95, found.assd, found.nsd) == pytest.approx(
            measure_with_monai(prediction, reference, spacing), rel=1e-5
        )


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.35, 1.4)])
def test_equal_to_itk(spacing):
    for prediction, reference in draw_pairs(12, seed=2):
        found = measure(prediction, reference, spacing)
        assert (found.hd95, found.assd, found.nsd) == pytest.approx(
            measure_with_itk(prediction, reference, spacing), rel=1e-5
        )


def test_two_pixels():
    distances = measure(draw((10, 10)), draw((13, 14)))
    assert distances == SurfaceDistances(hd95=5, assd=5, nsd=0)


def test_spacing_is_row_then_column():
    assert measure(draw((10, 10)), draw((13, 10)), (2.0, 0.5)).hd95 == 6
    assert measure(draw((10, 10)), draw((10, 13)), (2.0, 0.5)).hd95 == 1.5


def test_same_mask():
    mask = draw_blobs(np.random.default_rng(3))
    assert measure(mask, mask) == SurfaceDistances(0, 0, 1)


def test_by_hand():
    line = [(20, column) for column in range(10, 30)]
    found = measure(draw(*line, (10, 12), (30, 22)), draw(*line))
    # 22 distances from the prediction, 20 of them 0, two 10: rank .95 * 21 = 19.95, between 0 and 10; 20 back, all 0
    assert found.hd95 == pytest.approx(9.5)
    assert found.assd == pytest.approx(20 / 42)
    assert found.nsd == pytest.approx(40 / 42)


def test_either_direction_counts():
    line = [(20, column) for column in range(10, 30)]
    assert measure(draw(*line), draw(*line, (10, 12), (30, 22))).hd95 == pytest.approx(9.5)


def test_the_inside_of_a_mask_is_no_contour():
    solid, ring = (draw(shape=SHAPE) for _ in range(2))
    solid[10:20, 10:20] = ring[10:20, 10:20] = True
    ring[12:18, 12:18] = False
    # 36 pixels of the outer border at 0; 24 of the hole's border, two pixels wide and without corners, at 1
    assert measure(ring, solid).assd == pytest.approx(24 / (36 + 24 + 36))


def test_the_edge_of_the_image_is_a_contour():
    full, all_but_one_row = np.ones((10, 12), bool), np.ones((10, 12), bool)
    all_but_one_row[0] = False
    # the full one's top row is 12 pixels at 1; the other's new top row has 10 at 1 but for the two on the sides
    assert measure(all_but_one_row, full).assd == pytest.approx(22 / (40 + 38))


def test_tolerance():
    assert measure(draw((10, 10)), draw((10, 12))).nsd == 1
    assert measure(draw((10, 10)), draw((10, 13))).nsd == 0
    assert measure(draw((10, 10)), draw((10, 13)), None, 3.0).nsd == 1
    assert measure(draw((10, 10)), draw((10, 13)), (0.5, 0.5)).nsd == 1


def test_a_distance_counts_as_the_tolerance_within_the_precision_of_a_header():
    spacing = 0.6666667
    assert 3 * spacing > 2
    assert measure(draw((4, 4)), draw((4, 7)), (spacing, spacing)).nsd == 1


@pytest.mark.parametrize(("one", "other"), [((), ((3, 3),)), (((3, 3),), ()), ((), ())])
def test_empty_is_missing(one, other):
    assert measure_surface(draw(*one), draw(*other), None) is None


def test_contour_beside_ignored_pixels_counts_in_no_distance():
    """An ignored stripe cuts two squares. The rest of their contours is equal, or five pixels apart."""
    reference, prediction, ignored = (np.zeros(SHAPE, bool) for _ in range(3))
    reference[10:20, 10:30] = True
    ignored[:, 25:40] = True
    prediction[10:20, 10:45] = True
    hidden = [mask & ~ignored for mask in (prediction, reference)]
    hidden[0][:, 40:] = False
    distances = measure_surface(hidden[0], hidden[1], None, ignored=ignored)
    assert distances == SurfaceDistances(0, 0, 1)
    moved = hidden[1].copy()
    moved[10:20, 10:15] = False
    measured = measure_surface(moved, hidden[1], None, ignored=ignored)
    kept = [_keep_from(mask, ignored) for mask in (moved, hidden[1])]
    outward, inward = (cdist(*pair).min(axis=1) for pair in (kept, kept[::-1]))
    assert measured is not None
    assert measured.hd95 == pytest.approx(max(np.percentile(outward, 95), np.percentile(inward, 95)))
    assert measured.assd == pytest.approx(np.concatenate([outward, inward]).mean())


def test_contour_that_is_all_beside_ignored_pixels_leaves_no_distance():
    pixel = draw((20, 20))
    assert measure_surface(pixel, pixel, None, ignored=draw((20, 21))) is None


def _keep_from(mask: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """The contour pixels, `(pixel, 2)`, without an ignored pixel among their four neighbors."""
    around = [(0, 1), (0, -1), (1, 0), (-1, 0)]
    return np.array(
        [
            (row, column)
            for row, column in np.argwhere(mask)
            if not all(mask[row + r, column + c] for r, c in around)
            and not any(ignored[row + r, column + c] for r, c in around)
        ]
    )
