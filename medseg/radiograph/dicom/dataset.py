"""A DICOM object in memory as a file."""

import copy
from typing import BinaryIO

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medseg.errors import RadiographError
from medseg.radiograph.source import InMemory, refusing

NAME = "dataset"
"""Its name in messages."""


def as_file(dataset: Dataset) -> BinaryIO:
    """The bytes of `dataset` in its transfer syntax, open for reading; the dataset stays as it is.

    A dataset without TransferSyntaxUID is written as Explicit VR Little Endian, unless it was read or marked as
    implicit. Raises `RadiographError` if it cannot be written.
    """
    if not isinstance(dataset, Dataset):
        raise RadiographError("is not a pydicom.Dataset", path=NAME)
    file = InMemory(name=NAME)
    try:
        with refusing("cannot be written as DICOM"):
            dcmwrite(file, _complete(dataset), enforce_file_format=False)
    except RadiographError as error:
        raise RadiographError(error.reason, error.code, NAME) from None
    file.seek(0)
    return file


def _complete(dataset: Dataset) -> Dataset:
    """A shallow copy of `dataset` with the start of a file: preamble and transfer syntax."""
    whole = copy.copy(dataset)
    meta = getattr(dataset, "file_meta", None)
    whole.file_meta = FileMetaDataset() if meta is None else copy.copy(meta)
    whole.preamble = b"\0" * 128
    if "TransferSyntaxUID" not in whole.file_meta:
        is_implicit = dataset.original_encoding[0] is True
        whole.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return whole
