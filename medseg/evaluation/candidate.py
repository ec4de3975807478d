"""One model on one data set: reads cases for the model, predicts them, and knows which cases the model has seen."""

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from torch import Tensor
from tqdm import tqdm

from medseg.checks.duplicates import check_copies
from medseg.checks.items import summarize_item
from medseg.checks.run import check_set
from medseg.checks.survey import CaseSurvey
from medseg.data.case import Case, CaseSet, as_text
from medseg.data.config import CasesConfig, DataSetConfig
from medseg.data.findings import Findings
from medseg.data.frame import Frame
from medseg.data.loaders import digest_labels
from medseg.data.preprocess import fit
from medseg.data.threads import map_in_threads
from medseg.data.transforms import (
    LoadRadiographd,
    ScaleRadiographd,
    apply_transforms,
    as_item,
    build_loading,
    prepare_image,
)
from medseg.errors import DataError, RadiographError
from medseg.hardware.cores import count_cores
from medseg.inference.choice import build_backend
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel
from medseg.inference.predictor import Predictor, build_predictor
from medseg.model.checkpoint import ModelCard
from medseg.radiograph.image import digest_pixels
from medseg.radiograph.kind import KINDS

T = TypeVar("T")

_IN_MEMORY = 16
_TAGS = {"modalities": "modality", "body_parts": "body_part", "views": "view"}


@dataclass(frozen=True, eq=False)
class Shown:
    """A radiograph, and what the network sees of it."""

    image: MetaTensor = field(repr=False)
    """Modality values `(channel, rows, columns)`; `meta` has the metadata of the file."""
    view: Tensor = field(repr=False)
    """The scaled image `(channel, rows, columns)` in [0, 1], at the radiograph's size."""
    input: Tensor = field(repr=False)
    """The network's input, `(channel, *size)`."""
    frame: Frame
    """The part of the image that the network's input shows."""


@dataclass(frozen=True, eq=False)
class ReadCase:
    """One case in memory, read once for the network, the scores and the preview."""

    case: Case
    shown: Shown
    reference: Tensor = field(repr=False)
    """Reference masks, bool `(class, rows, columns)`, at their own size."""
    present: Tensor
    """Bool `(class,)`: True for each class with a reference."""
    digest: str
    negative: str
    """The digest of the radiograph with dark and bright exchanged; empty if the file states its polarity."""
    warnings: tuple[str, ...]
    ignored: Tensor | None = field(default=None, repr=False)
    """Ignored pixels, bool and shaped like `reference`, which is background there. None if no pixel is ignored."""
    survey: CaseSurvey | None = field(default=None, repr=False)

    def hide(self, masks: Tensor) -> Tensor:
        """Masks shaped like `reference`, with ignored pixels set to background."""
        return masks if self.ignored is None else masks & ~self.ignored

    @property
    def frame(self) -> Frame:
        """The part of the reference that the network's input shows."""
        return self.shown.frame.scale((self.reference.shape[-2], self.reference.shape[-1]))

    @property
    def content(self) -> str:
        """Digest of the radiograph and its reference, as they were read."""
        return self.digest + digest_labels(self.reference, self.present, self.ignored)

    @property
    def spacing_mm(self) -> tuple[float, float] | None:
        """Spacing of the reference's pixels, `(row, column)`; None if the radiograph does not state it."""
        known = self.shown.image.meta["spacing_mm"]
        if known is None:
            return None
        row, column = (n / m for n, m in zip(self.shown.image.shape[-2:], self.reference.shape[-2:], strict=True))
        return known[0] * row, known[1] * column


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model, and the settings with which a data set is read for it."""

    digest: str
    """16 hex digits that identify the model."""
    predictor: Predictor
    data: DataSetConfig
    classes: tuple[str, ...]
    """Scored classes: the model's classes that the data set has, in the model's order."""

    @property
    def card(self) -> ModelCard:
        """The model card stored in the model file."""
        return self.predictor.card

    @cached_property
    def channels(self) -> list[int]:
        """Channels of the model's output that belong to `classes`."""
        return [self.card.classes.index(name) for name in self.classes]

    @cached_property
    def _seen(self) -> dict[str, str]:
        return dict.fromkeys(self.card.validation_digests, "validation") | dict.fromkeys(
            self.card.train_digests, "training"
        )

    def tell_seen(self, read: ReadCase) -> str:
        """`training` or `validation` if the model has seen the radiograph in either polarity, else empty."""
        return self._seen.get(read.digest) or self._seen.get(read.negative, "")

    def read(self, case: Case, *, look: bool = False) -> ReadCase:
        """The case, read as in training, with its reference at its own size.

        With `look`, the result also has the survey that the checks need. Raises `RadiographError`.
        """
        masks = {name: source for name, source in case.masks.items() if name in self.classes}
        item = apply_transforms(self._load, as_item(replace(case, masks=masks)))
        image = item["image"]
        if self.data.color == "rgb":
            loaded: dict[Hashable, Any] = {"target": item["target"]}
            target = ScaleRadiographd(["target"], self.card.preprocess)(loaded)["target"].as_tensor()
            reference, present = target[self.channels] >= 0.5, torch.ones(len(self.classes), dtype=torch.bool)
        else:
            reference, present = item["mask"].bool(), item["present"]
        shown = self.prepare(image)
        warnings = (*image.meta["warnings"], *item.get("mask_warnings", ()), *self._judge(image))
        digest = digest_pixels(image.as_tensor().numpy())
        negative = self._digest_negative(case, image)
        survey = self._look(item, shown) if look else None
        ignored = item["ignored"].bool() if "ignored" in item else None
        return ReadCase(case, shown, reference, present, digest, negative, warnings, ignored, survey)

    def prepare(self, image: MetaTensor, frame: Frame | None = None) -> Shown:
        """What the network sees of a radiograph: the part `frame`, or the one that the card's settings choose."""
        return Shown(image, *prepare_image(image, self.card.preprocess, frame))

    def predict(self, shown: Sequence[Shown]) -> list[tuple[Shown, Tensor]]:
        """Probabilities `(model's class, *size)` of images, in batches of `predict.batch_size`.

        An image whose masks are small is predicted again, enlarged, if the model does so. What it showed then comes
        with the probabilities.
        """
        seen, maps = list(shown), self._predict([each.input for each in shown])
        for index, each in enumerate(shown):
            if (zoom := self.predictor.decision.find_zoom(maps[index], each.frame)) is not None:
                seen[index] = self.prepare(each.image, zoom)
                maps[index] = self.predictor.predict(seen[index].input[None])[0]
        return list(zip(seen, maps, strict=True))

    def predict_cases(self, cases: Sequence[ReadCase]) -> list[tuple[ReadCase, Tensor]]:
        """The cases as the network has seen them, each with its probabilities; see `predict`."""
        predicted = self.predict([read.shown for read in cases])
        return [(replace(read, shown=shown), maps) for read, (shown, maps) in zip(cases, predicted, strict=True)]

    def _predict(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        size = self.predictor.batch_size
        batches = [torch.stack(list(inputs[first : first + size])) for first in range(0, len(inputs), size)]
        return [maps for batch in batches for maps in self.predictor.predict(batch)]

    @cached_property
    def _load(self) -> Compose:
        return build_loading(self.data, self.classes)

    def _look(self, item: dict[str, Any], shown: Shown) -> CaseSurvey:
        """The survey of a loaded item for the checks."""
        masks = None
        if self.data.color != "rgb":
            masks = fit(item["mask"], self.card.preprocess, shown.frame) >= 0.5
        return summarize_item(item, fit(shown.view, self.card.preprocess, shown.frame), masks, self.classes)

    def _digest_negative(self, case: Case, image: MetaTensor) -> str:
        """The digest of `image` read with the opposite `data.invert`, which training may have used."""
        if KINDS[image.meta["kind"]].states_polarity:
            return ""
        exif = "apply" if image.meta["exif_orientation"] else "ignore"
        inverted = self.data.model_copy(update={"invert": not self.data.invert, "exif": exif})
        negative = LoadRadiographd(["image"], inverted)({"image": case.image})["image"]
        return digest_pixels(negative.as_tensor().numpy())

    def _judge(self, image: MetaTensor) -> list[str]:
        """Warnings about tags of the radiograph that the model does not accept."""
        return [
            f"{tag}: the model only accepts {', '.join(accepted)}"
            for name, tag in _TAGS.items()
            if (accepted := getattr(self.card.accepts, name)) and image.meta[tag] not in (None, *accepted)
        ]


def read_as(card: ModelCard, data: CasesConfig) -> DataSetConfig:
    """The settings of the data set, with radiographs read as in the model's training."""
    given = {name: getattr(data, name) for name in CasesConfig.model_fields}
    return DataSetConfig(**given, **card.reading.model_dump())


def build_candidate(model: LoadedModel, predictor: Predictor, data: DataSetConfig, found: CaseSet) -> Candidate:
    """The model on the cases `found`; `data` comes from `read_as`. Raises `DataError` if they share no class."""
    known = set(found.classes)
    if data.color != "rgb":
        known &= {name for case in found.cases for name in case.masks}
    classes = tuple(name for name in model.card.classes if name in known)
    if not classes:
        raise DataError(
            f"{as_text(data.root)}: has masks of {', '.join(found.classes)}, but the model segments "
            f"{', '.join(model.card.classes)}: no class in common. For label maps, name the classes with "
            "data.classes or data.colors"
        )
    return Candidate(model.digest, predictor, data, classes)


def place_model(model: LoadedModel, found: CaseSet, data: CasesConfig, predict: ModelPredictConfig) -> Candidate:
    """The model on the cases `found`, on the backend that `predict` selects. Raises as `build_candidate` does."""
    predictor = build_predictor(model, build_backend(predict, model), predict)
    return build_candidate(model, predictor, read_as(model.card, data), found)


def map_cases(
    candidate: Candidate,
    cases: Sequence[Case],
    work: Callable[[ReadCase, Tensor], T],
    wanted: Callable[[ReadCase], bool] = lambda read: True,
    checked: Findings | None = None,
) -> list[T]:
    """The results of `work` on each `wanted` case and its probabilities `(class, *size)`, in the order of `cases`.

    Files are read in threads, the network runs in batches; at most 16 cases, or one batch, are in memory at a time. If
    `checked` is given, all checks of a data set run on the cases and add their findings to it. Raises `DataError` with
    every case that cannot be read and every other error found.
    """
    findings = Findings(candidate.data.root) if checked is None else checked
    results, surveys, failed = list[T](), list[CaseSurvey](), False

    def read(case: Case) -> ReadCase | RadiographError:
        try:
            return candidate.read(case, look=checked is not None)
        except RadiographError as error:
            return error

    step = max(candidate.predictor.batch_size, min(2 * count_cores(), _IN_MEMORY))
    with tqdm(total=len(cases), unit=" cases", file=sys.stderr, disable=None) as progress:
        for first in range(0, len(cases), step):
            chosen: list[ReadCase] = []
            chunk = cases[first : first + step]
            for case, found in zip(chunk, map_in_threads(read, chunk), strict=True):
                if isinstance(found, RadiographError):
                    findings.add_error(case.id, found)
                    failed = True
                    continue
                surveys += [found.survey] if found.survey else []
                if wanted(found):
                    chosen.append(found)
            if chosen and not failed:
                results += (work(*predicted) for predicted in candidate.predict_cases(chosen))
            progress.update(len(chunk))
    if checked is not None:
        names, prints = [survey.id for survey in surveys], [survey.fingerprint for survey in surveys]
        check_copies(names, ["evaluated"] * len(names), prints, False, findings)
        check_set(surveys, () if candidate.data.color == "rgb" else candidate.classes, findings)
    findings.check()
    return results
