"""What the worker processes of a node do. Their results travel in parts, so that only small ones reach the driver."""

import pickle
from dataclasses import replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from medseg.data.frame import Frame
from medseg.folder.examine import Examined, examine_file
from medseg.folder.job import Job
from medseg.folder.write import Closer, Written, write_results

Image = NDArray[np.float32] | None


def read(
    job: Job, path: bytes, known: str | None, lost: str | None = None, zoom: Frame | None = None
) -> tuple[bytes, Image, bytes]:
    """`examine_file` in three parts: the findings, the image, and the data for the output formats."""
    found = examine_file(job, path, known, lost, zoom)
    return pickle.dumps(replace(found, image=None, taken={})), found.image, pickle.dumps(found.taken)


def write(
    job: Job, found: Examined, date: datetime, taken: bytes, seconds: float, predicted: NDArray[np.float32]
) -> tuple[bytes]:
    """`write_results` of the parts. `seconds` are those in the network."""
    written = write_results(job, replace(found, taken=pickle.loads(taken)), predicted, date)
    if isinstance(written, Written | Closer):
        written.predicting = seconds
    return (pickle.dumps(written),)
