"""Backends that run a network: one interface to PyTorch, compiled PyTorch and OpenVINO."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from medseg.errors import ConfigError
from medseg.hardware.compiler import can_compile
from medseg.hardware.cpu import threads_limited
from medseg.hardware.device import Hardware, find_hardware
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel
from medseg.inference.openvino_runtime import OpenVinoRuntime, convert, is_installed, read_graph
from medseg.inference.torch_runtime import TorchRuntime
from medseg.model.checkpoint import QuantizedNetwork
from medseg.model.unet import UNet

Forward = Callable[[Tensor], Tensor]
"""Computes logits, float32 `(batch, class, rows, columns)`, of images, float32 `(batch, channel, rows, columns)`."""


@dataclass(frozen=True)
class Backend:
    """A library, a device and a precision that a network can run with."""

    library: str
    """`torch`, `inductor` (compiled PyTorch) or `openvino`."""
    hardware: Hardware
    precision: str
    """`fp32`, `bf16` or `int8`. It may differ from `hardware.precision`."""

    @property
    def name(self) -> str:
        """The name of the backend, such as `torch/cpu/bf16`."""
        return f"{self.library}/{self.hardware.device.type}/{self.precision}"

    def load(self, network: UNet, size: tuple[int, int], quantized: QuantizedNetwork | None = None) -> Forward:
        """The forward pass of `network` for images of `size`, `(rows, columns)`. int8 needs `quantized`."""
        if self.library == "openvino":
            if self.precision == "int8":
                assert quantized is not None  # list_backends has checked this
                graph = read_graph(quantized, network, size)
            else:
                graph = convert(network, size, self.precision)
            with threads_limited(self.hardware):
                return OpenVinoRuntime(graph, self.precision)
        return TorchRuntime(network, self.hardware, self.precision, compiled=self.library == "inductor")

    def load_all(self, model: LoadedModel) -> list[Forward]:
        """The forward passes of a model, one for each network."""
        size = model.card.preprocess.size
        return [self.load(network, size, own) for network, own in zip(model.networks, model.quantized, strict=True)]


def list_backends(config: ModelPredictConfig, model: LoadedModel) -> list[Backend]:
    """The backends that `config` allows and this machine supports, the simplest first.

    Raises `ConfigError` if there is none.
    """
    asked = config
    if asked.backend == "openvino" and asked.device == "auto":
        asked = asked.model_copy(update={"device": "cpu"})
    own = "auto" if asked.precision == "int8" else asked.precision
    hardware = find_hardware(asked.device, own, asked.channels_last)
    device, is_quantized = hardware.device, None not in model.quantized
    has_openvino = device.type == "cpu" and is_installed()
    if asked.backend == "openvino" and not has_openvino:
        raise ConfigError(
            "predict.backend=openvino runs on the CPU only; set predict.device=cpu"
            if device.type != "cpu"
            else "predict.backend=openvino: OpenVINO is not installed; pip install 'medseg[openvino]'"
        )
    if asked.precision == "int8":
        if not has_openvino or asked.backend not in ("auto", "openvino"):
            raise ConfigError("predict.precision=int8 needs OpenVINO on the CPU; pip install 'medseg[openvino]'")
        if not is_quantized:
            raise ConfigError("predict.precision=int8: the model is not quantized; run medseg quantize.")
    if asked.backend == "inductor" and not can_compile(device):
        asked = asked.model_copy(update={"backend": "torch"})
    libraries = ["torch", *(["openvino"] if has_openvino else [])] if asked.backend == "auto" else [asked.backend]
    usual = [hardware.precision, *(["int8"] if is_quantized else [])]
    precisions = usual if asked.precision == "auto" else [asked.precision]
    return [
        Backend(library, hardware, precision)
        for library in libraries
        for precision in precisions
        if precision != "int8" or library == "openvino"
    ]


def build_training_backend(hardware: Hardware) -> Backend:
    """The backend of a training: PyTorch on the given device and in its precision."""
    return Backend("torch", hardware, hardware.precision)
