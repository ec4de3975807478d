"""A model in memory: one image in, a `Result` out, and folders of images."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from pydicom import Dataset

from medseg.api.result import Origin, Result
from medseg.config import Given, Section, build_config
from medseg.data.preprocess import build_input
from medseg.errors import ConfigError, RadiographError
from medseg.folder.screen import list_doubts, name_terms, screen, screen_terms
from medseg.inference.choice import build_backend
from medseg.inference.config import Addresses, ModelPredictConfig, ReadingInputConfig
from medseg.inference.configuration import digest_settings
from medseg.inference.models import LoadedModel, load_models
from medseg.inference.predictor import Predictor, build_predictor
from medseg.inference.segment import segment
from medseg.model.checkpoint import ModelCard
from medseg.radiograph import Radiograph, read_radiograph
from medseg.radiograph.array import NAME, build_radiograph, check_spacing
from medseg.radiograph.dicom.dataset import as_file
from medseg.radiograph.dicom.description import describe_dicom
from medseg.radiograph.kind import identify
from medseg.radiograph.source import InMemory, open_source
from medseg.tracking.config import StoreConfig

if TYPE_CHECKING:
    from medseg.folder.report import Row

Address = str | os.PathLike[str]
Image = str | os.PathLike[str] | bytes | Dataset | Radiograph | ArrayLike
"""A file, its content, a DICOM object in memory, a radiograph that was read, or an array of modality values."""

_CONTENT = "image.bytes"
"""Name of the content of a file; its format is recognized by the content alone."""


class LoadConfig(Section):
    """How a model predicts: the keys of the predict command."""

    model: Addresses
    """The model, or the models of an ensemble: files, folders, MLflow addresses."""

    predict: ModelPredictConfig = ModelPredictConfig()
    input: ReadingInputConfig = ReadingInputConfig()
    tracking: StoreConfig = StoreConfig()


class Model:
    """A trained model. `load_model` makes one."""

    def __init__(self, loaded: LoadedModel, config: LoadConfig) -> None:
        self._loaded, self._config = loaded, config

    @property
    def card(self) -> ModelCard:
        """The description in the model file: preprocessing, thresholds, accepted images, validation scores."""
        return self._loaded.card

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return self.card.classes

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the SHA-256 of the model file; of an ensemble, of those of all its files."""
        return self._loaded.digest

    @property
    def backend(self) -> str:
        """Library, device and precision of the network, such as `torch/cpu/bf16`."""
        return self._predictor.backend

    def __repr__(self) -> str:
        return f"<medseg.Model {self._loaded.digest}: {', '.join(self.classes)}>"

    def predict(
        self, image: Image, *, spacing_mm: tuple[float, float] | None = None, view: str | None = None
    ) -> Result:
        """Segment one image.

        `image` is the path of a file in any supported format, the bytes of such a file, a `pydicom.Dataset`, a
        radiograph from `medseg.read_radiograph`, or an array `(rows, columns)` of modality values in which dense tissue
        is bright. If the image does not give them, pass `spacing_mm`, the size of a pixel `(row, column)` in
        millimeters, and `view`, such as `"PA"`.

            result = medseg.load_model("OUT/best.pt").predict("image.dcm")
            result.masks["lungs"], result.areas_mm2, result.warnings

        Raises `RadiographError` for an image that cannot be read, and `ConfigError` for a spacing or a view that
        contradicts the image.
        """
        origin, warnings = self._read(image)
        radiograph, predictor = _complete(origin.radiograph, spacing_mm, view), self._predictor
        card = self.card
        found, frame = build_input(radiograph.pixels, radiograph.padding, card.preprocess)
        predicted = predictor.predict(found[None])[0]
        if (zoom := predictor.decision.find_zoom(predicted, frame)) is not None:
            found, frame = build_input(radiograph.pixels, radiograph.padding, card.preprocess, frame=zoom)
            predicted = predictor.predict(found[None])[0]
        segmented = segment(predictor.decision, card.ranges, predicted, frame, radiograph.view)
        known = replace(radiograph, kind=image.kind) if isinstance(image, Radiograph) else radiograph
        doubts = list_doubts(known, name_terms(known, card.accepts), card.orientations)
        return Result(
            segmented,
            replace(origin, radiograph=radiograph, model=self._loaded.digest, configuration=self._configuration),
            self.classes,
            (*warnings, *radiograph.warnings, *doubts, *segmented.warnings),
            lambda: predictor.probabilities(predicted, frame).numpy(),
        )

    def predict_folder(self, folder: Address, output_folder: Address, *given: Given) -> "Iterator[Row]":
        """Segment every radiograph in a folder as `medseg predict` does, and yield each row of the report.

        Masks, report and journal go to `output_folder`. A second call resumes. `given` are more settings of
        `medseg predict`, such as `{"output.formats": ["seg", "png"]}`. The report is written at the end of the
        iteration, so iterate to the end.

            for row in model.predict_folder("INPUT", "MASKS"):
                print(row["path"], row["status"], row["reason"])

        Needs Linux. Raises `ConfigError`, and `StorageError` if a result cannot be written.
        """
        from medseg.commands.predict_dicom import PredictDicomConfig, run
        from medseg.folder.progress import Tally

        own = self._config.model_dump(exclude_unset=True)
        folders = {"input.dir": folder, "output.dir": output_folder}
        config = build_config(PredictDicomConfig, [own, folders, *given])
        return (item for item in run(config, self._loaded) if not isinstance(item, Tally))

    @cached_property
    def _predictor(self) -> Predictor:
        predict = self._config.predict
        return build_predictor(self._loaded, build_backend(predict, self._loaded), predict)

    @cached_property
    def _configuration(self) -> str:
        """The digest of all settings that change the masks; `medseg predict` names its results with the same digest."""
        card, settings = self.card, {"model": self._loaded.digest, "backend": self.backend}
        own = {"decision": self._predictor.decision, "tta": tuple(sorted(card.inference.tta)), "reading": card.reading}
        return digest_settings(settings | own | self._config.input.model_dump())

    def _read(self, image: Image) -> tuple[Origin, list[str]]:
        """The radiograph and the bytes it comes from; a warning if the model is not for it."""
        reading = self.card.reading.model_dump()
        if isinstance(image, Dataset):
            file = as_file(image)
        elif isinstance(image, str | os.PathLike):
            with open_source(image) as opened:
                file = InMemory(opened.read(), image)
        elif isinstance(image, bytes):
            if not image:
                raise RadiographError("is empty", "empty", _CONTENT)
            file = InMemory(image, _CONTENT)
        else:
            radiograph = image if isinstance(image, Radiograph) else build_radiograph(image)
            reason = screen_terms(radiograph, self.card.accepts)
            origin = Origin(_as_channels(radiograph, reading["color"]), InMemory(name=NAME), reading)
            return origin, [reason] if reason else []
        with open_source(file):
            is_dicom = identify(file, file.name) == "dicom"
            reason = screen(describe_dicom(file), self.card.accepts) if is_dicom else None
            code, _, text = (reason or "").partition(": ")
            if code in ("object", "enhanced"):
                raise RadiographError(text, code)
        radiograph = read_radiograph(file, **reading, **self._config.input.model_dump())
        return Origin(radiograph, file, reading), [reason] if reason else []


def load_model(address: Address | Sequence[Address], *given: Given) -> Model:
    """Load a model, or an ensemble of several.

    `address` is a model file (`best.pt`), a list of model files, the output folder of a cross-validation, or an MLflow
    address (`runs:/<id>/model`, `models:/name@alias`). `given` are settings of `medseg predict` in the sections
    predict, input and tracking.

        model = medseg.load_model("OUT/best.pt", {"predict.threshold": "best"})
        model.classes, model.card.metrics

    Raises `CheckpointError` if there is no such model or it is damaged, and `ConfigError` for wrong settings.
    """
    addresses = [address] if isinstance(address, str | os.PathLike) else list(address)
    if not addresses:
        raise ConfigError("address: an empty list; at least one model is needed")
    settings: dict[str, Any] = {"model": [os.fspath(one) for one in addresses]}
    config = build_config(LoadConfig, [settings, *given])
    return Model(load_models(config.model, config.tracking, config.predict), config)


def _complete(radiograph: Radiograph, spacing_mm: tuple[float, float] | None, view: str | None) -> Radiograph:
    """The radiograph, with spacing and view added if it lacks them."""
    if spacing_mm is not None:
        if radiograph.spacing_mm is not None:
            raise ConfigError(
                f"spacing_mm: the image already states its spacing ({radiograph.spacing_mm}). Remove the "
                "argument spacing_mm"
            )
        radiograph = replace(radiograph, spacing_mm=check_spacing(spacing_mm), spacing_source="unspecified")
    if view is not None:
        view = view.upper()
        if radiograph.view not in (None, view):
            raise ConfigError(f"view: the image already states its view ({radiograph.view}). Remove the argument view")
        radiograph = replace(radiograph, view=view)
    return radiograph


def _as_channels(radiograph: Radiograph, color: str) -> Radiograph:
    """A radiograph in memory as input of the model: without a file, and with three channels if the model reads RGB."""
    pixels = radiograph.pixels
    if radiograph.reduction > 1:
        raise RadiographError("was read at a lower resolution (reduce); the model needs all pixels", path=NAME)
    if color != "rgb" and pixels.ndim == 3:
        raise RadiographError("has three channels, but the model reads grayscale images", "color", NAME)
    if color == "rgb" and pixels.ndim == 2:
        pixels = pixels[:, :, None].repeat(3, axis=2)
    return replace(radiograph, pixels=pixels, kind=NAME)
