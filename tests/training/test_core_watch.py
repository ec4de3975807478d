import pytest

from medseg.hardware.cores import CpuReading
from medseg.training.core_watch import CoreWatch


def watch(*readings: tuple[float, float], num_threads: int = 2, num_cores: int = 2) -> list[str]:
    """The message at each reading except the first: seconds, CPU seconds of others."""
    values = iter([CpuReading(seconds, others, num_cores) for seconds, others in readings])
    cores = CoreWatch(num_threads, lambda: next(values))
    return [cores.describe() for _ in readings[1:]]


ONE = "another program uses 1.0 of 2 CPU cores"


@pytest.mark.parametrize(
    ("others", "num_threads", "num_cores", "expected"),
    [
        (0.0, 2, 2, ""),
        (0.3, 2, 2, ""),  # what a desktop does by itself
        (1.0, 2, 2, ONE),
        (1.6, 2, 2, "another program uses 1.6 of 2 CPU cores"),
        (1.0, 1, 2, ""),  # enough is left for one thread
        (1.6, 1, 2, "another program uses 1.6 of 2 CPU cores"),
        (40.0, 2, 64, ""),  # a container of two cores on a large machine
        (63.0, 2, 64, "another program uses 63.0 of 64 CPU cores"),
    ],
)
def test_others_are_named_where_they_leave_too_few_cores(
    others: float, num_threads: int, num_cores: int, expected: str
) -> None:
    readings = (100.0, 7.0), (110.0, 7.0 + 10 * others)
    assert watch(*readings, num_threads=num_threads, num_cores=num_cores) == [expected]


def test_what_is_said_holds_until_there_is_enough_to_look_at() -> None:
    assert watch((0, 0), (1, 1), (6, 6), (7, 6), (12, 6)) == ["", ONE, ONE, ""]


def test_nothing_is_said_where_the_system_hides_it() -> None:
    assert CoreWatch(2, lambda: None).describe() == ""
