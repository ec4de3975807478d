"""Everything outside the code that may change a number: libraries, Python, CPU or GPU, precision, threads."""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from medseg.hardware.cores import count_cores, name_processor

_LIBRARIES = (
    *("torch", "monai", "pytorch-ignite", "numpy", "scipy"),
    *("pydicom", "highdicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "nibabel", "SimpleITK", "pillow"),
)
"""The libraries that compute, or that read and write images."""
_BACKENDS = {"openvino/": ("openvino", "nncf"), "onnx/": ("onnx", "onnxscript", "onnxruntime")}
"""Word in the name of a backend -> libraries that count for it, too."""


@dataclass(frozen=True)
class Environment:
    """The environment of a process."""

    python: str
    platform: str
    """Operating system and architecture, such as `Linux x86_64`."""
    processor: str
    """Name of the CPU."""
    instructions: tuple[str, ...]
    """Instruction sets of the CPU that PyTorch knows, such as `avx2`."""
    device: str
    """`cpu`, or the name of the GPU."""
    backend: str
    """Library, device and precision of the network, such as `torch/cpu/bf16`. Empty if no network ran."""
    threads: int
    """Number of threads of PyTorch on the CPU."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Library -> version."""

    @property
    def hardware(self) -> str:
        """The name of the GPU, or of the CPU if the network runs on that."""
        return self.processor if self.device == "cpu" else self.device

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The environment in a receipt. Raises `KeyError` or `TypeError` if a field is missing or wrong."""
        values = {each.name: given[each.name] for each in fields(cls)}
        libraries = {str(name): str(found) for name, found in given["libraries"].items()}
        return cls(**{**values, "instructions": tuple(given["instructions"]), "libraries": libraries})

    def compare(self, now: "Environment") -> list[str]:
        """The differences between this environment and `now`, each as a phrase."""
        return [*_compare(asdict(self), asdict(now)), *_compare(self.libraries, now.libraries)]


def describe_environment(backend: str) -> Environment:
    """The environment of this process, for a network on `backend`, such as `torch/cpu/bf16`."""
    import torch

    from medseg.hardware.cpu import count_threads

    is_gpu = "/cuda/" in backend and torch.cuda.is_available()
    names = [*_LIBRARIES, *(name for word, own in _BACKENDS.items() if word in backend for name in own)]
    libraries = {name: found for name in names if (found := _find_version(name))}
    if is_gpu and torch.version.cuda:
        libraries["cuda"] = torch.version.cuda
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=name_processor(),
        instructions=tuple(sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)),
        device=torch.cuda.get_device_name() if is_gpu else "cpu",
        backend=backend,
        threads=count_threads(count_cores()),
        libraries=libraries,
    )


def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(then.keys() | now.keys()):
        was, is_ = then.get(name), now.get(name)
        if name == "instructions" and was != is_:
            listed = sorted(set(was or ()) ^ set(is_ or ()))
            yield f"instructions of the CPU, {', '.join(listed)}, are not the same"
        elif name != "libraries" and was != is_:
            yield f"{name} {was or 'none'} then, {is_ or 'none'} now"
