"""What is measured: the pictures, and networks that know something of them."""

import sys
from functools import cached_property
from math import gcd
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from medseg.benchmark import article
from medseg.benchmark.config import BenchmarkSettings
from medseg.benchmark.session import Recipe, Session
from medseg.data.cases import find_cases
from medseg.data.checks import check_set
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import CachedCases, cache_cases
from medseg.data.splits import Splits, split_by_patient
from medseg.data.synthetic import find_data
from medseg.errors import ConfigError
from medseg.model.checkpoint import ModelCard, load_model
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet, build_unet
from medseg.training.engines import seed_everything
from medseg.training.precision import choose_device
from medseg.training.processor import limit_threads

MEAN = "mean"
"""In place of a class: the mean over all of them."""
ARTICLE = "article"
"""The name of the article's row in every comparison."""


class Subject:
    """Pictures and networks, each made when it is first asked for."""

    def __init__(self, recipe: Recipe, settings: BenchmarkSettings, folder: Path) -> None:
        """Generated files go to `folder`. Raises `ConfigError` for a device that is not there."""
        self.recipe, self.settings, self.folder = recipe, settings, folder
        self.device = choose_device(recipe.train)
        if self.device.type == "cpu":
            limit_threads()
        self._pictures: dict[tuple[str, int], CachedCases] = {}
        seed_everything(recipe.seed)

    @cached_property
    def splits(self) -> Splits:
        """The cases; those of synthetic phantoms where no data set is given.

        Raises `ConfigError` where `settings.of_class` is none of their classes.
        """
        self._data = find_data(self.recipe.data, self.recipe.phantom, self.folder)
        found, of_class = find_cases(self._data), self.settings.of_class
        if of_class not in (None, MEAN, *found.classes):
            raise ConfigError(f"benchmark.of_class: {of_class} is none of {', '.join(found.classes)}")
        return split_by_patient(found, self.recipe.split)

    @property
    def classes(self) -> tuple[str, ...]:
        """In channel order."""
        return self.splits.classes

    @property
    def judged(self) -> str:
        """The class whose Dice is to be reached, or `MEAN`."""
        return self.settings.of_class or ("lungs" if "lungs" in self.classes else MEAN)

    def pictures(self, split: str, size: int) -> CachedCases:
        """The cases of a split as a network of `size` rows and columns sees them; `settings.model` says how."""
        if (split, size) not in self._pictures:
            own = self.recipe.preprocess if self.settings.model is None else self.model[0].preprocess
            preprocess = own.model_copy(update={"size": (size, size)})
            self._pictures[split, size] = self.cache(split, preprocess)
        return self._pictures[split, size]

    def cache(self, split: str, preprocess: PreprocessConfig) -> CachedCases:
        """The cases of a split, read and preprocessed."""
        cases = dict(self.splits.items())[split]
        findings = Findings(self._data.root)
        cached, surveys = cache_cases(cases, self.classes, self._data, preprocess, self.folder, findings, look=True)
        check_set(surveys, self.classes, findings)
        findings.check()
        return cached

    @cached_property
    def model(self) -> tuple[ModelCard, UNet]:
        """The model that is predicted with, on the CPU: `settings.model`, or the article's network trained a little.

        Raises `ConfigError` where it is not the article's but for width, where its classes are not those of the data,
        and where a width of `settings.widths` cannot be made of it.
        """
        settings, widths = self.settings, self.settings.widths
        if settings.model is not None:
            card, network = load_model(settings.model)
            check_model(card, self.classes, self.recipe.data)
            unfit = [width for width in widths if width % card.model.width]
            if unfit:
                raise ConfigError(
                    f"benchmark.widths: {unfit[0]} is no multiple of {card.model.width}, the width of {settings.model}"
                )
            return card, network
        return self._fit(gcd(*widths), max(settings.sizes))

    def describe(self, model: ModelConfig, size: tuple[int, int]) -> ModelCard:
        """The card of a network of this data set on pictures of `size`, `(rows, columns)`."""
        preprocess = self.recipe.preprocess.model_copy(update={"size": size})
        return ModelCard(classes=self.classes, model=model, preprocess=preprocess)

    def network(self, width: int) -> UNet:
        """The model's network in that width, on the CPU, in evaluation mode."""
        network = self.model[1]
        return widen(network, width // network.config.width)

    def _fit(self, width: int, size: int) -> tuple[ModelCard, UNet]:
        train = self.recipe.train.model_copy(
            update={"minutes": self.settings.fit_seconds / 60, "epochs": None, "coarse": 0.7}
        )
        card = self.describe(article_config(width), (size, size))
        session = Session(self.recipe, card, train, self.pictures("train", size), self.device)
        print(f"training a network to predict with: {self.settings.fit_seconds:g} s", file=sys.stderr, flush=True)
        while not session.is_over:
            session.step()
        network = card.build_network()
        network.load_state_dict(session.average.state_dict())
        return card, network.eval()


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Cases as the article's loop takes them: a picture and its masks, float32."""

    def __init__(self, cached: CachedCases) -> None:
        self.cached = cached

    def __len__(self) -> int:
        return len(self.cached)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.cached.images[index], self.cached.labels[index].float()


def load_pairs(cached: CachedCases) -> DataLoader[tuple[Tensor, Tensor]]:
    """The article's data loader. Its pictures come from memory, which favours it."""
    return DataLoader(Pairs(cached), batch_size=1, shuffle=False)


def article_config(width: int, padding_mode: str = "reflect") -> ModelConfig:
    """The article's network in this project's words."""
    return ModelConfig.model_validate({"width": width, "depth": 4, "padding_mode": padding_mode, "dropout": 0.3})


def check_model(card: ModelCard, classes: tuple[str, ...], data: DataConfig) -> None:
    """Raise `ConfigError` that names all in which a model file fits neither the article's network nor the data."""
    found, wanted = card.model.model_dump(), article_config(card.model.width).model_dump()
    unfit = [f"model.{k} is {found[k]}, not {wanted[k]}" for k in wanted if k != "dropout" and found[k] != wanted[k]]
    read = [(name, getattr(card.reading, name), getattr(data, name)) for name in ("color", "presentation")]
    unfit += [f"it was trained with data.{name}={own}, not {given}" for name, own, given in read if own != given]
    if card.classes != classes:
        unfit.append(f"its classes are {', '.join(card.classes)}, those of the data {', '.join(classes)}")
    if unfit:
        raise ConfigError(f"benchmark.model: must be the article's network but for width; {'; '.join(unfit)}")


def build_article(network: UNet) -> article.UNet:
    """The article's network with the weights of this project's, of the same blocks; on the CPU."""
    found = article.UNet(network.in_channels, network.out_channels, network.config.width)
    parts: list[tuple[nn.Module, nn.Module]] = [(found.c5, network.bottom), (found.out, network.out)]
    parts += zip((found.c1, found.c2, found.c3, found.c4), network.encoder, strict=True)
    parts += zip((found.d1, found.d2, found.d3, found.d4), network.down, strict=True)
    parts += zip((found.u1, found.u2, found.u3, found.u4), network.up, strict=True)
    parts += zip((found.c6, found.c7, found.c8, found.c9), network.decoder, strict=True)
    for own, other in parts:
        own.load_state_dict(other.state_dict())
    return found.train(network.training)


def widen(network: UNet, factor: int) -> UNet:
    """A network `factor` times as wide that computes the same: each channel stands there that often (Net2Net).

    Chen, Goodfellow, Shlens: Net2Net, arXiv:1511.05641, section 2.3.
    """
    config = network.config.model_copy(update={"width": network.config.width * factor})
    wide = build_unet(config, network.in_channels, network.out_channels)
    shapes = wide.state_dict()
    weights: dict[str, Any] = {}
    for name, tensor in network.state_dict().items():
        for axis, (length, wanted) in enumerate(zip(tensor.shape, shapes[name].shape, strict=True)):
            if wanted != length:
                tensor = tensor.repeat_interleave(factor, axis) / (factor if axis else 1)
        weights[name] = tensor
    wide.load_state_dict(weights)
    return wide.train(network.training)


def count_gflop(width: int, size: int, num_classes: int, *, training: bool) -> float:
    """The work of the article's network on one picture, 1e9 operations; `training` adds the way back."""
    with torch.device("meta"):
        network, picture = article.UNet(1, num_classes, width), torch.empty(1, 1, size, size)
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        found = network(picture)
        if training:
            found.sum().backward()
    return float(counter.get_total_flops() / 1e9)
