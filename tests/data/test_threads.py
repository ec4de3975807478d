import time

import pytest

from medseg.data.threads import map_in_threads


def test_results_come_in_order():
    assert list(map_in_threads(lambda number: number**2, range(100))) == [number**2 for number in range(100)]


def test_what_has_not_begun_when_one_fails_never_will():
    begun = []

    def read(number):
        begun.append(number)
        if number == 0:
            raise KeyError(number)
        time.sleep(0.1)

    with pytest.raises(KeyError):
        list(map_in_threads(read, range(1000)))
    assert len(begun) < 500
