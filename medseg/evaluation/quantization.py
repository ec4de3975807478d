"""A network in int8: its ranges measured on training cases, its loss on others, and refused where that is too much."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from medseg.data.case import Case
from medseg.data.findings import Findings
from medseg.errors import DataError, QuantizationError
from medseg.evaluation.config import QuantizationConfig
from medseg.evaluation.subject import ReadCase, Subject, map_cases
from medseg.inference.predictor import Predictor
from medseg.metrics.measurements import CTR, choose_measurements
from medseg.metrics.overlap import measure_overlap
from medseg.model.checkpoint import QuantizationLoss


def gather_images(subject: Subject, cases: Sequence[Case], config: QuantizationConfig) -> list[Tensor]:
    """The network's inputs, `(channel, rows, columns)`, of some cases that the model was trained on.

    The same ones each time. Raises `DataError` where there are none.
    """
    shuffled = random.Random(0).sample(list(cases), len(cases))
    images: list[Tensor] = []
    for case in shuffled:
        if len(images) == config.num_images:
            break
        read = subject.read(case)
        if subject.tell_seen(read) == "training":
            images.append(read.input)
    if not images:
        raise DataError(
            f"{subject.data.root}: holds none of the radiographs that the model was trained on; int8 takes its ranges "
            "from them, data.root is the data set of the training"
        )
    return images


def measure_loss(subject: Subject, quantized: Predictor, cases: Sequence[Case], num_images: int) -> QuantizationLoss:
    """What the masks of `quantized` lose against those of `subject`, at the references' size.

    Over all cases that the model was not trained on. Raises `DataError` where a class is known of none of them.
    """

    def measure(read: ReadCase, predicted: Tensor) -> Tensor:
        """Dice of either, then cardiothoracic ratio of either: `(2, class + 1)`."""
        size = (int(read.reference.shape[-2]), int(read.reference.shape[-1]))
        maps = (predicted, quantized.predict(read.input[None])[0])
        return torch.stack([_measure(subject, read, subject.predictor.masks(one, size)) for one in maps])

    findings = Findings(subject.data.root)
    found = map_cases(subject, cases, measure, lambda read: subject.tell_seen(read) != "training", findings)
    loss = torch.stack([case[0] - case[1] for case in found]) if found else torch.empty(0, len(subject.classes) + 1)
    dice, ctr = loss[:, :-1], average_difference(found)
    for name, known in zip(subject.classes, (~dice.isnan()).any(dim=0).tolist(), strict=True):
        if not known:
            raise DataError(
                f"{subject.data.root}: every case with {name} was trained on; the loss is measured on others"
            )
    return QuantizationLoss(
        images=num_images,
        cases=len(found),
        dice=dict(zip(subject.classes, dice.nanmean(dim=0).tolist(), strict=True)),
        worst=dict(zip(subject.classes, dice.nan_to_num(nan=-1.0).amax(dim=0).tolist(), strict=True)),
        ctr=ctr,
    )


def average_difference(found: Sequence[Tensor]) -> float | None:
    """The mean difference of cardiothoracic ratios, which end the columns of each case's `(2, ...)`.

    Over cases where either network has one, None without such; where only one of them has, the difference counts 1.
    """
    pairs = torch.stack([case[:, -1] for case in found]) if found else torch.empty(0, 2)
    pairs = pairs[~pairs.isnan().all(dim=1)]
    return (pairs[:, 0] - pairs[:, 1]).abs().nan_to_num(nan=1.0).mean().item() if len(pairs) else None


def check_loss(loss: QuantizationLoss, config: QuantizationConfig) -> None:
    """Raise `QuantizationError`, with all that is above the limits."""
    limits = (("mean", loss.dice, config.max_dice_loss), ("worst", loss.worst, config.max_case_loss))
    found = [
        f"{name}: {which} loss of Dice {value:.4f}, limit {limit:g}"
        for which, losses, limit in limits
        for name, value in losses.items()
        if value > limit
    ]
    if loss.ctr is not None and loss.ctr > config.max_ctr_difference:
        found.append(f"cardiothoracic ratio: mean difference {loss.ctr:.4f}, limit {config.max_ctr_difference:g}")
    if found:
        raise QuantizationError(f"int8 is refused, {loss.cases} cases: {'; '.join(found)}")


def _measure(subject: Subject, read: ReadCase, masks: Tensor) -> Tensor:
    masks = masks.clone()
    own = masks[subject.channels] = read.hide(masks[subject.channels])
    dice, _, _ = measure_overlap(own[None], read.reference[None], read.present[None])
    ratio = None
    if CTR in choose_measurements(subject.card.classes):
        ratio = CTR.measure(*(masks[subject.card.classes.index(name)].numpy() for name in CTR.classes))
    return torch.cat([dice[0], torch.tensor([torch.nan if ratio is None else ratio.value])])
