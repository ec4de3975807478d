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


def write_bundle(traced: ExportedProgram, facts: Mapping[str, Any], card: str, folder: Path) -> None:
    """Write what a bundle holds beside models/model.pt2: metadata, the inference configuration, scripts, a README.

    models/model.pt is the state dictionary that the specification of bundles asks for; the inference does not use it.
    """
    for name in ("configs", "docs", "models", "scripts"):
        (folder / name).mkdir(exist_ok=True)
    for name, content in (("metadata", build_metadata(facts)), ("inference", build_inference(facts))):
        (folder / "configs" / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for script in SCRIPTS.glob("*.py"):
        copyfile(script, folder / "scripts" / script.name)
    torch.save({name: tensor.detach() for name, tensor in traced.state_dict.items()}, folder / "models/model.pt")
    (folder / "docs/README.md").write_text(card, encoding="utf-8")


def build_metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """configs/metadata.json, as https://docs.monai.io/en/stable/mb_specification.html describes it."""
    classes, color = facts["classes"], facts["reading"]["color"] == "rgb"
    channels = {"0": "red", "1": "green", "2": "blue"} if color else {"0": "modality values; dense tissue is bright"}
    image = {"type": "image", "is_patch_data": False, "spatial_shape": ["*", "*"], "modality": "CR, DX"}
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by medseg {facts['medseg_version']} from the model {facts['model']}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "optional_packages_version": {
            name: version(name) for name in ("pytorch-ignite", "pydicom", "scipy", "nibabel")
        },
        "name": "_".join(("medseg", *classes)),
        "task": f"Segmentation of radiographs: {', '.join(classes)}",
        "description": "A U-Net with its preprocessing and its thresholds as one program. " + RESEARCH_USE,
        "intended_use": RESEARCH_USE,
        "authors": "the authors of the model",
        "copyright": "the owners of the model and of its training data",
        "data_type": "dicom",
        "network_data_format": {
            "inputs": {
                "image": {
                    **image,
                    "format": "magnitude",
                    "num_channels": len(channels),
                    "dtype": "float32",
                    "value_range": [],
                    "channel_def": channels,
                }
            },
            "outputs": {
                "pred": {
                    **image,
                    "format": "classes",
                    "num_channels": len(classes),
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "channel_def": {str(index): name for index, name in enumerate(classes)},
                }
            },
        },
        "medseg": dict(facts),
    }


def build_inference(facts: Mapping[str, Any]) -> dict[str, Any]:
    """configs/inference.json: every DICOM file of dataset_dir in, a NIfTI file with a channel per class out."""
    reading = {"reader": "PydicomReader", "prune_metadata": False, "ensure_channel_first": True}
    cleaning = ", ".join(repr(facts[name]) for name in ("classes", "components", "fill_holes"))
    turned = {"_target_": "Transposed", "indices": [0, 2, 1]}  # MONAI's readers give columns before rows
    return {
        "imports": ["$import runpy", "$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/input'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "scripts": "$runpy.run_path(@bundle_root + '/scripts/monai_scripts.py')",
        "datalist": "$@scripts['list_dicom'](@dataset_dir)",
        "network": "$@scripts['Program'](@bundle_root + '/models/model.pt2', @device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", **reading},
                f"$@scripts['ModalityValuesd']('image', {facts['reading']['presentation']!r})",
                {**turned, "keys": "image"},
            ],
        },
        "dataset": "$@scripts['Readable'](@datalist, @preprocessing)",
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {**turned, "keys": "pred"},
                f"$@scripts['CleanMasksd']('pred', {cleaning})",
                {
                    "_target_": "SaveImaged",
                    "keys": "pred",
                    "output_dir": "@output_dir",
                    "output_postfix": "masks",
                    "output_dtype": "$torch.uint8",
                    "resample": False,
                    "data_root_dir": "@dataset_dir",
                },
            ],
        },
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "run": ["$@evaluator.run()"],
    }
