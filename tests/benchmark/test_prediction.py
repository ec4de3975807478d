from medseg.benchmark import prediction
from medseg.hardware.device import find_hardware
from medseg.inference.backends import Backend


def test_where_nothing_can_be_compiled_the_row_says_so(monkeypatch):
    monkeypatch.setattr(prediction, "_can_compile", lambda device: False)
    backend = Backend("inductor", find_hardware("cpu"), "fp32")
    assert prediction._why_not(backend) == "not measured: torch.compile does not work on this machine"
    monkeypatch.setattr(prediction, "_can_compile", lambda device: True)
    assert prediction._why_not(backend) == ""
