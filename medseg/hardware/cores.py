"""What this process may really use of the machine: the cores, the memory, and what the processor is called."""

import math
import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil


def count_cores(root: Path = Path("/")) -> int:
    """The cores of this process, at least 1: those of its affinity, or fewer where a cgroup limits its CPU time.

    A quota of one and a half cores counts as two. `root` is where `proc` and `sys` are found.
    """
    return min([len(_list_cores()), *map(math.ceil, _list_quotas(root))])


def _list_cores() -> set[int]:
    """The numbers of the cores that this process may run on: all, if the system has no affinity."""
    ask = getattr(os, "sched_getaffinity", None)
    return set(ask(0)) if ask else set(range(os.cpu_count() or 1))


def _list_quotas(root: Path) -> Iterator[float]:
    """The CPU time per time, in cores, that the cgroups of this process and all above them allow.

    cgroup v2 says it in `cpu.max`, `max 100000` being no limit, v1 in `cpu.cfs_quota_us`, -1 being none.
    """
    for folder in _list_cgroups(root, "cpu"):
        yield from _divide(*_read(folder / "cpu.max"))
        yield from _divide(*_read(folder / "cpu.cfs_quota_us"), *_read(folder / "cpu.cfs_period_us"))


@dataclass(frozen=True)
class CpuReading:
    """What the cores of this process have done up to some moment."""

    seconds: float
    """The moment, on a clock that only runs forwards."""
    others: float
    """CPU seconds that other programs have had on these cores."""
    num_cores: int


def read_cpu(root: Path = Path("/")) -> CpuReading | None:
    """The CPU time of all programs on the cores of this process, but for its own; None where the system hides it.

    From `proc/stat` (proc_stat(5)): user, nice, system, irq and softirq, of which user holds that of guests.
    """
    cores = {f"cpu{core}" for core in _list_cores()}
    try:
        rows = [line.split() for line in (root / "proc/stat").read_text().splitlines()]
        ticks = sum(int(row[column]) for row in rows if row and row[0] in cores for column in (1, 2, 3, 6, 7))
    except (OSError, ValueError, IndexError):
        return None
    return CpuReading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK") - time.process_time(), len(cores))


def count_free_memory(root: Path = Path("/")) -> int:
    """The bytes that this process may still take: those of the system, or fewer where a cgroup limits its memory.

    `root` is where `proc` and `sys` are found.
    """
    free = int(psutil.virtual_memory().available)
    for folder in _list_cgroups(root, "memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(IndexError, ValueError):  # one that is not there, or the word max
                allowed, taken = (int(_read(folder / name)[0]) for name in (limit, used))
                free = min(free, allowed - taken + _count_cached(folder))
    return max(free, 0)


def _count_cached(folder: Path) -> int:
    """Bytes of files that a cgroup counts and the system takes back at need."""
    words = _read(folder / "memory.stat")
    counts = dict(zip(words[::2], words[1::2], strict=False))
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _list_cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the cgroups of this process, and of all above them, that may hold files of a controller.

    In a container the path may be that of the host, of which only the root is to be seen.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _climb(root, ("sys/fs/cgroup", "sys/fs/cgroup/unified"), path)
            elif controller in controllers.split(","):
                yield from _climb(root, (f"sys/fs/cgroup/{controller}", f"sys/fs/cgroup/{controllers}"), path)


def _climb(root: Path, mounts: tuple[str, ...], path: str) -> Iterator[Path]:
    """The folder of a cgroup and all above it, wherever its hierarchy may be mounted."""
    inside = PurePosixPath(path.lstrip("/"))
    for mount in mounts:
        yield from (root / mount / part for part in (inside, *inside.parents))


def _read(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _divide(quota: str = "max", period: str = "0", *_: str) -> Iterator[float]:
    with suppress(ValueError, ZeroDivisionError):
        if (cores := int(quota) / int(period)) > 0:
            yield cores


def name_processor(root: Path = Path("/")) -> str:
    """What the processor calls itself, as `AMD EPYC`, else its architecture; `root` is where `proc` is found."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
