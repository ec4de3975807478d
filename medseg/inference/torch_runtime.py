"""The PyTorch backend."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from medseg.hardware.compiler import compiling
from medseg.hardware.cpu import threads_limited
from medseg.hardware.device import Hardware
from medseg.inference.prepare import fold, split_first, split_images
from medseg.model.unet import UNet


class TorchRuntime:
    """Computes logits, float32, of images `(batch, channel, rows, columns)`, float32, with a copy of a network.

    A compiled network is compiled at the first image; on a GPU it becomes a CUDA graph.
    """

    def __init__(self, network: UNet, hardware: Hardware, precision: str, *, compiled: bool) -> None:
        """`precision` is `fp32` or `bf16`."""
        self.device, self.layout, self.splits = hardware.device, hardware.memory_format, precision == "bf16"
        self.hardware = hardware
        self.surroundings: Callable[[], AbstractContextManager[None]] = compiling if compiled else nullcontext
        self.dtype = torch.bfloat16 if self.splits else torch.float32
        prepared = split_first(fold(network)) if self.splits else fold(network)
        prepared = prepared.to(self.device, self.dtype).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.network: Callable[[Tensor], Tensor] = prepared
        if compiled:
            self.network = torch.compile(prepared, options={"triton.cudagraphs": self.device.type == "cuda"})

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """The logits."""
        pictures = split_images(images) if self.splits else images
        with threads_limited(self.hardware), self.surroundings():
            return self.network(pictures.to(self.device, self.dtype, memory_format=self.layout)).float()
