import copy
import os
import shutil
import subprocess
import sys

import pytest
import torch

from medseg.hardware.compiler import can_compile, compiling
from medseg.hardware.cpu import identify_processor
from medseg.model.config import ModelConfig
from medseg.model.unet import build_unet

CPU = torch.device("cpu")
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.mark.slow
@COMPILER
def test_a_compiled_network_learns_the_same_under_the_same_names(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert can_compile(CPU)
    torch.manual_seed(0)
    plain = build_unet(ModelConfig(width=2, depth=1, dropout=0.0), 1, 1)
    compiled = copy.deepcopy(plain)
    images = torch.rand(2, 1, 16, 16)
    with compiling():
        compiled.compile(dynamic=False)
        for network in (plain, compiled):
            network(images).square().mean().backward()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    assert not torch._dynamo.config.suppress_errors
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    for ours, theirs in zip(compiled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    assert any((tmp_path / "medseg" / "inductor" / identify_processor()).rglob("*.so"))


LATER = """
import torch
from medseg.model.config import ModelConfig
from medseg.model.unet import build_unet
from medseg.hardware.compiler import can_compile, compiling
assert can_compile(torch.device("cpu"))
from torch._inductor import config
config.cpp.cxx = ("/bin/false",)
network = build_unet(ModelConfig(width=2, depth=1, dropout=0.0), 1, 1)
x = torch.rand(2, 1, 16, 16)
expected = network(x)
network.compile(dynamic=False)
with compiling():
    torch.testing.assert_close(network(x), expected)
    network(x).sum().backward()
print(all(parameter.grad is not None for parameter in network.parameters()))
"""


@pytest.mark.slow
@COMPILER
def test_a_network_that_cannot_be_compiled_runs_as_it_is_which_is_said(tmp_path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", LATER], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "True\n", done.stderr
    assert "CONVERT" in done.stderr


@pytest.mark.slow
def test_without_a_compiler_that_is_said(tmp_path) -> None:
    lines = "import torch; from medseg.hardware.compiler import can_compile as p; print(p(torch.device('cpu')))"
    empty = str(tmp_path)
    environment = {"PATH": empty, "CXX": f"{empty}/none", "XDG_CACHE_HOME": empty, "HOME": empty}
    done = subprocess.run(
        [sys.executable, "-c", lines], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "False\n", done.stderr
    assert "torch.compile does not work on this machine; the network runs uncompiled: " in done.stderr
