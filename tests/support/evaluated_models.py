"""Models on data sets, as evaluation sees them, that take a second."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medseg.data.case import CaseSet
from medseg.data.cases import find_cases
from medseg.data.config import EvaluateDataConfig
from medseg.evaluation.candidate import Candidate, build_candidate, read_as
from medseg.evaluation.result import CaseResult
from medseg.inference.choice import build_backend
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model

CLASSES = ("box", "disc")


def place(path: Path, data: EvaluateDataConfig, **predict: Any) -> tuple[Candidate, CaseSet]:
    """The model file on the data set, as the command does it."""
    config = ModelPredictConfig(backend="torch", device="cpu", precision="fp32", **predict)
    model = load_models([str(path)], StoreConfig(), config)
    reading = read_as(model.card, data)
    found = find_cases(reading)
    predictor = build_predictor(model, build_backend(config, model), config)
    return build_candidate(model, predictor, reading, found), found


def write_shapes_model(path: Path, **card: Any) -> Path:
    """A model of the classes of `shapes.write_png_folder`."""
    return write_model(path, card.pop("classes", CLASSES), **card)


def digest(candidate: Candidate, found: CaseSet, *names: str) -> tuple[str, ...]:
    """The digests of the radiographs of these cases."""
    return tuple(candidate.read(case).digest for case in found.cases if case.id in names)


def write_manifest(root: Path, columns: dict[str, list[str]]) -> Path:
    """A manifest with the cases of a folder `root`, in order, and further columns."""
    names = sorted(path.stem for path in (root / "images").iterdir())
    lines = [",".join(["image", *(f"mask_{name}" for name in CLASSES), *columns])]
    for index, name in enumerate(names):
        files = [f"images/{name}.png", *(f"masks/{c}/{name}.png" for c in CLASSES)]
        lines.append(",".join([*files, *(values[index] for values in columns.values())]))
    path = root / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def empty_mask(root: Path, name: str, label: str) -> None:
    """Make the mask of one class of one case empty."""
    path = root / "masks" / label / f"{name}.png"
    with Image.open(path) as image:
        size = image.size
    Image.fromarray(np.zeros(size[::-1], np.uint8)).save(path)


def result(case: str, patient: str = "", unit: str = "px", **scores: float) -> CaseResult:
    return CaseResult(case, patient or f"p{case}", unit, scores)
