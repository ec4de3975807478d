import os

import psutil
import torch

from medseg.benchmark.machine import describe_machine, describe_versions, name_machine


def test_hardware_is_this_machines():
    found = describe_machine(torch.device("cpu"))
    assert 1 <= found["cores"]["usable"] <= len(os.sched_getaffinity(0))
    assert found["cores"]["logical"] == psutil.cpu_count()
    assert ("avx512_bf16" in found["instructions"]) == bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    assert found["gpu"] is None
    assert name_machine(found).startswith(f"{found['processor']}; {found['cores']['usable']} of ")


def test_versions_are_those_that_are_imported():
    versions = describe_versions()
    assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
    assert {"python", "medseg", "openvino", "nncf"} <= versions.keys()
