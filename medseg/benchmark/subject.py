"""What is measured: the pictures, and networks that know something of them."""

import sys
from dataclasses import dataclass
from functools import cached_property, partial
from math import gcd
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medseg.benchmark import article
from medseg.benchmark.config import BenchmarkSettings
from medseg.benchmark.networks import article_config, build_article, count_gflop, fit_article, list_departures, widen
from medseg.benchmark.session import Recipe, Session
from medseg.checks.items import summarize_item
from medseg.checks.run import check_set
from medseg.data.cases import find_cases
from medseg.data.config import PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import CachedCases, cache_cases
from medseg.data.splits import Splits, split_by_patient
from medseg.data.synthetic import find_data
from medseg.errors import ConfigError
from medseg.hardware.cpu import limit_threads
from medseg.hardware.precision import choose_device
from medseg.model.checkpoint import ModelCard, load_model
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet
from medseg.training.engines import seed_everything

MEAN = "mean"
"""In place of a class: the mean over all of them."""
ARTICLE = "article"
"""The name of the article's row in every comparison."""
_WIDTHS, _SIZES = (16, 64), (256, 512)


@dataclass(frozen=True)
class ArticleSide:
    """The article's network beside one of this project's."""

    network: article.UNet
    """On the CPU."""
    size: tuple[int, int]
    """Rows and columns of its images."""
    gflop: float
    """Its work on one of them."""
    note: str
    """In what it differs from the other; empty where it computes the same."""


class Subject:
    """Pictures and networks, each made when it is first asked for."""

    def __init__(self, recipe: Recipe, settings: BenchmarkSettings, folder: Path) -> None:
        """Generated files go to `folder`. Raises `ConfigError` for a device that is not there."""
        self.recipe, self.settings, self.folder = recipe, settings, folder
        self.device = choose_device(recipe.train)
        if self.device.type == "cpu":
            limit_threads()
        self._pictures: dict[tuple[str, tuple[int, int]], CachedCases] = {}
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

    def pictures(self, split: str, size: tuple[int, int]) -> CachedCases:
        """The cases of a split as a network of `size`, `(rows, columns)`, sees them; `settings.model` says how."""
        if (split, size) not in self._pictures:
            preprocess, presentation = self.recipe.preprocess, None
            if self.settings.model is not None:
                preprocess, presentation = self.model[0].preprocess, self.model[0].reading.presentation
            self._pictures[split, size] = self.cache(split, preprocess.model_copy(update={"size": size}), presentation)
        return self._pictures[split, size]

    def images(self, split: str, size: tuple[int, int]) -> Tensor:
        """The images of a split, `(case, channel, *size)`; a grey image is repeated for each channel of the model."""
        return self.pictures(split, size).images.expand(-1, self.model[1].in_channels, -1, -1)

    def cache(self, split: str, preprocess: PreprocessConfig, presentation: str | None = None) -> CachedCases:
        """The cases of a split, read as the recipe says but for `presentation`, and preprocessed."""
        cases = dict(self.splits.items())[split]
        data = self._data.model_copy(update={"presentation": presentation} if presentation else {})
        findings = Findings(data.root)
        look = partial(summarize_item, classes=self.classes)
        cached, surveys = cache_cases(cases, self.classes, data, preprocess, self.folder, findings, look)
        check_set(surveys, self.classes, findings)
        findings.check()
        return cached

    @cached_property
    def model(self) -> tuple[ModelCard, UNet]:
        """The model that is predicted with, on the CPU: `settings.model`, or the article's network trained a little."""
        if self.settings.model is not None:
            return load_model(self.settings.model)
        return self._fit(gcd(*self.widths), max(side for size in self.sizes for side in size))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Those of the networks that are predicted with. Raises `ConfigError` for one that the model cannot have."""
        settings = self.settings
        if settings.model is None:
            return settings.widths or _WIDTHS
        own = self.model[0].model.width
        unfit = [width for width in settings.widths or () if width % own]
        if unfit:
            raise ConfigError(f"benchmark.widths: {unfit[0]} is no multiple of {own}, the width of {settings.model}")
        return settings.widths or (own,)

    @property
    def training_widths(self) -> tuple[int, ...]:
        """Those of the networks that are trained, to which a given model makes no difference."""
        return self.settings.widths or _WIDTHS

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the images that are predicted."""
        if self.settings.sizes is None and self.settings.model is not None:
            return (self.model[0].preprocess.size,)
        return tuple((side, side) for side in self.settings.sizes or _SIZES)

    def describe(self, model: ModelConfig, size: tuple[int, int]) -> ModelCard:
        """The card of a network of this data set on pictures of `size`, `(rows, columns)`."""
        preprocess = self.recipe.preprocess.model_copy(update={"size": size})
        return ModelCard(classes=self.classes, model=model, preprocess=preprocess)

    def network(self, width: int) -> UNet:
        """The model's network in that width, on the CPU, in evaluation mode."""
        network = self.model[1]
        return widen(network, width // network.config.width)

    def article(self, width: int, size: tuple[int, int]) -> ArticleSide:
        """The article's network in that width for pictures of `size`, with the model's weights where it takes them."""
        own, (rows, columns) = self.network(width), fit_article(size)
        gflop = count_gflop(width, rows, own.out_channels, training=False) * columns / rows
        notes = [] if (rows, columns) == size else [f"on {rows} x {columns} pixels"]
        departures = list_departures(own)
        if departures:
            notes = ["untrained", *notes, f"since the model has {', '.join(departures)}"]
        network = article.UNet(1, own.out_channels, width).eval() if departures else build_article(own)
        return ArticleSide(network, (rows, columns), gflop, ", ".join(notes))

    def _fit(self, width: int, size: int) -> tuple[ModelCard, UNet]:
        train = self.recipe.train.model_copy(
            update={"minutes": self.settings.fit_seconds / 60, "epochs": None, "coarse": 0.7}
        )
        card = self.describe(article_config(width), (size, size))
        session = Session(self.recipe, card, train, self.pictures("train", (size, size)), self.device)
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
