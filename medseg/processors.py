"""The processor, and how many of its cores this process may really use."""

import math
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath


def count_cores(root: Path = Path("/")) -> int:
    """The cores of this process, at least 1: those of its affinity, or fewer where a cgroup limits its CPU time.

    A quota of one and a half cores counts as two. `root` is where `proc` and `sys` are found.
    """
    return min([len(os.sched_getaffinity(0)), *map(math.ceil, _list_quotas(root))])


def _list_quotas(root: Path) -> Iterator[float]:
    """The CPU time per time, in cores, that the cgroups of this process and all above them allow.

    cgroup v2 says it in `cpu.max`, `max 100000` being no limit, v1 in `cpu.cfs_quota_us`, -1 being none. In a
    container the path may be that of the host, of which only the root is to be seen.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                for folder in _climb(root, ("sys/fs/cgroup", "sys/fs/cgroup/unified"), path):
                    yield from _divide(*_read(folder / "cpu.max"))
            elif "cpu" in controllers.split(","):
                for folder in _climb(root, ("sys/fs/cgroup/cpu", f"sys/fs/cgroup/{controllers}"), path):
                    yield from _divide(*_read(folder / "cpu.cfs_quota_us"), *_read(folder / "cpu.cfs_period_us"))


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
