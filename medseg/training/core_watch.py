"""Whether other programs take the CPU cores that a training counts on."""

from collections.abc import Callable

from medseg.hardware.cores import CpuReading, read_cpu

_SECONDS = 5.0
"""The shortest time that is looked at: the system counts in hundredths of a second."""
_LEAST = 0.5
"""Cores that other programs may take unsaid."""


class CoreWatch:
    """Compares two readings of the CPU time of this process and of all others, some seconds apart."""

    def __init__(self, num_threads: int, read: Callable[[], CpuReading | None] = read_cpu) -> None:
        """The training computes with `num_threads`."""
        self._num_threads, self._read = num_threads, read
        self._before = read()
        self._said = ""

    def describe(self) -> str:
        """`another program uses 1.0 of 2 CPU cores`; empty unless others leave fewer cores than there are threads.

        Threads that wait for one another take little CPU time then, so that a core that is idle now and then is no
        sign that all is well.
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
