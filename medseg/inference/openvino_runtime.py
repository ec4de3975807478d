"""The OpenVINO backend for CPUs. It needs the extra `openvino`."""

import contextlib
import importlib.util
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg.errors import CheckpointError, ConfigError
from medseg.inference.prepare import fold, split_first, split_images
from medseg.model.checkpoint import QuantizedNetwork
from medseg.model.unet import UNet, output_size

_FAILURES = ("GeneralFailure", "NotImplementedFailure", "OpConversionFailure", "OpValidationFailure")
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def is_installed(package: str = "openvino") -> bool:
    """Whether a package of the extra is installed."""
    return importlib.util.find_spec(package) is not None


def import_openvino() -> Any:
    """OpenVINO, imported without the part that reports its use to its maker over the network."""
    with _telemetry_hidden():
        return import_module("openvino")


@contextlib.contextmanager
def _telemetry_hidden() -> Iterator[None]:
    """The block in which OpenVINO's telemetry cannot be imported, as if it were not installed."""
    hidden = {"openvino_telemetry", "openvino_telemetry.backend"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


class OpenVinoRuntime:
    """Computes logits, float32, of images `(batch, channel, rows, columns)`, float32, one image at a time.

    It uses as many threads as PyTorch.
    """

    def __init__(self, model: Any, precision: str) -> None:
        """`model` comes from `convert` with the same precision, or from `read_graph` for int8."""
        self.splits = precision == "bf16"
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        self._request = import_openvino().Core().compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, images: Tensor) -> Tensor:
        """The logits."""
        pictures = np.ascontiguousarray((split_images(images) if self.splits else images).numpy())
        return torch.from_numpy(np.concatenate([self._request.infer({0: picture[None]})[0] for picture in pictures]))


def convert(network: UNet, size: tuple[int, int], precision: str) -> Any:
    """The network as an `openvino.Model` for one image of `size`, `(rows, columns)`.

    Raises `ConfigError` if OpenVINO does not know an operation, for example because PyTorch is newer than OpenVINO.
    """
    openvino = import_openvino()
    prepared = split_first(fold(network)) if precision == "bf16" else fold(network)
    with torch.no_grad(), warnings.catch_warnings(), _telemetry_hidden():
        warnings.simplefilter("ignore", FutureWarning)  # torch.export warns about its own code
        picture = torch.zeros(1, prepared.in_channels, *size)
        try:
            model = openvino.convert_model(torch.export.export(prepared, (picture,)))
        except tuple(getattr(openvino.frontend, name) for name in _FAILURES) as error:
            raise ConfigError("OpenVINO cannot convert this network; set predict.backend=torch") from error
    model.reshape(list(picture.shape))
    return model


def quantize(network: UNet, images: Sequence[Tensor]) -> QuantizedNetwork:
    """The network with int8 convolutions, by post-training quantization with NNCF (part of the extra `openvino`).

    The ranges of the activations are measured on `images`, each `(channel, rows, columns)`. The first convolution stays
    float32; in int8 it would reduce the image to 8 bits.
    """
    openvino = import_openvino()
    with _telemetry_hidden():
        nncf: Any = import_module("nncf")
    nncf.set_log_level("ERROR")
    model = convert(network, (int(images[0].shape[-2]), int(images[0].shape[-1])), "int8")
    first = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    with _telemetry_hidden(), contextlib.redirect_stdout(sys.stderr):  # NNCF prints its progress
        quantized = nncf.quantize(
            model,
            nncf.Dataset([image[None].numpy() for image in images]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=[first.get_friendly_name()]),
        )
    with tempfile.TemporaryDirectory() as folder:
        graph, weights = Path(folder) / "graph.xml", Path(folder) / "graph.bin"
        openvino.serialize(quantized, graph, weights)
        return QuantizedNetwork(_read(graph), _read(weights))


def read_graph(quantized: QuantizedNetwork, network: UNet, size: tuple[int, int]) -> Any:
    """The `openvino.Model` of a quantized network. Raises `CheckpointError` if it is damaged or not of `network`."""
    openvino = import_openvino()
    weights = openvino.Tensor(quantized.weights.numpy())
    try:
        model = openvino.Core().read_model(quantized.graph.numpy().tobytes(), weights)
        shapes = [port.get_partial_shape() for port in (model.input(), model.output())]
    except RuntimeError as error:
        raise CheckpointError("the int8 network of the model file is damaged") from error
    given = [output_size(side, network.config) for side in size]
    wanted = [[1, network.in_channels, *size], [1, network.out_channels, *given]]
    if not all(shape.compatible(openvino.PartialShape(own)) for shape, own in zip(shapes, wanted, strict=True)):
        raise CheckpointError("the int8 network and the metadata of the model file differ in image size or classes")
    return model


def _read(path: Path) -> Tensor:
    return torch.from_numpy(np.frombuffer(path.read_bytes(), np.uint8).copy())
