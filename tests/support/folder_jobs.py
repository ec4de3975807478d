"""A job as the command would build it, for tests of what happens to one file."""

from pathlib import Path
from typing import Any

from medseg.data.config import PreprocessConfig
from medseg.folder.job import Job
from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource
from medseg.inference.decision import Decision
from medseg.model.checkpoint import Accepts, Reading

CLASSES = ("heart", "lungs")


def build_job(root: Path, output: Path, **changes: Any) -> Job:
    settings: dict[str, Any] = {
        "source": FolderSource(root),
        "sink": FolderSink(output),
        "model": "0123456789abcdef",
        "backend": "torch/cpu/fp32",
        "kinds": ("dicom", "nifti", "png", "jpeg"),
        "invert": False,
        "nifti_rows": None,
        "exif": None,
        "reading": Reading(),
        "accepts": Accepts(modalities=("CR", "DX"), body_parts=("CHEST",)),
        "orientations": (),
        "ranges": {},
        "decision": Decision(CLASSES, PreprocessConfig(size=(32, 32), fit="stretch"), (0.5, 0.5), {}, False),
        "tta": (),
        "formats": ("png",),
        "burned_in": False,
        "uids": False,
        **changes,
    }
    return Job(**settings)
