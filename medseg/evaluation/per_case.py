"""All measurements of one case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medseg.data.preview import Preview, make_preview
from medseg.evaluation.candidate import Candidate, ReadCase
from medseg.evaluation.result import CaseResult
from medseg.metrics.calibration import CalibrationCurve, measure_calibration
from medseg.metrics.measurements import choose_measurements
from medseg.metrics.overlap import measure_overlap
from medseg.metrics.surface import measure_surface

OVERLAP = ("dice", "iou")
SURFACE = ("hd95", "assd", "nsd")
AGREEMENT = ("reference", "prediction", "error")
PREVIEW = 512
"""Largest number of rows or columns of a case's image in the report."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CaseMeasurement:
    """A case's result, and values that are only meaningful as sums over cases."""

    result: CaseResult
    """The scores, without image and masks."""
    counts: NDArray[np.float64]
    """Pixel counts for `mean_iou`, `(class, 3)`."""
    calibration: tuple[CalibrationCurve, ...]
    """One curve per class."""
    thresholds: NDArray[np.float64]
    """Dice at the model's stored best thresholds and at 0.5, `(2, class)`; NaN without a threshold or a reference."""
    spacing_source: str
    warnings: tuple[str, ...]
    preview: Preview | None = field(default=None, repr=False)
    """The image with reference and prediction; None if BurnedInAnnotation is YES."""

    def show(self) -> CaseResult:
        """The result with image and masks."""
        if self.preview is None:
            return self.result
        reference, prediction = np.split(self.preview.masks(), 2)
        return replace(self.result, picture=self.preview.picture(), reference=reference, prediction=prediction)


def name_scores(classes: Sequence[str]) -> list[str]:
    """The names of a case's scores, which are also columns of the tables."""
    names = [f"{metric}_{name}" for name in classes for metric in (*OVERLAP, *SURFACE)]
    names += [f"area_error_{name}" for name in classes]
    return names + [f"{each.name}_{part}" for each in choose_measurements(classes) for part in AGREEMENT]


def write_score(value: float) -> str:
    """A score as text. Scores are rounded to these 8 digits, so that reading the text gives the same score."""
    return f"{value:.8g}"


def measure_case(
    candidate: Candidate, read: ReadCase, predicted: Tensor, patient: str, groups: Mapping[str, str]
) -> CaseMeasurement:
    """Measure one case, given the network's probabilities `(model's class, *size)`."""
    masks = read.hide(candidate.predictor.masks(predicted, read.frame)[candidate.channels])
    uncounted = None if read.ignored is None else read.ignored[None]
    dice, iou, counts = measure_overlap(masks[None], read.reference[None], read.present[None], uncounted)
    scores = {f"dice_{name}": value for name, value in zip(candidate.classes, dice[0].tolist(), strict=True)}
    scores |= {f"iou_{name}": value for name, value in zip(candidate.classes, iou[0].tolist(), strict=True)}
    prediction, reference = masks.numpy(), read.reference.numpy()
    ignored: list[Mask | None] = [None] * len(reference) if read.ignored is None else [*read.ignored.numpy()]
    scores |= _measure_shapes(candidate.classes, prediction, reference, ignored, read)
    probabilities = candidate.predictor.probabilities(predicted, read.frame)[candidate.channels].numpy()
    result = CaseResult(
        case=read.case.id,
        patient=patient,
        unit="px" if read.spacing_mm is None else "mm",
        scores={name: float(write_score(scores[name])) for name in name_scores(candidate.classes)},
        groups=groups,
        digest=read.digest[:16],
        seen=candidate.tell_seen(read),
    )
    shown = not read.shown.image.meta["burned_in"]
    return CaseMeasurement(
        result,
        counts[0].numpy(),
        tuple(
            measure_calibration(probability, mask if known else np.zeros_like(mask), ignored=hidden)
            for probability, mask, known, hidden in zip(
                probabilities, reference, read.present.tolist(), ignored, strict=True
            )
        ),
        _measure_thresholds(candidate, read, predicted, dice[0]),
        read.shown.image.meta["spacing_source"],
        (*read.warnings, *([] if shown else ["burned-in annotation: no image in the report"])),
        make_preview(read.shown.view.mean(dim=0).numpy(), np.concatenate([reference, prediction]), PREVIEW)
        if shown
        else None,
    )


def _measure_shapes(
    classes: Sequence[str], prediction: Mask, reference: Mask, ignored: Sequence[Mask | None], read: ReadCase
) -> dict[str, float]:
    """Surface distances, area errors and errors of measurements; NaN for unknown values."""
    scores: dict[str, float] = {}
    present = dict(zip(classes, read.present.tolist(), strict=True))
    pairs = dict(zip(classes, zip(prediction, reference, strict=True), strict=True))
    for (name, (predicted, true)), hidden in zip(pairs.items(), ignored, strict=True):
        distances = measure_surface(predicted, true, read.spacing_mm, ignored=hidden) if present[name] else None
        for metric in SURFACE:
            scores[f"{metric}_{name}"] = math.nan if distances is None else getattr(distances, metric)
        area = np.count_nonzero(true)
        error = np.count_nonzero(predicted) / area - 1 if area and present[name] else math.nan
        scores[f"area_error_{name}"] = error
    for each in choose_measurements(classes):
        known = all(present[name] for name in each.classes)
        predicted, true = (
            math.nan if found is None or not known else found.value
            for found in map(each.measure, *(pairs[name] for name in each.classes))
        )
        values = (true, predicted, predicted - true)
        scores |= {f"{each.name}_{part}": value for part, value in zip(AGREEMENT, values, strict=True)}
    return scores


def _measure_thresholds(candidate: Candidate, read: ReadCase, predicted: Tensor, scored: Tensor) -> NDArray[np.float64]:
    """Dice at the stored best thresholds and at 0.5, `(2, class)`; `scored` is the Dice of the masks, `(class,)`."""
    best = tuple(candidate.card.thresholds.get(name, math.nan) for name in candidate.card.classes)
    stored = torch.tensor([not math.isnan(best[channel]) for channel in candidate.channels])
    rows = []
    for thresholds in (best, (0.5,) * len(best)) if stored.any() else ():
        dice = scored
        if thresholds != candidate.predictor.decision.thresholds:
            masks = replace(candidate.predictor.decision, thresholds=thresholds).masks(predicted, read.frame)[
                candidate.channels
            ]
            masks = read.hide(masks)
            dice = measure_overlap(masks[None], read.reference[None], read.present[None])[0][0]
        rows.append(torch.where(stored, dice.double(), torch.nan).numpy())
    return np.stack(rows) if rows else np.full((2, len(candidate.classes)), np.nan)
