"""The settings of prediction."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from medseg.config import ExistingPath, Section, expand_home
from medseg.model.config import InferenceConfig


def _as_list(given: Any) -> Any:
    listed = (given,) if isinstance(given, str | Path) else given
    return [expand_home(_as_text(address)) for address in listed] if isinstance(listed, list | tuple) else listed


def _as_text(address: Any) -> Any:
    return str(address) if isinstance(address, Path) else address


Kind = Literal["dicom", "nifti", "png", "jpeg", "tiff", "gif", "bmp", "mha", "nrrd", "img"]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""Models by file, folder or MLflow address; one may stand without brackets."""


class PredictConfig(Section):
    """How probabilities become masks."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["best"] = 0.5
    """The probability from which a pixel is foreground (article: 0.5); best takes each class's own from validation."""

    batch_size: PositiveInt = 4
    """Pictures in a step of the network."""


class TrainPredictConfig(InferenceConfig, PredictConfig):
    """How probabilities become masks; all but threshold and batch_size go into the model file."""


class ModelPredictConfig(PredictConfig):
    """How probabilities become masks, and on what."""

    tta: tuple[Literal["mirror", "gamma"], ...] | None = None
    """Test-time augmentation; null as the model file says."""

    components: dict[str, PositiveInt] | None = None
    """Largest connected components kept of a class, `{heart: 1, lungs: 2}`; null as the model file says."""

    fill_holes: bool | None = None
    """Holes in masks are filled; null as the model file says."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; auto takes a GPU where there is one."""

    backend: Literal["auto", "torch", "inductor", "openvino"] = "auto"
    """Runs the network: PyTorch, PyTorch compiled (a minute at first, then kept), OpenVINO (medseg[openvino]); auto
    takes torch on a GPU, else the faster of torch and openvino by a short measurement, kept for the next time."""

    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto takes bf16 where the processor or the GPU has it; int8 where quantize_xray made the model, if faster;
    else fp32."""

    channels_last: bool = True
    """Memory layout of PyTorch's pictures and weights: channels innermost, faster on most hardware."""


class FolderPredictConfig(ModelPredictConfig):
    """How probabilities become masks, on what, and with how many processes."""

    workers: PositiveInt | None = None
    """Processes that decode and write; null takes one a processor core."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; auto takes what the output folder's journal says, else a GPU where there is one."""

    backend: Literal["auto", "torch", "inductor", "openvino"] = "auto"
    """Runs the network: PyTorch, PyTorch compiled (a minute at first, then kept), OpenVINO (medseg[openvino]); auto
    takes what the journal says, else torch on a GPU, else the faster of torch and openvino by a short measurement, kept
    for the next time."""

    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """auto takes what the journal says, else bf16 where the processor or the GPU has it; int8 where quantize_xray made
    the model, if that is faster; else fp32."""


class ReadingInputConfig(Section):
    """How images are read."""

    invert: bool = False
    """Whether images show air bright and bone dark. DICOM and the raw .IMG of JSRT say so themselves."""

    nifti_rows: Literal["top", "bottom"] | None = None
    """Which row is stored first in NIfTI files without orientation codes, the top or the bottom one. null: bottom if
    dcm2niix wrote the file, else top, with a warning."""

    exif: Literal["apply", "ignore"] | None = None
    """The EXIF orientation of images. apply, or null: the image is turned, and its masks lie on the turned image.
    ignore: the image is read as stored."""


class InputConfig(ReadingInputConfig):
    """Which files are predicted, and how they are read."""

    dir: ExistingPath
    """The folder, walked with its subfolders; never written to."""

    kinds: tuple[Kind, ...] = ("dicom", "nifti", "png", "jpeg")
    """Kinds of files, by content, that are predicted; others are skipped. img: the raw images of JSRT."""

    modalities: tuple[str, ...] | None = None
    """Accepted values of Modality; null takes those of the model file. A file without the tag is accepted."""

    body_parts: tuple[str, ...] | None = None
    """Accepted values of BodyPartExamined; null takes those of the model file, an empty list anything."""

    views: tuple[str, ...] | None = None
    """Accepted values of ViewPosition; null takes those of the model file, an empty list anything."""

    timeout_seconds: PositiveFloat = 120.0
    """Time that reading, or writing, one file may take; then it is rejected."""

    memory_gib: PositiveFloat = 4.0
    """Memory that a process may take to decode one file, GiB; a file that needs more is rejected."""

    watch: bool = False
    """Go on looking for new files that have stopped growing, until stopped by a signal."""

    poll_seconds: PositiveFloat = 2.0
    """Pause between two looks at a watched folder; a file that did not change in between is taken."""
