import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from medseg.data.appearance import Part
from medseg.data.augment import Augment
from medseg.data.config import AugmentConfig

CPU = torch.device("cpu")
STILL = {
    "rotate_degrees": 0, "scale": 0, "shift": 0, "shear_degrees": 0, "elastic": 0,
    "gamma": 0, "contrast": 0, "brightness": 0, "noise": 0, "blur": 0, "probability": 1,
}  # fmt: skip


def augment(images, targets, iteration=0, seed=0, **settings):
    return Augment(AugmentConfig(**settings), seed, CPU)(images, targets, iteration)


def draw_disc(rows, columns, radius, row=None, column=None):
    y, x = np.mgrid[:rows, :columns]
    row, column = (rows - 1) / 2 if row is None else row, (columns - 1) / 2 if column is None else column
    return torch.from_numpy((y - row) ** 2 + (x - column) ** 2 <= radius**2)


def draw_batch(count=4, channels=3, rows=96, columns=80):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 1, rows, columns, generator=generator)
    return images, (torch.rand(count, channels, rows, columns, generator=generator) > 0.5).to(torch.uint8)


def test_seed_and_iteration_decide():
    images, targets = draw_batch()
    first, again = augment(images, targets, 7), augment(images, targets, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], augment(images, targets, 8)[0])
    assert not torch.equal(first[0], augment(images, targets, 7, seed=1)[0])


def test_same_object_does_not_remember():
    images, targets = draw_batch()
    changes = Augment(AugmentConfig(), 0, CPU)
    expected = changes(images, targets, 3)[0]
    changes(images, targets, 9)
    assert torch.equal(changes(images, targets, 3)[0], expected)


def test_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    augment(*draw_batch())
    assert torch.equal(torch.get_rng_state(), state)


def test_no_chance_no_change():
    images, targets = draw_batch()
    same, masks = augment(images, targets, probability=0)
    assert torch.equal(same, images)
    assert torch.equal(masks, targets.float())


def test_nothing_to_change_changes_nothing():
    images, targets = draw_batch()
    same, masks = augment(images, targets, **STILL)
    assert torch.allclose(same, images, atol=1e-5)
    assert torch.equal(masks, targets.float())


def test_about_as_many_pictures_change_as_asked_for():
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(400, 1, 32, 32)
    settings = STILL | {"shift": 0.2, "probability": 0.6}
    changed = augment(images, torch.zeros(400, 1, 32, 32, dtype=torch.uint8), **settings)[0]
    moved = ((changed - images).abs().amax(dim=(1, 2, 3)) > 1e-3).float().mean()
    assert moved == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / 400))


@pytest.mark.parametrize("iteration", range(5))
def test_image_and_mask_move_together(iteration):
    masks = torch.stack([draw_disc(128, 96, 30), draw_disc(128, 96, 12, 40, 60)])[:, None].to(torch.uint8)
    settings = {"gamma": 0, "contrast": 0, "brightness": 0, "noise": 0, "blur": 0, "probability": 1}
    images, moved = augment(masks.float(), masks, iteration, **settings)
    assert torch.equal((images >= 0.5).float(), moved)
    assert not torch.equal(moved, masks.float())


def test_masks_stay_masks_and_pictures_near_their_range():
    images, targets = draw_batch()
    for iteration in range(10):
        changed, masks = augment(images, targets, iteration)
        assert set(masks.unique().tolist()) <= {0, 1}
        assert changed.min() > -0.5
        assert changed.max() < 1.5
        assert changed.dtype == masks.dtype == torch.float32
        assert changed.shape == images.shape
        assert masks.shape == targets.shape


@pytest.mark.parametrize("shape", [(128, 256), (256, 128), (160, 160)])
def test_rotated_disc_stays_a_disc(shape):
    """Second moments: both principal axes of a disc are equal, whatever the shape of the picture."""
    disc = draw_disc(*shape, 40)[None, None].to(torch.uint8).expand(8, 1, *shape)
    _, moved = augment(disc.float(), disc, **(STILL | {"rotate_degrees": 45}))
    for mask in moved[:, 0].numpy():
        axes = np.linalg.eigvalsh(np.cov(np.nonzero(mask)))
        assert axes[0] / axes[1] > 0.97
        assert mask.sum() == pytest.approx(float(disc[0].sum()), rel=0.02)


@pytest.mark.parametrize("shape", [(96, 192), (192, 96)])
def test_rotation_turns_a_bar_by_at_most_the_angle_asked_for(shape):
    bar = torch.zeros(64, 1, *shape, dtype=torch.uint8)
    bar[:, :, shape[0] // 2 - 3 : shape[0] // 2 + 3, shape[1] // 2 - 40 : shape[1] // 2 + 40] = 1
    _, moved = augment(bar.float(), bar, **(STILL | {"rotate_degrees": 20}))
    angles = []
    for mask in moved[:, 0].numpy():
        direction = np.linalg.eigh(np.cov(np.nonzero(mask)))[1][:, 1]
        angles.append(np.degrees(np.arctan(direction[0] / direction[1])))
    assert 17 < np.max(np.abs(angles)) < 20.5
    assert min(angles) < -10 < 10 < max(angles)


def test_shift_and_scale_keep_to_their_limits():
    disc = draw_disc(200, 100, 15)[None, None].to(torch.uint8).expand(100, 1, 200, 100)
    _, moved = augment(disc.float(), disc, **(STILL | {"shift": 0.1}))
    centers = np.array([ndimage.center_of_mass(mask) for mask in moved[:, 0].numpy()]) - (99.5, 49.5)
    assert (np.abs(centers).max(axis=0) < (20.1, 10.1)).all()
    assert (np.abs(centers).max(axis=0) > (15, 7.5)).all()
    _, moved = augment(disc.float(), disc, **(STILL | {"scale": 0.2}))
    growth = np.sqrt(moved.sum(dim=(1, 2, 3)).numpy() / float(disc[0].sum()))
    assert 0.7 < growth.min() < 0.85
    assert 1.15 < growth.max() < 1.35


def test_flips_are_off_unless_asked_for():
    half = torch.zeros(32, 1, 40, 60, dtype=torch.uint8)
    half[..., :30] = 1
    still = {"rotate_degrees": 0, "scale": 0, "shift": 0, "shear_degrees": 0, "elastic": 0, "probability": 1}
    assert augment(half.float(), half, **still)[1].equal(half.float())
    assert augment(half.float(), half, **still, flip_columns=1)[1].equal(half.flip(-1).float())
    assert augment(half.float(), half, **still, flip_rows=1)[1].equal(half.float())


def test_targets_in_color_move_but_keep_their_colors():
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    changed, targets = augment(images, images.clone(), **{"probability": 1})
    assert torch.equal(changed, targets)


def test_outside_of_the_picture_is_black():
    ones = torch.ones(8, 1, 64, 64)
    changed, masks = augment(ones, ones.to(torch.uint8), **(STILL | {"shift": 0.5}))
    assert torch.equal(changed >= 0.5, masks > 0)
    assert (masks == 0).any()


def test_blur_smooths_and_noise_roughens():
    images, targets = draw_batch(64, 1, 32, 32)

    def roughness(pictures):
        return (pictures[..., 1:] - pictures[..., :-1]).abs().mean(dim=(1, 2, 3))

    shares = []
    for iteration in range(8):
        blurred, _ = augment(images, targets, iteration, **(STILL | {"blur": 2}))
        shares.append((roughness(blurred) < 0.95 * roughness(images)).float().mean())
    assert 0.15 < max(shares) < 0.55  # a third of the pictures, where the blur drawn for the batch is not too small
    flat = torch.full((64, 1, 32, 32), 0.5)
    assert 0 < roughness(augment(flat, targets, **(STILL | {"noise": 0.1}))[0]).max() < 0.2


def test_a_batch_takes_milliseconds():
    images, targets = draw_batch(4, 3, 256, 256)
    changes, times, threads = Augment(AugmentConfig(), 0, CPU), [], torch.get_num_threads()
    torch.set_num_threads(1)  # threads that share cores with another process wait for each other
    for iteration in range(8):
        began = time.thread_time()
        changes(images, targets, iteration)
        times.append(time.thread_time() - began)
    torch.set_num_threads(threads)
    assert min(times) < 0.1  # alone: 20 ms, on two cores 11 ms


def test_bright_contrast_is_not_clipped_away():
    """A step between .93 and .97 is still a step after any change of gray values."""
    image = torch.full((16, 1, 32, 32), 0.93)
    image[:, :, :, 16:] = 0.97
    image[:, :, :4] = 0.2
    targets = torch.zeros(16, 1, 32, 32, dtype=torch.uint8)
    config = AugmentConfig(noise=0, blur=0, rotate_degrees=0, scale=0, shift=0, shear_degrees=0, elastic=0)
    changed, _ = Augment(config, 0, torch.device("cpu"))(image, targets, 3)
    steps = changed[:, 0, 20, 24] - changed[:, 0, 20, 8]
    assert steps.min() > 0.015


def ramp(count=64):
    """Images whose columns rise from 0 to 1."""
    return torch.linspace(0, 1, 80).expand(count, 1, 64, 80).contiguous(), torch.zeros(count, 1, 64, 80).to(torch.uint8)


def test_shading_is_smooth_and_about_as_strong_as_asked_for():
    images, targets = torch.ones_like(ramp()[0]), ramp()[1]
    factor = augment(images, targets, **STILL, shading=0.1)[0]
    assert 0.05 < float(factor.std()) < 0.15
    assert float(factor.diff(dim=-1).abs().max()) < 0.05


def test_saturation_clips_an_end_and_stretches_the_rest():
    images, targets = ramp()
    changed = augment(images, targets, **STILL, saturate=0.5)[0]
    touched = ~torch.isclose(changed, images).flatten(1).all(dim=1)
    assert 0.1 < float(touched.float().mean()) < 0.6
    for row in changed[touched][:, 0, 0]:
        flat = (row < 1e-6).sum() + (row > 1 - 1e-6).sum()
        assert 2 <= flat <= 82
        assert bool((row.diff() > -1e-6).all())
        assert (float(row.min()), float(row.max())) == pytest.approx((0, 1), abs=1e-5)


def test_solarization_turns_the_bright_end_over():
    images, targets = ramp(256)
    changed = augment(images, targets, **STILL, solarize=0.5)[0][:, 0, 0]
    touched = changed[~torch.isclose(changed, images[:, 0, 0]).all(dim=1)]
    assert 10 < len(touched) < 60
    assert all(0.45 <= float(row.max()) <= 1 and float(row[-1]) < 1 for row in touched)


def test_inversion_exchanges_dark_and_bright_as_often_as_asked_for():
    images, targets = ramp(256)
    changed = augment(images, targets, **STILL, invert=0.25)[0]
    inverted = torch.isclose(changed, 1 - images, atol=1e-5).flatten(1).all(dim=1)
    assert 40 < int(inverted.sum()) < 90
    assert torch.allclose(changed[~inverted], images[~inverted], atol=1e-5)


def test_geometry_and_appearance_are_drawn_independently():
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(400, 1, 32, 32).contiguous()
    targets = (images > 0.5).to(torch.uint8)
    changed, masks = augment(images, targets, **(STILL | {"shift": 0.2, "invert": 0.5, "probability": 0.5}))
    moved = (masks != targets).flatten(1).any(dim=1)
    inverted = changed.mean(dim=(1, 2, 3)) > images.mean() + 0.005  # what moves in is black, and white if inverted
    still = ~moved
    assert 0.35 < float(moved.float().mean()) < 0.6
    shares = [
        float(((changed - images).abs().amax(dim=(1, 2, 3)) > 0.3)[still].float().mean()),
        float(inverted[moved].float().mean()),
    ]
    assert all(0.1 < share < 0.4 for share in shares)


@pytest.mark.parametrize("iteration", range(12))
def test_parts_of_a_batch_change_as_in_the_whole_batch(iteration: int) -> None:
    config = AugmentConfig(probability=0.7, sharpen=1, shading=0.3, saturate=0.3, solarize=0.3, cover=0.5, invert=0.3)
    torch.manual_seed(iteration)
    images, targets = torch.rand(5, 1, 40, 36), (torch.rand(5, 2, 40, 36) > 0.5).to(torch.uint8)
    augment = Augment(config, 0, CPU)
    whole, masks = augment(images, targets, iteration)
    for own in (slice(0, 2), slice(2, 5), slice(4, 5)):
        part, own_masks = augment(images[own], targets[own], iteration, Part.of(5, own))
        torch.testing.assert_close(part, whole[own])
        assert (own_masks != masks[own]).float().mean() < 1e-3  # a rounding at the threshold
