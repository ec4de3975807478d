"""Scores of a model on cases, at the size of the reference masks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from medseg.data.case import Case
from medseg.data.config import DataSetConfig
from medseg.data.frame import Frame
from medseg.data.loaders import CachedCases
from medseg.data.masks import read_mask_files, stack_ignored, stack_masks
from medseg.data.transforms import LoadRadiographd, ScaleRadiographd
from medseg.inference.predictor import Predictor
from medseg.metrics.overlap import SegmentationScores, ThresholdSearch
from medseg.output.images import write_mask_png


def score_cases(
    predictor: Predictor, cases: Sequence[Case], cached: CachedCases, data: DataSetConfig, masks: Path | None = None
) -> SegmentationScores:
    """The scores of `cases`, in their order. `cached` holds their network inputs in the same order.

    If the folder `masks` is given, each mask is written to `masks/<class>/<case>.png` with values 0 and 255.
    """
    scores = SegmentationScores(predictor.card.classes)
    for case, predicted, frame, reference, ignored, present in _predictions(predictor, cases, cached, data):
        found = predictor.masks(predicted, frame)
        scores.update(((found & ~ignored)[None], reference[None], present[None]))
        if masks is None:
            continue
        for name, mask in zip(predictor.card.classes, found.numpy(), strict=True):
            write_mask_png(masks / name / f"{case.id}.png", mask)
    return scores


def search_thresholds(
    predictor: Predictor, cases: Sequence[Case], cached: CachedCases, data: DataSetConfig
) -> dict[str, float]:
    """For each class, the threshold with the best mean Dice over `cases`."""
    search = ThresholdSearch(predictor.card.classes)
    for _, predicted, frame, reference, ignored, present in _predictions(predictor, cases, cached, data):
        probabilities = predictor.probabilities(predicted, frame).masked_fill(ignored, 0)
        search.update(probabilities, reference, present)
    return search.compute()


def _predictions(
    predictor: Predictor, cases: Sequence[Case], cached: CachedCases, data: DataSetConfig
) -> Iterator[tuple[Case, Tensor, Frame, Tensor, Tensor, Tensor]]:
    """Each case with its probabilities at the network's size, the part of its reference that they show, the reference,
    ignored pixels and known classes.
    """
    for first in range(0, len(cases), predictor.batch_size):
        chosen = cases[first : first + predictor.batch_size]
        batch = cached[list(range(first, first + len(chosen)))]
        maps = predictor.predict(batch["image"])
        facts = cached.facts[first : first + len(chosen)]
        for case, predicted, known, present in zip(chosen, maps, facts, batch["present"], strict=True):
            reference, ignored = _reference(case, predictor, data)
            frame = known.frame.scale((reference.shape[-2], reference.shape[-1]))
            yield case, predicted, frame, reference, ignored, present


def _reference(case: Case, predictor: Predictor, data: DataSetConfig) -> tuple[Tensor, Tensor]:
    """Reference masks and ignored pixels, both bool `(class, rows, columns)`, at the size of the reference.

    For an RGB target, values of at least half the range are foreground.
    """
    if case.target is None:
        files, classes = read_mask_files(case.masks, data, []), predictor.card.classes
        masks, ignored = torch.from_numpy(stack_masks(files, classes)).bool(), stack_ignored(files, classes)
        return masks, torch.zeros_like(masks) if ignored is None else torch.from_numpy(ignored)
    loaded = LoadRadiographd(["image"], data)({"image": case.target})
    target: Tensor = ScaleRadiographd(["image"], predictor.card.preprocess)(loaded)["image"].as_tensor()
    return target >= 0.5, torch.zeros_like(target, dtype=torch.bool)
