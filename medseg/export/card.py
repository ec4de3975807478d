"""What a person must know of an exported program, as Markdown."""

from collections.abc import Mapping
from typing import Any

_RUN = {
    "onnx": ("`model.onnx`, for ONNX Runtime and other programs", "python radiograph.py IMAGE.dcm OUT"),
    "openvino": ("`model.xml` and `model.bin`, for OpenVINO", "python radiograph.py IMAGE.dcm OUT"),
    "torch": ("`model.pt2`, a torch.export program for PyTorch", "python radiograph.py IMAGE.dcm OUT"),
    "bundle": (
        "a MONAI bundle",
        "python -m monai.bundle run --config_file configs/inference.json --dataset_dir INPUT --output_dir OUT",
    ),
}


def write_card(facts: Mapping[str, Any], form: str) -> str:
    """The card of a program in the format `form`."""
    what, command = _RUN[form]
    names = ", ".join(facts["classes"])
    limits = ", ".join(f"{name} {value:g}" for name, value in facts["thresholds"].items())
    accepts = [
        f"- {label}: {', '.join(facts['accepts'][key]) or 'any'}"
        for key, label in (("modalities", "Modalities"), ("body_parts", "Body parts"), ("views", "Views"))
    ]
    scores = [f"- {name}: {value:.4f}" for name, value in sorted(facts["validation"].items())]
    kept = ", ".join(f"{name} {number}" for name, number in facts["components"].items())
    outside = [
        *([f"- It does not remove small components. The largest are to be kept: {kept}."] if kept else []),
        *(["- It does not fill the holes of masks."] if facts["fill_holes"] else []),
    ]
    where = "scripts/radiograph.py" if form == "bundle" else "radiograph.py"
    return "\n".join(
        [
            f"# Segmentation of radiographs: {names}",
            "",
            f"**{facts['research_use']}**",
            "",
            f"This is {what}. medseg {facts['medseg_version']} exported it from the model {facts['model']}"
            + (f", an ensemble of {facts['networks']} networks." if facts["networks"] > 1 else "."),
            "",
            "## Run it",
            "",
            "```bash",
            command,
            "```",
            "",
            *(
                [
                    "Run this in the folder of the bundle. It needs monai, pytorch-ignite, fire, pydicom, nibabel and",
                    "scipy. OUT then has a NIfTI file per image, with a channel per class and columns before rows.",
                    "MONAI's reader loses the pixel spacing of most radiographs. It skips files that it cannot decode.",
                ]
                if form == "bundle"
                else ["OUT then has a PNG file per class. `radiograph.py` shows how to call the model from Python."]
            ),
            "",
            "## Input and output",
            "",
            f"- `image`: {facts['input']}.",
            f"- `masks`: {facts['output']}. The classes, in order: {names}.",
            "",
            "The program scales the intensities, resizes the image, runs the network, resizes the probabilities to the",
            f"original size and applies the thresholds ({limits}). It computes in float32.",
            "",
            "## What the program does not do",
            "",
            f"- It does not read files. `{where}` reads gray DICOM files: it applies the modality LUT or the rescale",
            "  slope, inverts MONOCHROME1 images, and marks padding pixels. It decodes what pydicom and its installed",
            "  plugins decode. medseg reads more, such as JPEG Lossless.",
            *outside,
            *([f"  `clean` in `{where}` does this."] if outside else []),
            "- It does not check whether the image is one that the model accepts, and it does not warn of implausible",
            "  masks. `medseg predict` does both.",
            "",
            "## Accepted images",
            "",
            *accepts,
            "",
            *(["## Validation scores", "", *scores, ""] if scores else []),
        ]
    )
