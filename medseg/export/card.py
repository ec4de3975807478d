"""What a person must know of an exported program, as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg.output.card import find_templates

_FORMATS = {
    "onnx": "`model.onnx`, for ONNX Runtime and other programs",
    "openvino": "`model.xml` with `model.bin`, for OpenVINO",
    "torch": "`model.pt2`, a torch.export program for PyTorch",
    "bundle": "a MONAI bundle",
}


def write_card(facts: Mapping[str, Any], form: str) -> str:
    """The card of a program in the format `form`."""
    script = "scripts/radiograph.py" if form == "bundle" else "radiograph.py"
    names = ", ".join(facts["classes"])
    template = find_templates(Path(__file__).parent).get_template("card.md.j2")
    return template.render(facts=facts, form=form, what=_FORMATS[form], names=names, script=script)
