import os
import platform
from pathlib import Path

import pytest

from medseg.processors import count_cores, name_processor

V2 = "0::/user/job\n"
V1 = "7:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/\n"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def write(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        (V2, {}, 8),
        (V2, {"user/job/cpu.max": "max 100000\n"}, 8),
        (V2, {"user/job/cpu.max": "300000 100000\n"}, 3),
        (V2, {"user/job/cpu.max": "150000 100000\n"}, 2),
        (V2, {"user/job/cpu.max": "5000 100000\n"}, 1),
        (V2, {"user/job/cpu.max": "1600000 100000\n"}, 8),
        (V2, {"user/job/cpu.max": "max 100000\n", "user/cpu.max": "200000 100000\n"}, 2),
        (V2, {"cpu.max": "400000 100000\n"}, 4),  # in a container: the path is the host's
        (V2, {"unified/user/job/cpu.max": "300000 100000\n"}, 3),
        (V2, {"user/other/cpu.max": "100000 100000\n"}, 8),
        (V2, {"user/job/cpu.max": "damaged\n"}, 8),
        (V1, {"cpu/docker/ab/cpu.cfs_quota_us": "-1\n", "cpu/docker/ab/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/docker/ab/cpu.cfs_quota_us": "250000\n", "cpu/docker/ab/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "25000\n"}, 2),
        (V1, {"memory/docker/ab/cpu.cfs_quota_us": "100000\n", "memory/docker/ab/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_cores_are_those_that_affinity_and_every_cgroup_allow(cgroup, files, expected, tmp_path):
    assert count_cores(write(tmp_path, cgroup, files)) == expected


def test_without_cgroups_the_affinity_counts(tmp_path):
    assert count_cores(tmp_path) == 8


def test_affinity_counts_below_a_quota(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert count_cores(write(tmp_path, V2, {"user/job/cpu.max": "400000 100000\n"})) == 1


def test_the_processor_is_called_what_it_calls_itself(tmp_path: Path) -> None:
    assert name_processor(tmp_path) == platform.machine()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Chip\nprocessor\t: 1\n")
    assert name_processor(tmp_path) == "A Chip"
