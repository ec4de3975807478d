"""The settings of prediction."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt

from medseg.config import ExistingPath, Section, expand_home
from medseg.model.config import InferenceConfig


def _as_list(given: Any) -> Any:
    listed = (given,) if isinstance(given, str | Path) else given
    return [expand_home(_as_text(address)) for address in listed] if isinstance(listed, list | tuple) else listed


def _as_text(address: Any) -> Any:
    return str(address) if isinstance(address, Path) else address


def _check_shard(text: str) -> str:
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError("must be i/n with i from 1 to n, such as 1/4 for the first of four shards")
    return text


Kind = Literal["dicom", "nifti", "png", "jpeg", "tiff", "gif", "bmp", "mha", "nrrd", "numpy", "labelme", "img"]
MANIFESTS = (".csv", ".parquet")
"""Extensions of manifests."""
Addresses = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""Models, each given as a file, a folder or an MLflow address. A single model needs no brackets."""


class PredictConfig(Section):
    """How probabilities become masks."""

    threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["best"] = 0.5
    """Lowest probability at which a pixel is foreground. best: for each class, the threshold with the best Dice on the
    validation set. The article uses 0.5."""

    batch_size: PositiveInt = 4
    """Batch size: number of images that the network processes together."""


class TrainPredictConfig(InferenceConfig, PredictConfig):
    """How probabilities become masks. All settings except threshold and batch_size are stored in the model file."""


class ModelPredictConfig(PredictConfig):
    """How probabilities become masks, and on which hardware."""

    tta: tuple[Literal["mirror", "gamma"], ...] | None = None
    """Test-time augmentation: the probabilities are averaged over several versions of the image. mirror adds the
    mirrored image; gamma adds a darker and a brighter image. Empty: none. null: as stored in the model file."""

    components: dict[str, PositiveInt] | None = None
    """Number of connected components to keep for each class, largest first: `{heart: 1, lungs: 2}`. A class that is
    not listed keeps all its components. null: as stored in the model file."""

    fill_holes: bool | None = None
    """Fill the holes in masks. null: as stored in the model file."""

    zoom: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    """Predict an image a second time, enlarged, if its masks take a smaller part of the image than the masks of every
    training image. null: as stored in the model file."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that runs the network. auto: the GPU if there is one, else the CPU."""

    backend: Literal["auto", "torch", "inductor", "openvino"] = "auto"
    """Library that runs the network. torch: PyTorch. inductor: compiled PyTorch; compiling takes a minute the first
    time and is cached. openvino: OpenVINO on the CPU; install medseg[openvino]. auto: torch if a GPU is used;
    on the CPU, whichever of torch and openvino is faster. A short measurement decides this, and its result is
    cached."""

    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Number format of the network. int8 needs OpenVINO and a model from medseg quantize. auto: int8 if the model
    contains int8 and int8 is faster; otherwise bf16 if the hardware supports it and it is faster; otherwise fp32."""

    channels_last: bool = True
    """Memory layout of images and weights in PyTorch. true: channels innermost, faster on most hardware."""


class FolderPredictConfig(ModelPredictConfig):
    """How probabilities become masks, on which hardware, and with how many processes."""

    workers: PositiveInt | None = None
    """Number of processes that decode images and write results. null: one for each CPU core."""

    shard: Annotated[str, AfterValidator(_check_shard)] | None = None
    """Part of the files that this command predicts: i/n, with i from 1, is shard i of n. Each file is in exactly one
    shard, whichever machine it is on. Each shard needs an output folder of its own; medseg merge joins them. Also set
    predict.backend and predict.precision, so that all shards use the same. null: all files."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that runs the network. auto: if the output folder already has a journal of an earlier run, the device
    recorded there. In a new folder: the GPU if there is one, else the CPU."""

    backend: Literal["auto", "torch", "inductor", "openvino"] = "auto"
    """Library that runs the network. torch: PyTorch. inductor: compiled PyTorch; compiling takes a minute the first
    time and is cached. openvino: OpenVINO on the CPU; install medseg[openvino]. auto: if the output folder
    already has a journal of an earlier run, the backend recorded there. In a new folder: torch if a GPU is used; on the
    CPU, whichever of torch and openvino is faster. A short measurement decides this, and its result is cached."""

    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Number format of the network. int8 needs OpenVINO and a model from medseg quantize. auto: if the output
    folder already has a journal of an earlier run, the precision recorded there. In a new folder: int8 if the model
    contains int8 and int8 is faster; otherwise bf16 if the hardware supports it and it is faster; otherwise fp32."""


class ReadingInputConfig(Section):
    """How images are read."""

    invert: bool = False
    """Invert images that show air bright and bone dark. No effect on DICOM and raw JSRT files (.IMG), which state their
    polarity."""

    nifti_rows: Literal["top", "bottom"] | None = None
    """Position of the first stored row in NIfTI files without orientation codes. top: top of the image. bottom: bottom
    of the image. null: bottom if dcm2niix wrote the file, else top with a warning."""

    exif: Literal["apply", "ignore"] | None = None
    """EXIF orientation of images. apply or null: turn the image, as browsers do; the predicted masks fit the turned
    image. ignore: read the image as stored."""


class InputConfig(ReadingInputConfig):
    """Which files are predicted, and how they are read."""

    dir: ExistingPath
    """Folder of the images, or a zip or tar archive of them, or a manifest of them. Subfolders and the archives in a
    folder are included. Nothing is written into it. A manifest is a .csv or .parquet file with a column `path`: paths
    of files, relative to the manifest, or URLs of objects (s3://, gs://, az:// and others)."""

    kinds: tuple[Kind, ...] = ("dicom", "nifti", "png", "jpeg")
    """File formats to predict, recognized by content. Other files are skipped. numpy: .npy and .npz files. labelme:
    images embedded in LabelMe files. img: raw images of the JSRT data set."""

    modalities: tuple[str, ...] | None = None
    """Accepted values of the DICOM tag Modality. null: the values in the model file. Empty list: any value. Files
    without the tag are accepted."""

    body_parts: tuple[str, ...] | None = None
    """Accepted values of the DICOM tag BodyPartExamined. null: the values in the model file. Empty list: any value.
    Files without the tag are accepted."""

    views: tuple[str, ...] | None = None
    """Accepted values of the DICOM tag ViewPosition. null: the values in the model file. Empty list: any value.
    Files without the tag are accepted."""

    reduce: Literal["auto"] | None = None
    """Resolution at which gray JPEG 2000 images in DICOM files are decoded. auto: half, a quarter or less of the rows
    and columns, but at least twice those of the network. Reading is then several times faster, but masks differ in a
    few pixels at their borders. No effect if output.formats has overlay, which shows all pixels. null: all pixels."""

    timeout_seconds: PositiveFloat = 120.0
    """Time limit in seconds for reading or writing one file. A file that takes longer is rejected."""

    memory_gib: PositiveFloat = 4.0
    """Memory limit in GiB for a process that decodes a file. A file that needs more is rejected."""

    watch: bool = False
    """Keep looking for new files after the first pass, until the command is stopped with Ctrl-C or SIGTERM. A file is
    read only after it has stopped growing."""

    poll_seconds: PositiveFloat = 2.0
    """Seconds between two scans of a watched folder. A file is read if it has not changed between two scans."""
