"""Resources that this process may use, cores and memory, and the name of the CPU."""

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
    """Number of CPU cores that this process may use, at least 1: by its affinity, or fewer if a cgroup limits CPU time.

    A quota of one and a half cores counts as two. `root` is the folder that contains `proc` and `sys`.
    """
    return min([len(_list_cores()), *map(math.ceil, _list_quotas(root))])


def _list_cores() -> set[int]:
    """The numbers of the cores that this process may run on: all, if the system has no affinity."""
    ask = getattr(os, "sched_getaffinity", None)
    return set(ask(0)) if ask else set(range(os.cpu_count() or 1))


def _list_quotas(root: Path) -> Iterator[float]:
    """The CPU limits, in cores, of the cgroups of this process and all their parents.

    cgroup v2 keeps the limit in `cpu.max` (`max 100000` is no limit), v1 in `cpu.cfs_quota_us` (-1 is no limit).
    """
    for folder in _list_cgroups(root, "cpu"):
        yield from _divide(*_read(folder / "cpu.max"))
        yield from _divide(*_read(folder / "cpu.cfs_quota_us"), *_read(folder / "cpu.cfs_period_us"))


@dataclass(frozen=True)
class CpuReading:
    """The CPU time that was used on the cores of this process up to some moment."""

    seconds: float
    """The moment, in seconds of a monotonic clock."""
    others: float
    """CPU seconds that other programs have used on these cores."""
    num_cores: int


def read_cpu(root: Path = Path("/")) -> CpuReading | None:
    """The CPU time of all other programs on the cores of this process; None if the system does not show it.

    The source is `proc/stat` (proc_stat(5)): user, nice, system, irq and softirq. User includes the time of guests.
    """
    cores = {f"cpu{core}" for core in _list_cores()}
    try:
        rows = [line.split() for line in (root / "proc/stat").read_text().splitlines()]
        ticks = sum(int(row[column]) for row in rows if row and row[0] in cores for column in (1, 2, 3, 6, 7))
    except (OSError, ValueError, IndexError):
        return None
    return CpuReading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK") - time.process_time(), len(cores))


def count_free_memory(root: Path = Path("/")) -> int:
    """Number of bytes that this process may still allocate: by the system, or fewer if a cgroup limits its memory.

    `root` is the folder that contains `proc` and `sys`.
    """
    free = int(psutil.virtual_memory().available)
    for folder in _list_cgroups(root, "memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with suppress(IndexError, ValueError):  # the file is missing or contains the word max
                allowed, taken = (int(_read(folder / name)[0]) for name in (limit, used))
                free = min(free, allowed - taken + _count_cached(folder))
    return max(free, 0)


def _count_cached(folder: Path) -> int:
    """Bytes of cached files, which a cgroup counts as used but the system frees when needed."""
    words = _read(folder / "memory.stat")
    counts = dict(zip(words[::2], words[1::2], strict=False))
    return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))


def _list_cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the cgroups of this process and all their parents that may contain files of a controller.

    In a container, the path may be a path of the host. Then only its root is visible.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _climb(root, ("sys/fs/cgroup", "sys/fs/cgroup/unified"), path)
            elif controller in controllers.split(","):
                yield from _climb(root, (f"sys/fs/cgroup/{controller}", f"sys/fs/cgroup/{controllers}"), path)


def _climb(root: Path, mounts: tuple[str, ...], path: str) -> Iterator[Path]:
    """The folder of a cgroup and all its parents, for all places where the hierarchy may be mounted."""
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
    """The name of the CPU, such as `AMD EPYC`, or else its architecture. `root` is the folder that contains `proc`."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
