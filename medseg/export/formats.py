"""The formats of an exported program, an entry each: its file, how it is written, and how it is run."""

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from medseg.errors import ConfigError
from medseg.export.program import Program
from medseg.inference.openvino_runtime import import_openvino

OPSET = 20
"""Version of the ONNX operators."""
_ERRORS = 3  # ONNX Runtime warns of operators that it does not fold
_LARGEST = 30_000  # rows or columns


@dataclass(frozen=True)
class Format:
    """How a program is written and run."""

    file: str
    """Path of the program in the output folder."""
    write: Callable[[ExportedProgram, Mapping[str, Any], Path], None]
    """Writes the program, with what it says of itself, to a path."""
    load: Callable[[Path], Callable[[Tensor], Tensor]]
    """Makes a function from images to masks of the file."""
    packages: tuple[str, ...] = ()
    extra: str = ""
    """The packages that writing needs beyond PyTorch, and the extra of medseg that installs them."""


def trace(program: Program, channels: int) -> ExportedProgram:
    """The program as a graph, for any number of images of any one size."""
    example = torch.rand(2, channels, 523, 611, generator=torch.Generator().manual_seed(0))
    sizes = {0: Dim("batch", min=1, max=1024), 2: Dim("rows", max=_LARGEST), 3: Dim("columns", max=_LARGEST)}
    with torch.no_grad(), _quiet():
        traced = torch.export.export(program, (example,), dynamic_shapes=(sizes,))
    for node in traced.graph.nodes:  # the lines of code that it comes from, with local paths
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack"):
            node.meta.pop(key, None)
    return traced


def check_packages(form: Format) -> None:
    """Raise `ConfigError` if a package that the format needs is not installed."""
    for package in form.packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ConfigError(
                f"export.format: this format needs the package {package}. "
                f"Install it with pip install 'medseg[{form.extra}]'"
            ) from error


def write_onnx(traced: ExportedProgram, facts: Mapping[str, Any], path: Path) -> None:
    """Write an ONNX file; `facts` are the metadata `medseg`, as JSON."""
    with _quiet():
        written = torch.onnx.export(
            traced,
            dynamo=True,
            optimize=False,
            opset_version=OPSET,
            verbose=False,
            input_names=["image"],
            output_names=["masks"],
        )
    if written is None:
        raise ConfigError("export.format: PyTorch could not write this network as ONNX. Use export.format=torch")
    for node in written.model.graph.all_nodes():  # the lines of code that it comes from, with local paths
        node.metadata_props.clear()
    written.model.metadata_props["medseg"] = json.dumps({**facts, "opset": OPSET})
    written.save(path)


def write_openvino(traced: ExportedProgram, facts: Mapping[str, Any], path: Path) -> None:
    """Write the two files of OpenVINO's intermediate representation, in float32, by way of ONNX."""
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(traced, facts, Path(folder) / "model.onnx")
        converted = openvino.convert_model(Path(folder) / "model.onnx")
    converted.set_rt_info(json.dumps(facts), ["medseg"])
    openvino.save_model(converted, path, compress_to_fp16=False)


def write_torch(traced: ExportedProgram, facts: Mapping[str, Any], path: Path) -> None:
    """Write a torch.export program; `facts` are its extra file medseg.json."""
    torch.export.save(traced, path, extra_files={"medseg.json": json.dumps(facts)})


def load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """The program in ONNX Runtime, on the CPU."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"image": images.numpy()})[0])


def load_openvino(path: Path) -> Callable[[Tensor], Tensor]:
    """The program in OpenVINO, on the CPU, in float32."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = import_openvino().Core().compile_model(path, "CPU", settings)
    return lambda images: torch.from_numpy(compiled(images.numpy())[0])


def load_torch(path: Path) -> Callable[[Tensor], Tensor]:
    """The program in PyTorch, on the CPU."""
    program = torch.export.load(path).module()
    return torch.no_grad()(lambda images: program(images))


@contextmanager
def _quiet() -> Iterator[None]:
    """The block without what the exporters say about themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


_ONNX = ("onnx", "onnxscript", "onnxruntime")
FORMATS: Mapping[str, Format] = {
    "onnx": Format("model.onnx", write_onnx, load_onnx, _ONNX, "onnx"),
    "openvino": Format("model.xml", write_openvino, load_openvino, ("onnx", "onnxscript", "openvino"), "onnx,openvino"),
    "torch": Format("model.pt2", write_torch, load_torch),
    "bundle": Format("models/model.pt2", write_torch, load_torch),
}
"""By value of export.format."""
