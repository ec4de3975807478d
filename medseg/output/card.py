"""card.md: what a model is for, what it was trained on, how good it is, and what nobody knows of it.

The sections are those of model cards of Hugging Face and MLflow. The text names no file and no patient. The same facts
give the same bytes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import FileSystemLoader, StrictUndefined

from medseg.data.config import PreprocessConfig
from medseg.metrics.statistics import Interval
from medseg.model.checkpoint import ModelCard
from medseg.notice import RESEARCH_USE
from medseg.receipt.environment import Environment
from medseg.receipt.receipt import Code

CARD = "card.md"
"""Name of the model card beside a model file, and among the artifacts of an MLflow run."""

FEW_PATIENTS = 20
"""With fewer test patients, the card says that the intervals cannot show rare failures."""

_EVALUATIONS = "<!-- evaluations -->\n"
"""The line of a card before which an evaluation adds its section."""

_METRICS = {"dice": "Dice", "iou": "IoU", "hd95": "HD95", "assd": "ASSD", "nsd": "NSD"}


@dataclass(frozen=True)
class Score:
    """The mean of one metric over cases, with its 95 % interval; NaN if unknown."""

    mean: float
    interval: Interval


@dataclass(frozen=True)
class Scored:
    """The scores of a model on cases."""

    name: str
    """The cases, such as `test`."""
    cases: int
    patients: int
    scores: Mapping[str, Score]
    """By metric: `dice`, `dice_<class>`, `miou` and so on. Empty for cases that were not scored."""


@dataclass(frozen=True)
class DataFacts:
    """A data set, without anything that tells its patients or files."""

    name: str
    layout: str
    is_synthetic: bool
    cases: int
    patients: int
    rows: tuple[int, int]
    """The smallest and largest number of rows of an image."""
    columns: tuple[int, int]
    sites: Mapping[str, int] = field(default_factory=dict)
    """Site -> number of cases, if the manifest has a column `site`."""


@dataclass(frozen=True)
class TrainingFacts:
    """Everything that only the training itself knows."""

    data: DataFacts
    parts: Sequence[Scored]
    """The split; the validation and test cases with their scores."""
    split: str
    """A sentence on how the cases were split."""
    start: str
    """Sentences on the weights that the training started from, and on the terms of their data."""
    budget: Sequence[str]
    """Lines on budget, epochs, optimizer and augmentation."""
    code: Code
    environment: Environment


@dataclass(frozen=True)
class StressRow:
    """One kind of disturbance: mean Dice of each class on the undisturbed images, and the lowest over its levels."""

    name: str
    unit: str
    worst: Mapping[str, tuple[float, float, float]]
    """Class -> Dice without disturbance, lowest Dice, level of the lowest Dice."""


@dataclass(frozen=True)
class EvaluationFacts:
    """The results of one evaluation."""

    data: str
    model: str
    """16 hex digits of the evaluated model."""
    scored: Scored
    which: str
    """A sentence on which cases were scored."""
    classes: Sequence[str]
    unit: str
    thresholds: Mapping[str, float]
    backend: str
    missing: Mapping[str, int]
    """Metric -> number of cases without a value."""
    groups: Mapping[str, Mapping[str, Scored]] = field(default_factory=dict)
    """Column -> value -> scores."""
    stress: Sequence[StressRow] = ()
    stress_cases: int = 0
    notes: Sequence[str] = ()


def format_card(card: ModelCard, digest: str, num_networks: int, training: TrainingFacts | None) -> str:
    """The card of a model of `num_networks` networks as Markdown; `digest` has the 16 hex digits of its file.

    Without `training`, it says only what the model file knows.
    """
    network = card.build_network()
    return _render(
        "card.md.j2",
        card=card,
        digest=digest,
        number=num_networks,
        parameters=sum(each.numel() for each in network.parameters()),
        preprocessing=describe_preprocessing(card),
        training=training,
        rows=_list_metrics(card.classes, ("dice", "iou")),
        limits=_list_limits(card, training),
        marker=_EVALUATIONS,
        research_use=RESEARCH_USE,
    )


def add_evaluation(card: str, facts: EvaluationFacts) -> str:
    """The card with a section on one more evaluation, before its limitations."""
    before, mark, after = card.partition(_EVALUATIONS)
    rows = _list_metrics(facts.classes, tuple(_METRICS))
    return f"{before}{_render('evaluation.md.j2', facts=facts, rows=rows)}\n{mark}{after}"


def is_card_of(card: str, digest: str) -> bool:
    """Whether a text is the card of the model with these 16 hex digits, and can take an evaluation."""
    return f"- Model: `{digest}` " in card and card.count(_EVALUATIONS) == 1


def describe_preprocessing(card: ModelCard) -> list[str]:
    """Sentences on what happens to an image before the network, and to its output after it."""
    return [*_describe_input(card.preprocess, card.reading.presentation), *_describe_output(card)]


def _describe_input(how: PreprocessConfig, presentation: str) -> list[str]:
    values = "stored modality values" if presentation == "stored" else "values after the VOI LUT or window"
    said = [f"DICOM pixels are read as {values}. Dense tissue is bright."]
    if how.crop == "field":
        said.append("Flat borders, such as collimation, are cut off.")
    if how.intensity == "percentiles":
        low, high = how.percentiles
        said.append(f"Percentiles {low:g} and {high:g} of the image become 0 and 1; values outside are clipped.")
    else:
        said.append(f"The values {how.range[0]:g} and {how.range[1]:g} become 0 and 1; values outside are clipped.")
    if how.equalize:
        said.append("The histogram is equalized.")
    kept = "The aspect ratio is kept, and the rest is black." if how.fit == "pad" else "Both axes are stretched."
    return [*said, f"The image is resized to {how.size[0]} x {how.size[1]} pixels. {kept}"]


def _describe_output(card: ModelCard) -> list[str]:
    inference, said = card.inference, []
    if inference.tta:
        said.append(f"Probabilities are averaged over versions of the image: {', '.join(sorted(inference.tta))}.")
    if card.preprocess.restore == "linear":
        said.append("Probabilities are resized to the original size, and then cut at the threshold.")
    else:
        said.append("Masks are cut at the threshold, and then resized to the original size by nearest neighbor.")
    kept = [f"{name} {number}" for name, number in sorted(inference.components.items())]
    said += [f"The largest connected components are kept: {', '.join(kept)}."] if kept else []
    said += ["Holes in masks are filled."] if inference.fill_holes else []
    if inference.zoom and card.extent is not None:
        said.append(
            f"If the longer side of the box around all masks takes less than {card.extent.smallest:.0%} of what the "
            "network sees, the image is predicted again, enlarged."
        )
    return said


def _list_metrics(classes: Sequence[str], metrics: Sequence[str]) -> list[tuple[str, str]]:
    """The key and the heading of each row of a table of scores."""
    rows = [(f"{metric}_{name}", f"{_METRICS[metric]} {name}") for metric in metrics for name in classes]
    return [*rows, ("dice", "Dice, mean over classes"), ("iou", "IoU, mean over classes"), ("miou", "mIoU")]


def _list_limits(card: ModelCard, training: TrainingFacts | None) -> list[str]:
    """Sentences on what the model is not good for, or what is not known of it."""
    limits = [
        "No study has shown that the model is safe or useful for patients.",
        "The model answers for every image. On images unlike those of its training, it may be wrong without a warning.",
    ]
    if training is None:
        return [*limits, "The model file alone does not say on which data the model was trained."]
    if training.data.is_synthetic:
        limits.append("It has seen synthetic phantoms only. Its scores say nothing about radiographs of patients.")
    elif len(training.data.sites) < 2:
        limits.append("Its images are of one site, or of unknown sites. It may be worse on images of other sites.")
    limits += [
        f"The {part.name} set has {part.patients} patients. Its intervals cannot show failures that are rare."
        for part in training.parts
        if part.scores and part.name != "validation" and part.patients < FEW_PATIENTS
    ]
    if any(part.name == "validation" and part.scores for part in training.parts):
        limits.append("The best weights and thresholds were chosen on the validation set: its scores are too good.")
    if not card.accepts.body_parts or not card.accepts.views:
        limits.append("Body parts or views of its images are not stated, so other images are not refused.")
    return limits


def find_templates(folder: Path) -> Templates:
    """The templates of Markdown pages in `folder`."""
    return Templates(
        loader=FileSystemLoader(folder),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _render(template: str, **values: object) -> str:
    templates = find_templates(Path(__file__).parent)
    templates.filters |= {"code": _as_code, "show": _show, "span": _span, "listed": _list_all, "number": _show_number}
    return templates.get_template(template).render(values)


def _as_code(text: str) -> str:
    """Text of a user as Markdown code in one line, without any character that could end the code or a cell."""
    plain = re.sub(r"[`|<>\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", " ", text).strip()
    return f"`{plain or '-'}`"


def _list_all(texts: Sequence[str], otherwise: str) -> str:
    return ", ".join(_as_code(text) for text in texts) or otherwise


def _show(score: Score | None, digits: int = 4) -> str:
    if score is None or math.isnan(score.mean):
        return "-"
    low, high = score.interval.low, score.interval.high
    interval = "" if math.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{score.mean:.{digits}f}{interval}"


def _show_number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _span(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
