"""The settings of an export."""

from typing import Annotated, Literal

from pydantic import Field

from medseg.config import Section

FormatName = Literal["onnx", "openvino", "torch", "bundle"]


class ExportConfig(Section):
    """The exported program."""

    format: FormatName = "onnx"
    """Format of the program. onnx: ONNX, for ONNX Runtime and many other programs. openvino: OpenVINO IR. torch: a
    torch.export program, for PyTorch. bundle: a MONAI bundle, which python -m monai.bundle runs."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["best"] = 0.5
    """Lowest probability at which a pixel is foreground. best: for each class, the threshold with the best Dice on the
    validation set."""
