"""The commands, a page each: its settings, a `run` that reads as the data flow, and a `main` that prints."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medseg.config import Section

COMMANDS = {
    "train": ("train_xray", "train a network on images and masks"),
    "evaluate": ("evaluate_xray", "measure how good a model is, on images with masks"),
    "predict": ("predict_dicom", "segment every radiograph in a folder"),
    "merge": ("merge", "join the shards of a prediction"),
    "check": ("check_data", "check a data set before training on it"),
    "convert": ("convert", "convert a data set to another format of masks or annotations"),
    "cross-validate": ("cross_validate", "train one network per fold, and score each case by an unseen network"),
    "sweep": ("sweep", "search for the best settings of a training"),
    "quantize": ("quantize_xray", "quantize a model to int8, which is faster on many CPUs"),
    "export": ("export", "export a model as ONNX, OpenVINO, torch.export or a MONAI bundle"),
    "verify": ("verify", "check a result against its receipt: data, model, code and environment; or repeat it"),
    "benchmark": ("benchmark", "measure the speed of this machine"),
    "demo": ("demo", "try everything on synthetic radiographs, in a few minutes"),
    "ui": ("ui", "open the MLflow UI on the recorded runs"),
    "completion": ("completion", "print a script that completes commands and settings in bash or zsh"),
}
"""Word after `medseg` -> module of the command, and its description."""


def find_config(command: str) -> "type[Section] | None":
    """The settings of a command: the last section that its page defines. None if it has no settings."""
    from medseg.config import Section

    page = import_module(f"medseg.commands.{COMMANDS[command][0]}")
    sections = [found for found in vars(page).values() if isinstance(found, type) and issubclass(found, Section)]
    own = [found for found in sections if found.__module__ == page.__name__]
    return own[-1] if own else None
