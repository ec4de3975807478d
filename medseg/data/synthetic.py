"""The synthetic data set that stands in where `data.root` is null. Synthetic, not clinical."""

from pathlib import Path

from medseg.data.config import DataConfig, PhantomConfig
from medseg.phantom.darken import write_darkened_pairs
from medseg.phantom.dicom import write_phantoms

SYNTHETIC = "synthetic phantoms, not clinical"
"""What a summary calls such a data set."""


def find_data(data: DataConfig, phantom: PhantomConfig, folder: Path) -> DataConfig:
    """`data` with a root: its own, else that of the synthetic set, which is written below `folder` if it is new."""
    if data.root is not None:
        return data
    write = write_phantoms if phantom.kind == "chest" else write_darkened_pairs
    root = write(folder / phantom.kind, phantom.num_cases, phantom.size, phantom.seed)
    return data.model_copy(update={"root": root})
