"""One export: trace the model, write it, run what was written, and compare its masks with those of medseg."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from medseg.atomic import write_text
from medseg.data.preprocess import build_input
from medseg.errors import ConfigError, ExportError
from medseg.export.bundle import write_bundle
from medseg.export.card import write_card
from medseg.export.config import ExportConfig, FormatName
from medseg.export.describe import SCRIPTS, describe
from medseg.export.formats import FORMATS, check_packages, trace
from medseg.export.program import Program
from medseg.inference.backends import list_backends
from medseg.inference.config import ModelPredictConfig
from medseg.inference.decision import build_decision
from medseg.inference.models import LoadedModel, adjust_model, digest_networks
from medseg.inference.predictor import build_predictor
from medseg.metrics.overlap import measure_overlap
from medseg.output.folder import set_aside
from medseg.phantom.chest import draw_phantom
from medseg.receipt.digests import digest_files, digest_values
from medseg.receipt.receipt import RECEIPT, build_receipt

RESULTS = ("model.onnx", "model.xml", "model.bin", "model.pt2", "card.md", "radiograph.py")
BUNDLE = ("configs", "docs", "models", "scripts")
SUMMARY = "summary.json"
_LEAST = 0.99  # Dice of any mask to that of medseg; differences are pixels at the borders
_SIZES = (180, 400, 700)


@dataclass(frozen=True)
class Exported:
    """An exported program."""

    path: Path
    dice: float
    """The lowest Dice between its masks and those of medseg on synthetic radiographs."""


def export_model(model: LoadedModel, config: ExportConfig, folder: Path) -> Exported:
    """Write `model` to `folder`, which this process has claimed. Earlier results go to `earlier/`.

    Raises `ConfigError` if a package is missing, and `ExportError` if the masks of the program differ from those of
    medseg; nothing is written then.
    """
    form = FORMATS[config.format]
    check_packages(form)
    is_color = model.card.reading.color == "rgb"
    if config.format == "bundle" and is_color:
        raise ConfigError(
            "export.format=bundle: the model takes color images, and the bundle reads gray DICOM files. Choose another "
            "format"
        )
    decision = build_decision(model.card, ModelPredictConfig(threshold=config.threshold))
    traced = trace(Program(model, decision).eval(), 3 if is_color else 1)
    with TemporaryDirectory(dir=folder, prefix=".export-", suffix=".tmp") as unfinished:
        new = Path(unfinished)
        facts = describe(model, decision)
        _write_files(traced, facts, config.format, new)
        lowest = compare(form.load(new / form.file), model, config.threshold)
        if lowest < _LEAST:
            raise ExportError(
                f"the masks of the exported program differ from those of medseg: the lowest Dice is {lowest:.4f} on "
                "synthetic radiographs. Choose another export.format"
            )
        receipt = build_receipt(
            "export",
            configuration=digest_values(facts),
            backend=f"{config.format}/cpu/fp32",
            weights=digest_networks(model),
            results=digest_files(new, list_files(new)),
        )
        summary = {"program": form.file, "model": model.digest, "dice": lowest, RECEIPT: receipt.to_json()}
        write_text(new / SUMMARY, json.dumps(summary, indent=2) + "\n")
        set_aside(folder, (SUMMARY, *RESULTS, *BUNDLE))
        for path in new.iterdir():
            path.replace(folder / path.name)
    return Exported(folder / form.file, lowest)


def _write_files(traced: ExportedProgram, facts: Mapping[str, Any], name: FormatName, folder: Path) -> None:
    """Write the program in the format `name`, its card, and the files that run it."""
    form, card = FORMATS[name], write_card(facts, name)
    (folder / form.file).parent.mkdir(exist_ok=True)
    form.write(traced, facts, folder / form.file)
    if name == "bundle":
        write_bundle(traced, facts, card, folder)
    else:
        (folder / "card.md").write_text(card, encoding="utf-8")
        copyfile(SCRIPTS / "radiograph.py", folder / "radiograph.py")


def list_files(folder: Path) -> list[Path]:
    """The files of the export in `folder`, without its summary."""
    tops = [folder / name for name in (*RESULTS, *BUNDLE)]
    return [path for top in tops for path in (top, *top.rglob("*")) if path.is_file()]


def compare(run: Callable[[Tensor], Tensor], model: LoadedModel, threshold: float | Literal["best"]) -> float:
    """The lowest Dice between the masks of `run` and those of medseg in float32, on synthetic radiographs."""
    plain = ModelPredictConfig(
        threshold=threshold, components={}, fill_holes=False, device="cpu", backend="torch", precision="fp32"
    )
    model = adjust_model(model, plain)
    predictor = build_predictor(model, list_backends(plain, model)[0], plain)
    rng, lowest = np.random.default_rng(0), 1.0
    for size in _SIZES:
        pixels = draw_phantom(rng, size).pixels.astype(np.float32)
        if model.card.reading.color == "rgb":
            pixels = np.stack([pixels] * 3, axis=2)
        found, frame = build_input(pixels, None, model.card.preprocess)
        wanted = predictor.masks(predictor.predict(found[None])[0], frame)
        channels = torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1)
        masks = run(channels[None].contiguous())[0]
        dice, *_ = measure_overlap(masks[None], wanted[None], torch.ones(1, len(wanted), dtype=torch.bool))
        lowest = min(lowest, float(dice.nan_to_num(1).min()))
    return lowest
