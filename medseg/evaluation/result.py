"""The results of an evaluation, as the command, the report page and MLflow use them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medseg.data.findings import Finding
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.statistics import Agreement, Interval, Paired
from medseg.receipt.receipt import Receipt


@dataclass(frozen=True)
class CaseResult:
    """The scores of one case by column of the per-case table (`dice_lungs`, `hd95_lungs`, ...); NaN if missing."""

    case: str
    patient: str
    """Pseudonym of the patient such as `p012`, never a PatientID."""
    unit: str
    """Unit of surface distances: `mm` or `px`."""
    scores: Mapping[str, float]
    groups: Mapping[str, str] = field(default_factory=dict)
    """Values of the manifest columns named in `by`."""
    digest: str = ""
    """16 hex digits of the SHA-256 of the radiograph's pixels."""
    seen: str = ""
    """`training` or `validation` if the model has seen the case (only with `subset` `all`), else empty."""
    picture: NDArray[np.uint8] | None = field(default=None, repr=False)
    """Grayscale preview `(rows, columns)`, longest side at most 512; only for cases that are shown."""
    reference: NDArray[np.bool_] | None = field(default=None, repr=False)
    """Masks `(class, rows, columns)` at the preview's size."""
    prediction: NDArray[np.bool_] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Summary:
    """One metric over the cases."""

    name: str
    """Name as in `metrics.json`: `dice_lungs`, `miou`, ..."""
    mean: float
    interval: Interval
    count: int
    """Number of cases with a value."""
    missing: int


@dataclass(frozen=True)
class StressCurve:
    """Mean Dice of each class at growing levels of one disturbance; the first level is the undisturbed image."""

    name: str
    unit: str
    levels: Sequence[float]
    dice: Mapping[str, Sequence[float]]
    """Class -> one value per level."""
    cases: int = 0
    """Number of cases in the stress test."""


@dataclass(frozen=True)
class Comparison:
    """Paired differences of another model minus this one, by metric; p-values are Holm-corrected over classes."""

    other: str
    differences: Mapping[str, Paired]
    adjusted: Mapping[str, float]
    moved: Sequence[tuple[str, str, float, float]]
    """Case, metric, value of this model and value of the other, for the cases that changed most."""
    cases: int = 0
    """Number of compared cases."""
    patients: int = 0
    """Number of patients of these cases."""


@dataclass(frozen=True)
class Evaluation:
    """All results of an evaluation."""

    model: str
    """16 hex digits that identify the model."""
    data: str
    """Name of the data set."""
    subset: str
    """`unseen` or `all`; every table must state it."""
    left_out: int
    """Number of cases left out because this model, or the compared model, was trained or validated on them."""
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
    """Findings of the data set checks; None if they were run and recorded elsewhere."""
    seconds: float = 0.0
    unit: str = "px"
    """Unit of the surface distances in `summaries`, used by most cases; distances in the other unit are missing."""
    cut: Mapping[str, float] = field(default_factory=dict)
    """Class -> threshold of the masks."""
    spacing: Mapping[str, int] = field(default_factory=dict)
    """Source of the pixel spacing (`detector`, ..., `none`) -> number of radiographs."""
    backend: str = ""
    """Backend of the network, such as `openvino/cpu/bf16`; empty if there were several."""
    shown: int = 6
    """Requested number of worst, of median and of best cases with images."""
    test_set: str = ""
    """Like `digest`, but over all radiographs that could be scored, left-out ones included: the same for any model."""
    content: str | None = None
    """Digest of all radiographs and references that were read. None if unknown."""
    receipt: Receipt | None = field(default=None, repr=False)

    @property
    def digest(self) -> str:
        """32 hex digits that identify the evaluated radiographs, in any order."""
        return digest_cases(case.digest for case in self.cases)


def digest_cases(digests: Iterable[str]) -> str:
    """32 hex digits that identify radiographs with these digests, in any order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()[:32]
