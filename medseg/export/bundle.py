"""A MONAI bundle around an exported program. It runs where MONAI is installed and medseg is not."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch
from torch.export import ExportedProgram

from medseg.export.describe import SCRIPTS
from medseg.notice import RESEARCH_USE

_INFERENCE = Path(__file__).with_name("inference.json")
"""Every DICOM file of dataset_dir in, a NIfTI file with a channel per class out."""


def write_bundle(traced: ExportedProgram, facts: Mapping[str, Any], card: str, folder: Path) -> None:
    """Write what a bundle holds beside models/model.pt2: metadata, the inference configuration, scripts, a README.

    models/model.pt is the state dictionary that the specification of bundles asks for; the inference does not use it.
    """
    for name in ("configs", "docs", "models", "scripts"):
        (folder / name).mkdir(exist_ok=True)
    metadata = json.dumps(build_metadata(facts), indent=2)
    (folder / "configs/metadata.json").write_text(f"{metadata}\n", encoding="utf-8")
    copyfile(_INFERENCE, folder / "configs/inference.json")
    for script in SCRIPTS.glob("*.py"):
        copyfile(script, folder / "scripts" / script.name)
    torch.save({name: tensor.detach() for name, tensor in traced.state_dict.items()}, folder / "models/model.pt")
    (folder / "docs/README.md").write_text(card, encoding="utf-8")


def build_metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """configs/metadata.json, as https://docs.monai.io/en/stable/mb_specification.html describes it."""
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by medseg {facts['medseg_version']} from the model {facts['model']}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "optional_packages_version": {
            name: version(name) for name in ("pytorch-ignite", "pydicom", "scipy", "nibabel")
        },
        "name": "_".join(("medseg", *facts["classes"])),
        "task": f"Segmentation of radiographs: {', '.join(facts['classes'])}",
        "description": "A U-Net with its preprocessing and its thresholds as one program. " + RESEARCH_USE,
        "intended_use": RESEARCH_USE,
        "authors": "the authors of the model",
        "copyright": "the owners of the model and of its training data",
        "data_type": "dicom",
        "network_data_format": describe_tensors(facts),
        "medseg": dict(facts),
    }


def describe_tensors(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The input and the output of the network."""
    image = {
        "type": "image",
        "modality": "CR, DX",
        "dtype": "float32",
        "spatial_shape": ["*", "*"],
        "is_patch_data": False,
    }
    taken = {**image, "format": "magnitude", "num_channels": 1, "value_range": []}
    given = {**image, "format": "classes", "num_channels": len(facts["classes"]), "value_range": [0, 1]}
    return {
        "inputs": {"image": {**taken, "channel_def": {"0": "modality values; dense tissue is bright"}}},
        "outputs": {"pred": {**given, "channel_def": {str(i): name for i, name in enumerate(facts["classes"])}}},
    }
