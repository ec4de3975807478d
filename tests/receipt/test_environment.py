import json
from dataclasses import asdict, replace

import pytest
import torch

from medseg.receipt.environment import Environment, describe_environment


def test_this_process_is_described() -> None:
    now = describe_environment("torch/cpu/fp32")
    assert (now.device, now.backend, now.threads) == ("cpu", "torch/cpu/fp32", torch.get_num_threads())
    assert now.libraries["torch"] == torch.__version__
    assert "openvino" not in now.libraries  # it computes nothing on this backend


def test_the_hardware_is_the_gpu_or_the_processor() -> None:
    now = describe_environment("torch/cpu/fp32")
    assert now.hardware == now.processor
    assert replace(now, device="NVIDIA H200").hardware == "NVIDIA H200"


def test_differences_are_phrases_with_both_values() -> None:
    now = describe_environment("torch/cpu/fp32")
    assert now.compare(now) == []
    then = replace(
        now,
        threads=now.threads + 1,
        instructions=(*now.instructions, "avx1024"),
        libraries={**now.libraries, "numpy": "0.1", "other": "1"},
    )
    assert then.compare(now) == [
        "instructions of the CPU, avx1024, are not the same",
        f"threads {now.threads + 1} then, {now.threads} now",
        f"numpy 0.1 then, {now.libraries['numpy']} now",
        "other 1 then, none now",
    ]


def test_it_is_read_as_it_was_written() -> None:
    now = describe_environment("torch/cpu/bf16")
    written = json.loads(json.dumps(asdict(now)))
    assert Environment.from_json(written) == now
    del written["threads"]
    with pytest.raises(KeyError, match="threads"):
        Environment.from_json(written)
