"""What an evaluation finds: the nouns that the command, the page and MLflow share."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medseg.data.findings import Finding
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.statistics import Agreement, Interval, Paired


@dataclass(frozen=True)
class CaseResult:
    """One case: its scores by column of the per-case table (`dice_lungs`, `hd95_lungs`, ...), NaN where missing."""

    case: str
    patient: str
    """A number such as `p012` that stands for the patient, never a PatientID."""
    unit: str
    """Of surface distances: `mm` or `px`."""
    scores: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)
    """Values of the manifest's columns that `by` asks for."""
    digest: str = ""
    """16 hex digits of the SHA-256 of the radiograph's pixels."""
    seen: str = ""
    """`training` or `validation` where the model has seen the case (in `subset` all alone), else empty."""
    picture: NDArray[np.uint8] | None = field(default=None, repr=False)
    """`(rows, columns)` grey preview, longest side at most 512; kept for the cases that are shown alone."""
    reference: NDArray[np.bool_] | None = field(default=None, repr=False)
    """`(class, rows, columns)` at the preview's size."""
    prediction: NDArray[np.bool_] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Summary:
    """One metric over the cases."""

    name: str
    """As in `metrics.json`: `dice_lungs`, `miou`, ..."""
    mean: float
    interval: Interval
    count: int
    """Cases that have a value."""
    missing: int


@dataclass(frozen=True)
class StressCurve:
    """How the mean Dice of each class falls as one disturbance grows; the first level is none."""

    name: str
    unit: str
    levels: Sequence[float]
    dice: Mapping[str, Sequence[float]]
    """By class, one value a level."""
    cases: int = 0
    """How many were spoilt."""


@dataclass(frozen=True)
class Comparison:
    """Paired differences of another model minus this one, by metric; p-values are Holm-corrected over classes."""

    other: str
    differences: Mapping[str, Paired]
    adjusted: Mapping[str, float]
    moved: Sequence[tuple[str, str, float, float]]
    """Case, metric, this model's and the other's value, of the cases that changed most."""
    cases: int = 0
    """How many were compared."""
    patients: int = 0
    """Whose they are."""


@dataclass(frozen=True)
class Evaluation:
    """All that an evaluation found."""

    model: str
    """16 hex digits of the model."""
    data: str
    """What the data set is called."""
    subset: str
    """`unseen` or `all`, as every table must say."""
    left_out: int
    """Cases that the model, or the one it is compared with, was trained or validated on: left out for that."""
    classes: Sequence[str]
    cases: Sequence[CaseResult]
    summaries: Sequence[Summary]
    by: Mapping[str, Mapping[str, Sequence[Summary]]] = field(default_factory=dict)
    """Column -> value -> summaries."""
    calibration: Mapping[str, CalibrationCurve] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """Class -> the model's stored best threshold, mean Dice at it, mean Dice at 0.5."""
    ctr: Agreement | None = None
    """Bias and limits of agreement of the cardiothoracic ratio, prediction minus reference."""
    stress: Sequence[StressCurve] = ()
    comparison: Comparison | None = None
    warnings: Sequence[str] = ()
    findings: Sequence[Finding] | None = None
    """What the checks of a data set found; None where they were run and recorded apart."""
    seconds: float = 0.0
    unit: str = "px"
    """Of the surface distances in `summaries`: that of most cases; those of the others are missing there."""
    cut: Mapping[str, float] = field(default_factory=dict)
    """Class -> the threshold that the masks were cut at."""
    spacing: Mapping[str, int] = field(default_factory=dict)
    """Where the spacing of the radiographs came from (`detector`, ..., `none`) -> how many."""
    backend: str = ""
    """What the network ran on, as `openvino/cpu/bf16`; empty where several did."""
    shown: int = 6
    """How many pictures of the worst, of median and of the best cases were asked for, each."""
    test_set: str = ""
    """As `digest`, of all radiographs that could have been scored, those left out included: the same for any model."""

    @property
    def digest(self) -> str:
        """32 hex digits that stand for the radiographs which were evaluated, in whatever order."""
        return digest_cases(case.digest for case in self.cases)


def digest_cases(digests: Iterable[str]) -> str:
    """32 hex digits that stand for radiographs of these digests, in whatever order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()[:32]
