import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from medseg.hardware.cores import count_cores, count_free_memory, name_processor, read_cpu

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


GIB = 2**30


@pytest.mark.parametrize(
    ("cgroup", "files", "gib"),
    [
        (V2, {}, 10),
        (V2, {"user/job/memory.max": "max\n", "user/job/memory.current": "5\n"}, 10),
        (V2, {"user/job/memory.max": f"{4 * GIB}\n", "user/job/memory.current": f"{GIB}\n"}, 3),
        (V2, {"user/memory.max": f"{4 * GIB}\n", "user/memory.current": f"{5 * GIB}\n"}, 0),
        (V2, {"memory.max": f"{64 * GIB}\n", "memory.current": f"{GIB}\n"}, 10),
        (
            V2,
            {
                "memory.max": f"{4 * GIB}\n",
                "memory.current": f"{3 * GIB}\n",
                "memory.stat": f"anon {GIB}\nfile {2 * GIB}\ninactive_file {2 * GIB}\n",
            },
            3,
        ),
        (V1, {"memory/memory.limit_in_bytes": f"{2 * GIB}\n", "memory/memory.usage_in_bytes": f"{GIB}\n"}, 1),
        (
            V1,
            {
                "memory/docker/ab/memory.limit_in_bytes": f"{4 * GIB}\n",
                "memory/docker/ab/memory.usage_in_bytes": f"{4 * GIB}\n",
                "memory/docker/ab/memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB}\n",
            },
            1,
        ),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "0\n"}, 10),
        (V1, {"cpu/memory.limit_in_bytes": f"{GIB}\n", "cpu/memory.usage_in_bytes": "0\n"}, 10),
    ],
)
def test_free_memory_is_what_the_system_and_every_cgroup_leave(cgroup, files, gib, tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10 * GIB))
    assert count_free_memory(write(tmp_path, cgroup, files)) == gib * GIB


def test_the_cpu_is_called_what_it_calls_itself(tmp_path: Path) -> None:
    assert name_processor(tmp_path) == platform.machine()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Chip\nprocessor\t: 1\n")
    assert name_processor(tmp_path) == "A Chip"


def test_cpu_time_is_that_of_all_programs_on_the_cores_of_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 10})
    monkeypatch.setattr("medseg.hardware.cores.time", SimpleNamespace(monotonic=lambda: 50.0, process_time=lambda: 3.0))
    second = os.sysconf("SC_CLK_TCK")
    fields = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"]
    busy = dict(zip(fields, (8, 1, 2, 100, 50, 3, 4, 70, 5, 0), strict=True))
    row = " ".join(str(second * busy[field]) for field in fields)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(f"cpu  1 2 3\ncpu0 {row}\ncpu1 {row}\ncpu10 {row}\nintr 5 6\n")
    found = read_cpu(tmp_path)
    assert (found.seconds, found.others, found.num_cores) == (50.0, 2 * (8 + 1 + 2 + 3 + 4) - 3, 2)
    assert read_cpu(tmp_path / "proc") is None


@pytest.mark.slow
def test_a_busy_process_is_seen_on_this_machine(monkeypatch):
    monkeypatch.undo()
    before = read_cpu()
    assert before is not None
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        process = psutil.Process(busy.pid)
        while process.cpu_times().user < 0.5:
            time.sleep(0.05)
        after = read_cpu()
        busy.kill()
    assert after.others - before.others >= 0.4
