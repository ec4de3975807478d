import pytest
import torch

from medseg.errors import ConfigError
from medseg.hardware import device
from medseg.hardware.cores import count_cores
from medseg.hardware.device import find_hardware


@pytest.mark.parametrize(
    ("capabilities", "faster", "precision"),
    [
        ({"amx_bf16": True}, True, "bf16"),
        ({"avx512_bf16": True}, True, "bf16"),
        ({"avx512_bf16": True}, False, "fp32"),
        ({}, True, "fp32"),
    ],
)
def test_auto_takes_bfloat16_where_the_cpu_multiplies_it_faster(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], faster: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(device, "_multiplies_faster_in_bf16", lambda: faster)
    found = find_hardware()
    assert (found.device.type, found.precision, found.has_bf16) == ("cpu", precision, bool(capabilities))
    assert find_hardware(precision="bf16").precision == "bf16"
    assert find_hardware(precision="fp32").precision == "fp32"


def test_the_comparison_of_precisions_picks_the_shorter_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for slow in (torch.bfloat16, torch.float32):
        clock = [0.0]

        def multiply(self: torch.Tensor, _: torch.Tensor, slow: torch.dtype = slow, clock: list[float] = clock) -> None:
            clock[0] += 2 if self.dtype == slow else 1

        monkeypatch.setattr(torch.Tensor, "__matmul__", multiply)
        monkeypatch.setattr(device.time, "perf_counter", lambda clock=clock: clock[0])
        assert device._multiplies_faster_in_bf16.__wrapped__() == (slow == torch.float32)


def test_the_cores_are_those_of_the_process() -> None:
    assert find_hardware("cpu").num_cores == count_cores()


def test_the_memory_format_is_as_asked() -> None:
    assert find_hardware("cpu").memory_format == torch.channels_last
    assert find_hardware("cpu", channels_last=False).memory_format == torch.contiguous_format


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="finds no CUDA device; set device=auto or device=cpu"):
        find_hardware("cuda")
