"""Prediction: the time that the network takes for a picture, in the article's loop and on each backend."""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medseg.benchmark import article
from medseg.benchmark.alternation import Turn, alternate, synchronize, timed
from medseg.benchmark.limit import Products
from medseg.benchmark.networks import count_own_gflop
from medseg.benchmark.result import Comparison, Row, find_limit
from medseg.benchmark.subject import ARTICLE, ArticleSide, Subject
from medseg.hardware.compiler import prepare_compiler
from medseg.hardware.precision import has_bf16
from medseg.inference.backends import Backend, Forward
from medseg.inference.openvino_runtime import is_installed, quantize
from medseg.metrics.overlap import measure_overlap
from medseg.model.checkpoint import QuantizedNetwork
from medseg.model.unet import UNet

_MOST_PICTURES = 64  # in a turn
_can_compile = cache(prepare_compiler)  # which says why not, once


def measure_prediction(subject: Subject) -> Iterator[Comparison]:
    """One comparison for each width and size."""
    for width in subject.widths:
        for size in subject.sizes:
            yield _compare(subject, width, size)


def _compare(subject: Subject, width: int, size: tuple[int, int]) -> Comparison:
    settings, device, network = subject.settings, subject.device, subject.network(width)
    theirs, gflop = subject.article(width, size), count_own_gflop(network, size)
    products = Products(device, settings.product_seconds)
    shown = subject.images("validation", size)
    number = min(max(1, round(products.gflop / gflop)), _MOST_PICTURES)  # as much work in a turn as a product is
    pictures = shown[torch.arange(number) % len(shown)]
    missing = {backend: _why_not(backend) for backend in list_backends(subject)}
    forwards = {b.name: _load(b, network, size, subject) for b, reason in missing.items() if not reason}
    with tempfile.TemporaryDirectory(dir=subject.folder) as folder:
        loop = ArticleLoop(theirs, pictures, device, Path(folder))
        turns = {**products.turns, ARTICLE: loop.turn}
        turns |= {name: _turn(forward, pictures, device, settings.batch_size) for name, forward in forwards.items()}
        times = alternate(turns, settings.turns, settings.seconds)
    card, _ = subject.model
    has_masks = size == card.preprocess.size and card.reading.color != "rgb"  # at other sizes they say nothing
    agreement = _measure_agreement(subject, network, forwards) if has_masks else {}
    details = {"loop_seconds": loop.seconds_an_image}
    rows = [Row(ARTICLE, times[ARTICLE], theirs.gflop, note=theirs.note, details=details)]
    rows += [
        Row(b.name, times.get(b.name), gflop, note=reason, details=agreement.get(b.name, {}))
        for b, reason in missing.items()
    ]
    measured, title = products.describe(times), f"width {width}, {size[0]} x {size[1]}"
    return Comparison("prediction", title, tuple(rows), ARTICLE, find_limit(measured), products=measured)


def list_backends(subject: Subject) -> list[Backend]:
    """Those that the settings name, on the device, in every precision that they know, whether installed or not."""
    on_cpu = subject.device.type == "cpu"
    return [
        Backend(library, subject.device, precision)
        for library in subject.settings.backends
        if on_cpu or library != "openvino"
        for precision in ("fp32", "bf16", "int8")
        if precision != "int8" or library == "openvino"
    ]


class ArticleLoop:
    """The article's test loop over JPEG files of some pictures."""

    def __init__(self, side: ArticleSide, pictures: Tensor, device: torch.device, folder: Path) -> None:
        self.network, self.device, self.folder = side.network.to(device).eval(), device, folder
        self.number, self.size = len(pictures), side.size
        self._seconds = 0.0
        self._whole = timed(self._run, device)
        self._wholes: list[float] = []
        (folder / "test").mkdir()
        for index, picture in enumerate(pictures):
            grey = (picture[0].clamp(0, 1) * 255).round().numpy().astype(np.uint8)
            Image.fromarray(grey).save(folder / "test" / f"{index}.jpg")

    def turn(self) -> float:
        """Seconds that its network took for a picture."""
        self._seconds = 0.0
        self._wholes.append(self._whole() / self.number)
        return self._seconds / self.number

    @property
    def seconds_an_image(self) -> float:
        """Of the whole loop, reading and writing included; the median."""
        return float(np.median(self._wholes[1:]))

    def _run(self) -> None:
        article.predict(self._measured, self.device, self.folder / "test", self.folder / "pred", *self.size)

    def _measured(self, picture: Tensor) -> Tensor:
        found: list[Tensor] = []
        self._seconds += timed(lambda: found.append(self.network(picture)), self.device)()
        return found[0]


def _why_not(backend: Backend) -> str:
    """Why this machine cannot run it; empty where it can."""
    packages = {"openvino": ["openvino", *(["nncf"] if backend.precision == "int8" else [])]}
    missing = [package for package in packages.get(backend.library, []) if not is_installed(package)]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install 'medseg[openvino]'"
    if backend.precision == "bf16" and not has_bf16(backend.device):
        return "not measured: no bfloat16 in this hardware"
    if backend.library == "inductor" and not _can_compile(backend.device):
        return "not measured: torch.compile does not work here"
    return ""


def _load(backend: Backend, network: UNet, size: tuple[int, int], subject: Subject) -> Forward:
    quantized: QuantizedNetwork | None = None
    if backend.precision == "int8":
        own = subject.model[0].preprocess.size
        number = subject.settings.cases if size == own else 1  # elsewhere only its speed counts
        quantized = quantize(network, list(subject.images("train", size)[:number]))
    return backend.load(network, size, quantized)


def _turn(forward: Forward, pictures: Tensor, device: torch.device, batch_size: int) -> Turn:
    """A turn over all pictures, as seconds a picture: one by one on a processor, in batches on a GPU."""
    batches = torch.split(pictures, 1 if device.type == "cpu" else batch_size)

    def work() -> None:
        for batch in batches:
            forward(batch)

    whole = timed(work, device)
    return lambda: whole() / len(pictures)


@torch.no_grad()
def _measure_agreement(subject: Subject, network: UNet, forwards: dict[str, Forward]) -> dict[str, dict[str, Any]]:
    """By backend: `dice`, by class the mean Dice of its masks with those of PyTorch's plain fp32, and the `worst`."""
    card, _ = subject.model
    pictures = subject.images("validation", card.preprocess.size)[: subject.settings.cases]
    plain = network.to(subject.device)
    reference = torch.cat([plain(picture[None].to(subject.device)).cpu() for picture in pictures]) >= 0
    network.cpu()
    present = torch.ones(reference.shape[:2], dtype=torch.bool)
    found = {}
    for name, forward in forwards.items():
        masks = torch.cat([forward(picture[None]).cpu() for picture in pictures]) >= 0
        synchronize(subject.device)
        dice = measure_overlap(masks, reference, present)[0]
        means = dict(zip(card.classes, dice.mean(dim=0).tolist(), strict=True))
        found[name] = {"dice": means, "worst_dice": float(dice.min()), "cases": len(pictures)}
    return found
