import pytest
import torch

from medseg.errors import ConfigError
from medseg.hardware.cores import count_cores
from medseg.hardware.device import find_hardware


def test_auto_takes_bfloat16_where_the_cpu_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for capabilities, precision in (({"amx_bf16": True}, "bf16"), ({"avx512_bf16": True}, "bf16"), ({}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda there=capabilities: there)
        found = find_hardware()
        assert (found.device.type, found.precision, found.has_bf16) == ("cpu", precision, precision == "bf16")
        assert find_hardware(precision="bf16").precision == "bf16"
        assert find_hardware(precision="fp32").precision == "fp32"


def test_the_cores_are_those_of_the_process() -> None:
    assert find_hardware("cpu").num_cores == count_cores()


def test_the_memory_format_is_as_asked() -> None:
    assert find_hardware("cpu").memory_format == torch.channels_last
    assert find_hardware("cpu", channels_last=False).memory_format == torch.contiguous_format


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="finds no CUDA device; set device=auto or device=cpu"):
        find_hardware("cuda")
