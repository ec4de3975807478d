"""The synthetic data set that is used if `data.root` is null. Synthetic, not clinical."""

from collections.abc import Callable
from pathlib import Path

from medseg.data.config import DataConfig
from medseg.phantom.config import PhantomConfig
from medseg.phantom.darken import write_darkened_pairs
from medseg.phantom.dicom import write_phantoms, write_varied_phantoms

SYNTHETIC = "synthetic phantoms, not clinical"
"""Name of the synthetic data set in summaries."""


def find_data(data: DataConfig, phantom: PhantomConfig, folder: Path) -> DataConfig:
    """Return `data` with a root: its own, else the synthetic data set, which is written below `folder` if missing."""
    if data.root is not None:
        return data
    writers: dict[str, Callable[[Path, int, int, int], Path]] = {
        "chest": write_phantoms,
        "varied": write_varied_phantoms,
        "darken": write_darkened_pairs,
    }
    root = writers[phantom.kind](folder / phantom.kind, phantom.num_cases, phantom.size, phantom.seed)
    return data.model_copy(update={"root": root})
