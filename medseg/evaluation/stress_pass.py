"""Stress test of a model: its Dice on radiographs that are more and more disturbed."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor
from tqdm import tqdm

from medseg.data.case import Case
from medseg.data.masks import resize_masks
from medseg.data.stress import STRESSES, Stress, apply_stress
from medseg.data.threads import map_in_threads
from medseg.evaluation.candidate import Candidate, ReadCase, Shown
from medseg.evaluation.per_case import CaseMeasurement
from medseg.evaluation.result import StressCurve
from medseg.metrics.overlap import measure_overlap


def measure_stress(
    candidate: Candidate, cases: Sequence[Case], measured: Sequence[CaseMeasurement], number: int
) -> list[StressCurve]:
    """The stress curves over `number` of the `measured` cases, those with the smallest digests.

    The values at level 0 come from `measured`. All levels of a case share the same side, direction or noise pattern.
    """
    chosen = sorted(measured, key=lambda case: case.result.digest)[:number]
    by_id = {case.id: case for case in cases}
    shown = tqdm(chosen, unit=" cases under stress", file=sys.stderr, disable=None)
    dice = torch.stack([_measure_levels(candidate, candidate.read(by_id[case.result.case])) for case in shown])
    before = [[case.result.scores[f"dice_{name}"] for name in candidate.classes] for case in chosen]
    start = torch.tensor(before, dtype=torch.float64).nanmean(dim=0).tolist()
    means = dice.double().nanmean(dim=0).numpy()
    return [
        StressCurve(
            stress.name,
            stress.unit,
            (0, *stress.levels),
            {name: (start[i], *means[row, :, i].tolist()) for i, name in enumerate(candidate.classes)},
            len(chosen),
        )
        for row, stress in enumerate(STRESSES)
    ]


def _measure_levels(candidate: Candidate, read: ReadCase) -> Tensor:
    """The Dice of one case `(stress, level, class)`."""

    def measure(predicted: tuple[Shown, Tensor], reference: Tensor, ignored: Tensor) -> Tensor:
        shown, maps = predicted
        own = shown.frame.scale((reference.shape[-2], reference.shape[-1]))
        masks = candidate.predictor.masks(maps, own)[candidate.channels] & ~ignored
        return measure_overlap(masks[None], reference[None], read.present[None])[0]

    rows, read = [], _fill_padding(read)
    for stress in STRESSES:
        images, *references = zip(*map_in_threads(partial(_spoil, read, stress), stress.levels), strict=True)
        predicted = candidate.predict(list(map(candidate.prepare, images)))
        rows.append(torch.cat(list(map(measure, predicted, *references))))
    return torch.stack(rows)


def _fill_padding(read: ReadCase) -> ReadCase:
    """The case with the median of its image in the padding, whose own value may be far from all others.

    So a level of a stress means about the same as without padding.
    """
    image = read.shown.image
    padding = image.meta["padding"]
    if padding is None:
        return read
    pixels, hidden = image.as_tensor().clone(), torch.from_numpy(padding)
    pixels[:, hidden] = pixels[:, ~hidden].median()
    return replace(read, shown=replace(read.shown, image=MetaTensor(pixels, meta=image.meta)))


def _spoil(read: ReadCase, stress: Stress, level: float) -> tuple[MetaTensor, Tensor, Tensor]:
    """The radiograph at one level of a stress, with its reference and its ignored pixels.

    Masks, ignored pixels and padding move with the image.
    """
    pixels, padding = read.shown.image.as_tensor()[0].numpy(), read.shown.image.meta["padding"]
    reference = read.reference.numpy()
    ignored = np.zeros_like(reference) if read.ignored is None else read.ignored.numpy()
    masks = np.concatenate([reference, ignored])
    moves = stress.name in ("rotation", "shift")
    if moves:
        masks = resize_masks(masks, pixels.shape)
        masks = masks if padding is None else np.concatenate([masks, padding[None]])
    seed = hashlib.sha256(f"{read.digest} {stress.name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8]))
    changed, moved = apply_stress(stress.name, level, pixels, masks, rng)
    if moves and padding is not None:
        moved, padding = moved[:-1], moved[-1]
    image = MetaTensor(torch.from_numpy(changed)[None], meta={**read.shown.image.meta, "padding": padding})
    own, hidden = torch.from_numpy(moved).chunk(2)
    return image, own & ~hidden, hidden
