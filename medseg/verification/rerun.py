"""A result that was made again, compared with the first one: byte for byte, or within tolerances on another machine."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from medseg.data.case import Case, CaseSet
from medseg.data.config import DataConfig
from medseg.evaluation.candidate import Candidate, build_candidate
from medseg.evaluation.files import read_per_case
from medseg.hardware.device import Hardware
from medseg.inference.backends import build_training_backend
from medseg.inference.config import PredictConfig
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.metrics.overlap import measure_overlap
from medseg.receipt.environment import describe_environment
from medseg.receipt.receipt import Receipt, describe_code
from medseg.tracking.config import StoreConfig
from medseg.training.config import TrainingConfig
from medseg.verification.item import Item, Missing

LEAST_DICE = 0.99
"""On another kind of machine: the least mean Dice between the masks of two predictions with one model."""
LEAST_DICE_TRAINED = 0.9
"""On another kind of machine: the least mean Dice between the masks of two trainings."""
MOST_WEIGHTS = 1.0
"""On another kind of machine: the largest relative difference between the weights of two trainings.

Both are wide, since a training makes differences of rounding larger with every step. Trainings on phantoms that
differed only in the number of threads had a Dice of 0.95 and a difference of 0.19 after 80 steps, 0.94 and 0.74 after
320. Weights that have nothing in common differ by 1.4, the square root of 2.
"""
MOST_DIFFERENCE = 0.02
"""On another kind of machine: the largest difference of any Dice between both evaluations."""
NAME = "rerun"


@dataclass(frozen=True)
class Likeness:
    """How alike two results are that are not equal."""

    dice: float | None = None
    """Mean Dice between the masks of both, over cases and classes."""
    weights: float | None = None
    """Norm of the difference of the weights, divided by the norm of the first weights. None for one model."""
    difference: float | None = None
    """Largest difference of a Dice in the tables of two evaluations."""

    @property
    def least_dice(self) -> float:
        """The tolerance of `dice`."""
        return LEAST_DICE if self.weights is None else LEAST_DICE_TRAINED

    def describe(self) -> str:
        """Each figure with its tolerance, as a phrase."""
        said = []
        if self.dice is not None:
            said.append(f"the mean Dice between the masks is {self.dice:.5f} (tolerance: at least {self.least_dice:g})")
        if self.weights is not None:
            limit = f"tolerance: at most {MOST_WEIGHTS:g}"
            said.append(f"the relative difference of the weights is {self.weights:.3g} ({limit})")
        if self.difference is not None:
            limit = f"tolerance: at most {MOST_DIFFERENCE:g}"
            said.append(f"the largest difference of a Dice is {self.difference:.3g} ({limit})")
        return ", ".join(said)

    @property
    def is_close(self) -> bool:
        """Whether every figure is within its tolerance."""
        return (
            (self.dice is None or self.dice >= self.least_dice)
            and (self.weights is None or self.weights <= MOST_WEIGHTS)
            and (self.difference is None or self.difference <= MOST_DIFFERENCE)
        )


def check_budget(train: TrainingConfig, hardware: Hardware) -> None:
    """Raise `Missing` if a training cannot be repeated: the clock ended it, or the CPU lacks bfloat16."""
    if train.minutes is not None:
        raise Missing(
            f"train.minutes={train.minutes:g}: the clock ended this training, so its number of steps depends on the "
            "machine. Set train.epochs or train.tflop instead to make a training that can be repeated"
        )
    if hardware.precision == "bf16" and not hardware.has_bf16:
        raise Missing("the training ran in bfloat16, but this CPU has no instructions for it")


def list_departures(receipt: Receipt) -> list[str]:
    """The reasons why a result need not be equal byte for byte: another code or environment, or a GPU."""
    now = describe_environment(receipt.environment.backend)
    reasons = [*receipt.code.compare(describe_code()), *receipt.environment.compare(now)]
    return [
        *reasons,
        *(["a GPU adds numbers in another order each time"] if receipt.environment.device != "cpu" else []),
    ]


def judge(equal: bool, what: str, departures: Sequence[str], likeness: Likeness | None) -> Item:
    """The item of a result that was made again. `what` names the files that were compared.

    `likeness` is needed if they are not `equal`; None if the results cannot be compared otherwise.
    """
    if equal:
        return Item(NAME, "same", f"{what} are equal, byte for byte")
    if likeness is None:
        return Item(NAME, "changed", f"{what} are not equal")
    said = likeness.describe()
    if not departures:
        return Item(NAME, "changed", f"{what} are not equal, although code and environment are the same: {said}")
    return Item(NAME, "same" if likeness.is_close else "changed", f"not byte for byte: {said}")


def compare_trainings(
    first: Path, second: Path, cases: CaseSet, test: Sequence[Case], data: DataConfig, hardware: Hardware
) -> Likeness:
    """How alike two model files are: their weights, and their masks of the `test` cases."""
    candidates = [_place(path, cases, data, hardware) for path in (first, second)]
    weights = [load_models((str(path),), StoreConfig()).networks[0] for path in (first, second)]
    return Likeness(_average(_compare_masks(candidates, test)), _measure_difference(*weights))


def compare_tables(first: Path, second: Path) -> Likeness | None:
    """How alike the Dice in two `per_case.csv` are. None if they have other cases or other missing values."""
    tables = [{case.case: case.scores for case in read_per_case(path)} for path in (first, second)]
    if tables[0].keys() != tables[1].keys():
        return None
    pairs = [
        (scores[name], tables[1][case].get(name, math.nan))
        for case, scores in tables[0].items()
        for name in scores
        if name.startswith("dice_")
    ]
    if any(math.isnan(a) != math.isnan(b) for a, b in pairs):
        return None
    return Likeness(difference=max((abs(a - b) for a, b in pairs if not math.isnan(a)), default=0.0))


def list_unequal(first: Path, second: Path, names: Sequence[str]) -> list[str]:
    """The files `names` that do not have the same bytes below both folders."""
    return [name for name in names if _read(first / name) != _read(second / name)]


def compare_files(first: Path, second: Path, names: Sequence[str]) -> Likeness | None:
    """How alike the masks in the files `names` are below both folders. None if these formats are no masks."""
    from medseg.radiograph.mask import binarize, read_label_image

    chosen = next((kind for kind in ("png/", "nifti/") if any(name.startswith(kind) for name in names)), None)
    if chosen is None:
        return None
    dice = []
    for name in (name for name in names if name.startswith(chosen)):
        if not ((first / name).is_file() and (second / name).is_file()):
            dice.append(0.0)
            continue
        masks = [torch.from_numpy(binarize(read_label_image(folder / name))) for folder in (first, second)]
        same = masks[0].shape == masks[1].shape
        dice.append(_measure_dice(masks[0][None], masks[1][None])[0] if same else 0.0)
    return Likeness(_average(dice))


def _place(path: Path, cases: CaseSet, data: DataConfig, hardware: Hardware) -> Candidate:
    model = load_models((str(path),), StoreConfig())
    predictor = build_predictor(model, build_training_backend(hardware), PredictConfig())
    return build_candidate(model, predictor, data, cases)


def _compare_masks(candidates: Sequence[Candidate], cases: Sequence[Case]) -> Iterator[float]:
    """The Dice of each case and class between the masks of two models with the same preprocessing."""
    for case in cases:
        read = candidates[0].read(case)
        masks = [
            each.predictor.masks(maps, seen.frame) for each in candidates for seen, maps in each.predict_cases([read])
        ]
        yield from _measure_dice(*masks)


def _measure_dice(first: Tensor, second: Tensor) -> list[float]:
    dice, _, _ = measure_overlap(first[None], second[None], torch.ones(1, len(first), dtype=torch.bool))
    values: list[float] = dice[0].tolist()
    return values


@torch.no_grad()
def _measure_difference(first: nn.Module, second: nn.Module) -> float:
    """The difference of the learned weights; the statistics of batch normalization, which are large, are left out."""
    ours, theirs = (torch.cat([one.double().reshape(-1) for one in each.parameters()]) for each in (first, second))
    return float((ours - theirs).norm() / ours.norm()) if ours.shape == theirs.shape else math.inf


def _average(values: Sequence[float] | Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 1.0


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
