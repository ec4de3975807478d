"""Prediction: the network's time per image, in the article's loop and on each backend."""

import copy
import itertools
import tempfile
from collections import deque
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medseg.benchmark import article
from medseg.benchmark.bench import Bench
from medseg.benchmark.contest import ARTICLE, Contest, Contestant, Details, compete, timed
from medseg.benchmark.limit import enter_products
from medseg.benchmark.networks import stand_beside
from medseg.hardware.compiler import can_compile
from medseg.inference.backends import Backend, Forward
from medseg.inference.openvino_runtime import is_installed, quantize
from medseg.metrics.overlap import measure_overlap
from medseg.model.operations import count_gflop
from medseg.model.unet import UNet

_MOST_IMAGES = 64  # in a turn
_can_compile = cache(can_compile)  # cached, so that the reason of a failure is logged once


def measure_prediction(bench: Bench) -> Iterator[Contest]:
    """One contest for each width and size."""
    for width, size in itertools.product(bench.widths, bench.sizes):
        yield _hold(bench, width, size)


def _hold(bench: Bench, width: int, size: tuple[int, int]) -> Contest:
    network, products, shown = bench.network(width), enter_products(bench), bench.images("validation", size)
    gflop, judge = count_gflop(network, (network.in_channels, *size)), Judge(bench, network, size)
    work = max(product.gflop or 0.0 for product in products)  # a turn does as much work as a product
    images = shown[torch.arange(min(max(1, round(work / gflop)), _MOST_IMAGES)) % len(shown)]
    with tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        theirs = enter_article(network, images, bench.device, Path(folder))
        ours = [enter_backend(backend, bench, network, images, gflop, judge) for backend in list_entrants(bench)]
        found = compete([*products, theirs, *ours], bench.settings.turns, bench.settings.seconds)
    title = f"width {width}, {size[0]} x {size[1]}"
    return Contest("prediction", title, found[len(products) :], products=found[: len(products)])


def list_entrants(bench: Bench) -> list[Backend]:
    """The backends of the settings on the device, in every precision they support, whether installed or not."""
    return [
        Backend(library, bench.hardware, precision)
        for library in bench.settings.backends
        if bench.device.type == "cpu" or library != "openvino"
        for precision in ("fp32", "bf16", "int8")
        if precision != "int8" or library == "openvino"
    ]


def enter_article(own: UNet, images: Tensor, device: torch.device, folder: Path) -> Contestant:
    """The article's test loop over JPEG files of `images`; its time is that of the network alone (see `stand_beside`).

    The time of the whole loop, reading and writing included, is reported as a detail.
    """
    rows, columns = images.shape[-2:]
    network, size, note = stand_beside(own, (rows, columns))
    network.to(device)
    (folder / "test").mkdir()
    for index, image in enumerate(images):
        gray = (image[0].clamp(0, 1) * 255).round().numpy().astype(np.uint8)
        Image.fromarray(gray).save(folder / "test" / f"{index}.jpg")
    wholes: list[float] = []

    def turn() -> float:
        taken: list[float] = []

        def predict(image: Tensor) -> Tensor:
            found: list[Tensor] = []
            taken.append(timed(lambda: found.append(network(image)), device)())
            return found[0]

        whole = timed(lambda: article.predict(predict, device, folder / "test", folder / "pred", *size), device)
        wholes.append(whole() / len(images))
        return sum(taken) / len(images)

    gflop = count_gflop(network, (1, *size))
    return Contestant(ARTICLE, gflop, note, turn=turn, tell=lambda _: {"loop_seconds": median(wholes[1:])})


class Judge:
    """Compares masks with those of PyTorch in fp32, at the size of the model: at other sizes, masks mean nothing."""

    def __init__(self, bench: Bench, network: UNet, size: tuple[int, int]) -> None:
        self.bench, self.network, self.size, (self.card, _) = bench, network, size, bench.model

    def measure(self, forward: Forward) -> Details:
        """The mean Dice over cases by class, and the worst Dice; empty if masks are not compared."""
        if self.size != self.card.preprocess.size or self.card.reading.color == "rgb":
            return {}
        masks = self._find_masks(forward)
        dice = measure_overlap(masks, self._reference, torch.ones(masks.shape[:2], dtype=torch.bool))[0]
        means = dict(zip(self.card.classes, dice.mean(dim=0).tolist(), strict=True))
        return {"dice": means, "worst_dice": float(dice.min()), "cases": len(masks)}

    @cached_property
    def _reference(self) -> Tensor:
        plain = copy.deepcopy(self.network).to(self.bench.device)
        return self._find_masks(lambda image: plain(image.to(self.bench.device)))

    @torch.no_grad()
    def _find_masks(self, forward: Forward) -> Tensor:
        images = self.bench.images("validation", self.size)[: self.bench.settings.cases]
        return torch.cat([forward(image[None]).cpu() for image in images]) >= 0


def enter_backend(
    backend: Backend, bench: Bench, network: UNet, images: Tensor, gflop: float, judge: Judge
) -> Contestant:
    """A contestant that predicts all images per turn, one by one on a CPU and in batches on a GPU."""
    if reason := _why_not(backend):
        return Contestant(backend.name, gflop, reason)
    (rows, columns), quantized = images.shape[-2:], None
    if backend.precision == "int8":
        number = bench.settings.cases if (rows, columns) == judge.card.preprocess.size else 1  # 1: only speed matters
        quantized = quantize(network, list(bench.images("train", (rows, columns))[:number]))
    forward = backend.load(network, (rows, columns), quantized)
    batches = torch.split(images, 1 if bench.device.type == "cpu" else bench.settings.batch_size)
    whole = timed(lambda: deque(map(forward, batches), maxlen=0), bench.device)
    return Contestant(backend.name, gflop, turn=lambda: whole() / len(images), tell=lambda _: judge.measure(forward))


def _why_not(backend: Backend) -> str:
    """The reason why this machine cannot run the backend; empty if it can."""
    packages = {"openvino": ["openvino", *(["nncf"] if backend.precision == "int8" else [])]}
    missing = [package for package in packages.get(backend.library, []) if not is_installed(package)]
    if missing:
        return f"{' and '.join(missing)} not installed: pip install 'medseg[openvino]'"
    if backend.precision == "bf16" and not backend.hardware.has_bf16:
        return "not measured: this hardware has no bfloat16"
    if backend.library == "inductor" and not _can_compile(backend.hardware.device):
        return "not measured: torch.compile does not work on this machine"
    return ""
