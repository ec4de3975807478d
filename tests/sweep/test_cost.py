from pathlib import Path

from medseg.hardware.device import find_hardware
from medseg.sweep.cost import measure_milliseconds
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model


def test_the_time_of_a_prediction_is_measured(tmp_path: Path) -> None:
    write_model(tmp_path / "best.pt")
    assert 0 < measure_milliseconds(tmp_path, find_hardware("cpu", "fp32"), StoreConfig()) < 60_000
