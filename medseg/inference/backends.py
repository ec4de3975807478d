"""What a network runs on: one interface to PyTorch, PyTorch compiled and OpenVINO."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medseg.errors import ConfigError
from medseg.hardware.compiler import prepare_compiler
from medseg.hardware.cpu import limit_threads
from medseg.hardware.precision import Hardware, build_inferer, choose_device, has_bf16
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel
from medseg.inference.openvino_runtime import OpenVinoRuntime, convert, is_installed, read_graph
from medseg.inference.torch_runtime import TorchRuntime
from medseg.model.checkpoint import QuantizedNetwork
from medseg.model.unet import UNet

Forward = Callable[[Tensor], Tensor]
"""Logits, float32 `(batch, class, rows, columns)`, of images float32 `(batch, channel, rows, columns)`."""


@dataclass(frozen=True)
class Backend:
    """A library, a device and a precision."""

    library: str
    """`torch`, `inductor` (PyTorch compiled) or `openvino`."""
    device: torch.device
    precision: str
    """`fp32`, `bf16` or `int8`."""
    channels_last: bool = True

    @property
    def name(self) -> str:
        """As `torch/cpu/bf16`."""
        return f"{self.library}/{self.device.type}/{self.precision}"

    def load(self, network: UNet, size: tuple[int, int], quantized: QuantizedNetwork | None = None) -> Forward:
        """The forward pass of `network` on pictures of `size`, `(rows, columns)`; int8 wants it quantised."""
        if self.device.type == "cpu":
            limit_threads()
        if self.library == "openvino":
            if self.precision == "int8":
                assert quantized is not None  # as list_backends sees to
                return OpenVinoRuntime(read_graph(quantized, network, size), self.precision)
            return OpenVinoRuntime(convert(network, size, self.precision), self.precision)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return TorchRuntime(network, self.device, self.precision, layout, compiled=self.library == "inductor")

    def load_all(self, model: LoadedModel) -> list[Forward]:
        """The forward passes of a model, one a network."""
        size = model.card.preprocess.size
        return [self.load(network, size, own) for network, own in zip(model.networks, model.quantized, strict=True)]


def list_backends(config: ModelPredictConfig, model: LoadedModel) -> list[Backend]:
    """The backends that `config` allows and this machine has, the plainest first. Raises `ConfigError` without one."""
    asked = config
    if asked.backend == "openvino" and asked.device == "auto":
        asked = asked.model_copy(update={"device": "cpu"})
    device = choose_device(asked)
    has_openvino, is_quantized = device.type == "cpu" and is_installed(), None not in model.quantized
    if asked.backend == "openvino" and not has_openvino:
        raise ConfigError(
            "predict.backend=openvino runs on processors: predict.device=auto"
            if device.type != "cpu"
            else "predict.backend=openvino: it is not installed; pip install 'medseg[openvino]'"
        )
    if asked.precision == "int8":
        if not has_openvino or asked.backend not in ("auto", "openvino"):
            raise ConfigError("predict.precision=int8 needs OpenVINO, pip install 'medseg[openvino]', on a processor")
        if not is_quantized:
            raise ConfigError(
                "predict.precision=int8: the model is not quantised; python -m pipelines.quantize_xray does it"
            )
    if asked.backend == "inductor" and not prepare_compiler(device):
        asked = asked.model_copy(update={"backend": "torch"})
    libraries = ["torch", *(["openvino"] if has_openvino else [])] if asked.backend == "auto" else [asked.backend]
    usual = "bf16" if has_bf16(device) else "fp32"
    precisions = [usual, *(["int8"] if is_quantized else [])] if asked.precision == "auto" else [asked.precision]
    return [
        Backend(library, device, precision, asked.channels_last)
        for library in libraries
        for precision in precisions
        if precision != "int8" or library == "openvino"
    ]


def build_training_backend(train: Hardware) -> Backend:
    """PyTorch on the device and in the precision of a training."""
    device = choose_device(train)
    precision = "bf16" if build_inferer(train, device).enabled else "fp32"
    return Backend("torch", device, precision, train.channels_last)
