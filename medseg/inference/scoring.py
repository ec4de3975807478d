"""Scores of a model on cases, at the size of the reference masks."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from medseg.data.case import Case
from medseg.data.config import DataSetConfig
from medseg.data.frame import Frame
from medseg.data.loaders import CachedCases
from medseg.data.masks import read_mask_files, stack_ignored, stack_masks
from medseg.data.transforms import (
    LoadRadiographd,
    ScaleRadiographd,
    apply_transforms,
    as_item,
    build_loading,
    prepare_image,
)
from medseg.hardware.processes import ALONE, Processes
from medseg.inference.predictor import Predictor
from medseg.metrics.overlap import SegmentationScores, ThresholdSearch
from medseg.output.images import format_mask_png, write_mask_png, write_png


def score_cases(
    predictor: Predictor,
    cases: Sequence[Case],
    cached: CachedCases,
    data: DataSetConfig,
    masks: Path | None = None,
    processes: Processes = ALONE,
    chosen: Sequence[int] | None = None,
) -> SegmentationScores:
    """The scores of `cases`, in their order. `cached` holds their network inputs in the same order.

    Indices `chosen` leave out the other cases. If the folder `masks` is given, each mask is written to
    `masks/<class>/<case>.png` with values 0 and 255. Each of several `processes` predicts its share; all get the scores
    of all cases, and the first one writes all masks.
    """
    scores, sent = SegmentationScores(predictor.card.classes), dict[Path, bytes]()
    indices = range(len(cases)) if chosen is None else chosen
    with processes.together():
        found_cases = _predictions(predictor, cases, cached, indices[processes.share(len(indices))], data)
        for case, predicted, frame, reference, ignored, present in found_cases:
            found = predictor.masks(predicted, frame)
            scores.update((found[None], reference[None], present[None], ignored[None]))
            if masks is None:
                continue
            for name, mask in zip(predictor.card.classes, found.numpy(), strict=True):
                path = masks / name / f"{case.id}.png"
                if processes.is_first:
                    write_mask_png(path, mask)
                else:
                    sent[path] = format_mask_png(mask)
    scores.gather(processes)
    for path, content in chain.from_iterable(part.items() for part in processes.collect(sent)):
        write_png(path, content)
    return scores


def search_thresholds(
    predictor: Predictor,
    cases: Sequence[Case],
    cached: CachedCases,
    data: DataSetConfig,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """For each class, the threshold with the best mean Dice over `cases`, which several `processes` share."""
    search, own = ThresholdSearch(predictor.card.classes), processes.share(len(cases))
    with processes.together():
        found_cases = _predictions(predictor, cases, cached, range(len(cases))[own], data)
        for _, predicted, frame, reference, ignored, present in found_cases:
            probabilities = predictor.probabilities(predicted, frame).masked_fill(ignored, 0)
            search.update(probabilities, reference, present)
    search.gather(processes)
    return search.compute()


def _predictions(
    predictor: Predictor, cases: Sequence[Case], cached: CachedCases, indices: Sequence[int], data: DataSetConfig
) -> Iterator[tuple[Case, Tensor, Frame, Tensor, Tensor, Tensor]]:
    """Each case of `indices` with its probabilities at the network's size, the part of its reference that they show,
    the reference, ignored pixels and known classes.
    """
    for first in range(0, len(indices), predictor.batch_size):
        part = list(indices[first : first + predictor.batch_size])
        batch = cached[part]
        maps = predictor.predict(batch["image"])
        for index, predicted, present in zip(part, maps, batch["present"], strict=True):
            case, frame = cases[index], cached.facts[index].frame
            reference, ignored = _reference(case, predictor, data)
            if (zoom := predictor.decision.find_zoom(predicted, frame)) is not None:
                predicted, frame = _predict_closer(predictor, case, data, zoom), zoom
            own = frame.scale((reference.shape[-2], reference.shape[-1]))
            yield case, predicted, own, reference, ignored, present


def _predict_closer(predictor: Predictor, case: Case, data: DataSetConfig, zoom: Frame) -> Tensor:
    """The probabilities of the part `zoom` of a case's image, which is read again."""
    image = apply_transforms(build_loading(data, predictor.card.classes), as_item(case))["image"]
    _, found, _ = prepare_image(image, predictor.card.preprocess, zoom)
    return predictor.predict(found[None])[0]


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
