"""What tests share: a small data set with known shapes, and the folder of shared real data where there is one."""

from pathlib import Path

import pytest
from shapes import write_png_folder

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data of {SHARED}")
    return SHARED


@pytest.fixture
def png_folder(tmp_path: Path) -> Path:
    return write_png_folder(tmp_path / "data", 24)
