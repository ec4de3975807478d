"""Metrics on a page: their names, the better direction, and the format of their values."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Better = Literal["higher", "lower", "nearer zero", "unknown"]


@dataclass(frozen=True)
class MetricKind:
    """A kind of metric, such as Dice, independent of the class."""

    label: str
    meaning: str = ""
    better: Better = "unknown"
    decimals: int = 3
    is_distance: bool = False
    is_signed: bool = False

    def describe(self, unit: str) -> str:
        """The meaning of the metric, with distances in `unit`."""
        return self.meaning.replace("{unit}", unit)


_KINDS = {
    "dice": MetricKind("Dice", "overlap of the masks; 1 is perfect", "higher"),
    "iou": MetricKind("IoU", "intersection over union; 1 is perfect", "higher"),
    "miou": MetricKind("mIoU", "intersection over union of all pixels together, background included", "higher"),
    "hd95": MetricKind(
        "HD95", "95th-percentile Hausdorff distance, {unit}; 0 is perfect", "lower", 2, is_distance=True
    ),
    "assd": MetricKind(
        "ASSD", "average symmetric surface distance, {unit}; 0 is perfect", "lower", 2, is_distance=True
    ),
    "nsd": MetricKind("NSD", "share of the contours within 2 {unit}; 1 is perfect", "higher"),
    "area_error": MetricKind(
        "Area error", "relative to the reference's area; + means too large", "nearer zero", is_signed=True
    ),
    "ctr_reference": MetricKind("CTR, reference", "cardiothoracic ratio of the reference"),
    "ctr_prediction": MetricKind("CTR, prediction", "cardiothoracic ratio of the prediction"),
    "ctr_error": MetricKind(
        "CTR error", "cardiothoracic ratio, prediction minus reference; 0 is perfect", "nearer zero", is_signed=True
    ),
}


@dataclass(frozen=True)
class Figure:
    """A number and its text on the page."""

    value: float
    text: str

    @property
    def missing(self) -> bool:
        """Whether there is no number."""
        return not math.isfinite(self.value)


@dataclass(frozen=True)
class Metric:
    """One column of `per_case.csv`: `dice_lungs` is the kind `dice` of the class `lungs`."""

    name: str
    kind_name: str
    class_name: str | None
    index: int | None
    """Index of the class, which selects its color."""
    kind: MetricKind = field(repr=False)

    def write(self, value: float, *, signed: bool = False) -> Figure:
        """A value with the decimals of its kind and a typographic minus sign."""
        return write_number(value, self.kind.decimals, "+" if signed or self.kind.is_signed else "-")


def parse_metric(name: str, classes: Sequence[str]) -> Metric:
    """The metric of a column. Its class is the longest class name that ends the column's name."""
    found = max((c for c in classes if name.endswith(f"_{c}")), key=len, default=None)
    kind_name = name.removesuffix(f"_{found}") if found else name
    kind = _KINDS.get(kind_name) or MetricKind(kind_name.replace("_", " "))
    return Metric(name, kind_name, found, classes.index(found) if found else None, kind)


def group_by_kind(metrics: Iterable[Metric]) -> list[list[Metric]]:
    """Metrics grouped by kind, kinds in order of first appearance; in each, the metric over all classes comes first."""
    metrics = list(metrics)
    order = {name: place for place, name in enumerate(dict.fromkeys(metric.kind_name for metric in metrics))}
    metrics.sort(key=lambda metric: (order[metric.kind_name], metric.index if metric.index is not None else -1))
    return [list(group) for _, group in groupby(metrics, key=lambda metric: metric.kind_name)]


def write_number(value: float, decimals: int, sign: Literal["+", "-"] = "-") -> Figure:
    """A number with a fixed number of decimals; a non-finite number has no text."""
    if not math.isfinite(value):
        return Figure(value, "")
    rounded = round(value, decimals) + 0.0  # no "-0.000"
    return Figure(value, f"{rounded:{sign}.{decimals}f}".replace("-", "\N{MINUS SIGN}"))


def write_p_value(value: float) -> Figure:
    """A p-value in the style of journals, such as `<0.001`."""
    if math.isfinite(value) and value < 0.001:
        return Figure(value, "<\N{NARROW NO-BREAK SPACE}0.001")
    return write_number(value, 3 if value < 0.1 else 2)
