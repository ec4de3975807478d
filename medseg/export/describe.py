"""What an exported program says of itself, for programs and for people. It holds no digests of training cases."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from medseg.inference.decision import Decision
from medseg.inference.models import LoadedModel
from medseg.notice import RESEARCH_USE

INPUT = (
    "float32 (batch, channel, rows, columns): modality values of images of any one size; dense tissue is bright; "
    "padding pixels are NaN"
)
OUTPUT = "bool (batch, class, rows, columns): the masks, at the size of the images"
SCRIPTS = Path(__file__).with_name("scripts")
"""Files that run an exported program without medseg; exports carry them along."""


def describe(model: LoadedModel, decision: Decision) -> dict[str, Any]:
    """The facts that travel inside of the program, as plain values: classes, preprocessing, thresholds, accepted input.

    `components` and `fill_holes` are what the program leaves to `clean` in radiograph.py. Only medseg does `zoom`.
    """
    card = model.card
    return {
        "medseg_version": version("medseg"),
        "model": model.digest,
        "classes": list(decision.classes),
        "input": INPUT,
        "output": OUTPUT,
        "thresholds": dict(zip(decision.classes, decision.thresholds, strict=True)),
        "preprocess": card.preprocess.model_dump(mode="json"),
        "reading": card.reading.model_dump(mode="json"),
        "accepts": card.accepts.model_dump(mode="json"),
        "tta": list(card.inference.tta),
        "components": dict(decision.components),
        "fill_holes": decision.fill_holes,
        "zoom": decision.extent is not None,
        "networks": len(model.networks),
        "validation": dict(card.metrics),
        "research_use": RESEARCH_USE,
    }
