"""Dice, IoU and the article's mIoU as an Ignite metric, and the search for the best thresholds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric
from monai.metrics import compute_dice, compute_iou
from torch import Tensor

from medseg.hardware.processes import Processes
from medseg.metrics.statistics import Interval, Values, bootstrap, bootstrap_mean, divide


def measure_overlap(
    prediction: Tensor, reference: Tensor, present: Tensor, ignored: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Dice and IoU, both float32 `(batch, class)`, and the pixel counts for `mean_iou`. All are on the CPU.

    The masks are bool `(batch, class, rows, columns)`. `present`, bool `(batch, class)`, tells which classes are known.
    Pixels that are `ignored`, bool with the shape of the masks, do not count. Dice and IoU are 1 if both masks are
    empty, 0 if one is empty, and NaN for an unknown class. The pixel counts, float64 `(batch, class, 3)`, are those in
    both masks, in either mask and in the image; 0 for an unknown class.
    """
    known = present[:, :, None, None].expand_as(prediction)
    if ignored is not None:
        prediction, reference, known = prediction & ~ignored, reference & ~ignored, known & ~ignored
    unknown = torch.where(present, 0.0, torch.nan).cpu()
    dice = compute_dice(prediction.float(), reference.float(), include_background=True, ignore_empty=False)
    iou = compute_iou(prediction.float(), reference.float(), include_background=True, ignore_empty=False)
    counted = (prediction & reference & known, (prediction | reference) & known, known)
    counts = torch.stack([pixels.sum(dim=(2, 3)) for pixels in counted], dim=2).double().cpu()
    return dice.reshape(unknown.shape).cpu() + unknown, iou.reshape(unknown.shape).cpu() + unknown, counts


def mean_iou(counts: Tensor) -> Tensor:
    """The article's mIoU `(...)`, from the pixel counts `(..., class, 3)` of `measure_overlap`, summed over cases.

    It is the mean of foreground and background IoU, averaged over the classes that have pixels; NaN if none has.
    """
    both, either, pixels = counts.unbind(dim=-1)
    foreground = torch.where(either > 0, both / either, 1.0)
    outside_both, outside_either = pixels - either, pixels - both
    background = torch.where(outside_either > 0, outside_both / outside_either, 1.0)
    return torch.where(pixels > 0, (foreground + background) / 2, torch.nan).nanmean(dim=-1)


def find_overall(weights: Values, overlap: Values, counts: Values, num_classes: int) -> Values:
    """Dice, IoU and mIoU over classes, `(resamples, 3)`, of cases with the `weights` `(resamples, cases)`.

    `overlap` is `(cases, 2 * classes)`: Dice of each class, then IoU, NaN if unknown. `counts` is
    `(cases, 3 * classes)`, the pixel counts of `measure_overlap`.
    """
    known = np.isfinite(overlap).astype(np.float64)
    sums, numbers = weights @ np.nan_to_num(overlap), weights @ known
    over_classes = torch.from_numpy(divide(sums, numbers).reshape(-1, 2, num_classes)).nanmean(dim=2)
    together = mean_iou(torch.from_numpy((weights @ counts).reshape(-1, num_classes, 3)))
    found: Values = torch.cat([over_classes, together[:, None]], dim=1).numpy()
    return found


class SegmentationScores(Metric):
    """`dice`, `iou`, `miou`, `dice_<class>` and `iou_<class>` over all added cases.

    `dice_<class>` and `iou_<class>` are means over cases of MONAI's metrics with ignore_empty=False: 1 if both masks
    are empty, 0 if one is empty. `dice` and `iou` are their means over classes. `miou` is the article's metric and
    includes the background: one confusion matrix for each class over all cases gives the mean of foreground and
    background IoU, which is averaged over classes. A class that is unknown in all cases is left out.
    """

    def __init__(self, classes: Sequence[str], output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        self.classes = tuple(classes)
        super().__init__(output_transform)

    def reset(self) -> None:
        """Remove all cases."""
        self._dice: list[Tensor] = []
        self._iou: list[Tensor] = []
        self._counts: list[Tensor] = []

    def update(self, output: tuple[Tensor, ...]) -> None:
        """Add cases: the arguments of `measure_overlap`."""
        dice, iou, counts = measure_overlap(*(tensor.detach() for tensor in output))
        self._dice.append(dice)
        self._iou.append(iou)
        self._counts.append(counts)

    def gather(self, processes: Processes) -> None:
        """Add the cases of all processes, in order of rank."""
        parts = zip(*processes.gather((self._dice, self._iou, self._counts)), strict=True)
        self._dice, self._iou, self._counts = ([each for part in kind for each in part] for kind in parts)

    def compute(self) -> dict[str, float]:
        """The scores by name, without classes that are unknown in all cases."""
        counts = torch.cat(self._counts).sum(dim=0)
        known = counts[:, 2] > 0
        scores = {"miou": float(mean_iou(counts))}
        for name, values in (("dice", self._dice), ("iou", self._iou)):
            means = torch.cat(values).nanmean(dim=0)
            scores |= {f"{name}_{c}": float(m) for c, m, k in zip(self.classes, means, known, strict=True) if k}
            scores[name] = float(means[known].mean())
        return scores

    def find_intervals(self, patients: Sequence[str], seed: int) -> dict[str, Interval]:
        """The 95 % intervals of `compute`; patients are resampled. `patients` has the patient of each added case."""
        overlap = torch.cat([torch.cat(self._dice), torch.cat(self._iou)], dim=1).double().numpy()
        counts = torch.cat(self._counts).flatten(1).numpy()
        names = [f"{metric}_{name}" for metric in ("dice", "iou") for name in self.classes]
        intervals = dict(zip(names, bootstrap_mean(overlap, patients, seed), strict=True))
        whole = bootstrap(lambda w: find_overall(w, overlap, counts, len(self.classes)), patients, seed)
        intervals |= zip(("dice", "iou", "miou"), whole, strict=True)
        return {name: intervals[name] for name in self.compute()}


class ThresholdSearch:
    """Finds the threshold with the best mean Dice over cases for each class, among multiples of `1 / num_bins`."""

    def __init__(self, classes: Sequence[str], num_bins: int = 40) -> None:
        self.classes = tuple(classes)
        self.num_bins = num_bins
        self._dice: list[Tensor] = []

    def update(self, probabilities: Tensor, reference: Tensor, present: Tensor) -> None:
        """Add one case: probabilities and reference, `(class, rows, columns)`, and `present`, bool `(class,)`."""
        bins = (probabilities.double() * self.num_bins).floor().long().clamp(0, self.num_bins - 1).flatten(1)
        predicted = torch.stack([torch.bincount(b, minlength=self.num_bins) for b in bins])
        inside = reference.flatten(1)
        correct = torch.stack(
            [torch.bincount(b[r], minlength=self.num_bins) for b, r in zip(bins, inside, strict=True)]
        )
        above, above_correct = (counts.flip(1).cumsum(1).flip(1).double() for counts in (predicted, correct))
        total = above + inside.sum(dim=1, keepdim=True)
        dice = torch.where(total > 0, 2 * above_correct / total, 1.0)
        self._dice.append(torch.where(present[:, None], dice, torch.nan))

    def gather(self, processes: Processes) -> None:
        """Add the cases of all processes, in order of rank."""
        self._dice = [each for part in processes.gather(self._dice) for each in part]

    def compute(self) -> dict[str, float]:
        """The best threshold by class. Among equal ones, the nearest to 0.5; 0.5 if no case knows the class."""
        if not self._dice:
            return dict.fromkeys(self.classes, 0.5)
        means = torch.stack(self._dice).nanmean(dim=0)
        candidates = torch.arange(1, self.num_bins, dtype=torch.float64) / self.num_bins
        best = {}
        for name, dice in zip(self.classes, means[:, 1:], strict=True):
            winners = (
                candidates[dice >= dice.max() - 1e-12]
                if not dice.isnan().any()
                else torch.tensor([0.5], dtype=torch.float64)
            )
            best[name] = float(winners[(winners - 0.5).abs().argmin()])
        return best
