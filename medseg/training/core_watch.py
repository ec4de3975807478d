"""Detection of other programs that use the CPU cores of a training."""

from collections.abc import Callable

from medseg.hardware.cores import CpuReading, read_cpu

_SECONDS = 5.0
"""Shortest time between two readings. The system counts CPU time in hundredths of a second."""
_LEAST = 0.5
"""Number of cores that other programs may use without a message."""


class CoreWatch:
    """Compares two readings of the CPU time of other programs, taken some seconds apart."""

    def __init__(self, num_threads: int, read: Callable[[], CpuReading | None] = read_cpu) -> None:
        """`num_threads` is the number of threads of the training."""
        self._num_threads, self._read = num_threads, read
        self._before = read()
        self._said = ""

    def describe(self) -> str:
        """A message such as `another program uses 1.0 of 2 CPU cores`; empty if enough cores are left for all threads.

        The test is on the CPU time of other programs, not on idle time: threads that wait for one another leave cores
        idle although the training is slowed down.
        """
        now = self._read()
        if now is None or self._before is None or now.seconds - self._before.seconds < _SECONDS:
            return self._said
        passed = now.seconds - self._before.seconds
        others = (now.others - self._before.others) / passed
        left, self._before = now.num_cores - others, now
        crowded = others >= _LEAST and self._num_threads > left + _LEAST / 2
        self._said = f"another program uses {others:.1f} of {now.num_cores} CPU cores" if crowded else ""
        return self._said
