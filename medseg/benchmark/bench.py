"""The images and networks of a benchmark."""

import logging
from collections.abc import Iterable
from functools import cached_property, partial
from math import gcd
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from medseg.benchmark.networks import article_config, widen
from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.benchmark.session import Session
from medseg.checks.items import summarize_item
from medseg.checks.run import check_set
from medseg.data.cases import find_cases
from medseg.data.config import PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import CachedCases, cache_cases
from medseg.data.splits import Splits, split_by_patient
from medseg.data.synthetic import find_data
from medseg.errors import ConfigError
from medseg.hardware.device import find_hardware
from medseg.model.checkpoint import ModelCard, load_model
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet
from medseg.training.engines import seed_everything

MEAN = "mean"
"""Value of `benchmark.of_class` for the mean over all classes."""
_WIDTHS, _SIZES = (16, 64), (256, 512)
_logger = logging.getLogger(__name__)


class Bench:
    """Images and networks of a benchmark, each created on first use."""

    def __init__(self, recipe: BenchmarkRecipe, folder: Path) -> None:
        """Generated files go to `folder`. Raises `ConfigError` for a missing device."""
        self.recipe, self.settings, self.folder = recipe, recipe.benchmark, folder
        self.hardware = find_hardware(recipe.train.device, recipe.train.precision, recipe.train.channels_last)
        self.device = self.hardware.device
        self._cases: dict[tuple[str, tuple[int, int]], CachedCases] = {}
        seed_everything(recipe.seed)

    @cached_property
    def splits(self) -> Splits:
        """The split cases, of synthetic phantoms if no data set is given.

        Raises `ConfigError` if `benchmark.of_class` is not one of their classes.
        """
        self._data = find_data(self.recipe.data, self.recipe.phantom, self.folder)
        found, of_class = find_cases(self._data), self.settings.of_class
        if of_class not in (None, MEAN, *found.classes):
            raise ConfigError(f"benchmark.of_class: {of_class} is not a class of the data ({', '.join(found.classes)})")
        return split_by_patient(found, self.recipe.split)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in channel order."""
        return self.splits.classes

    @property
    def judged(self) -> str:
        """The class whose Dice must be reached, or `MEAN`."""
        return self.settings.of_class or ("lungs" if "lungs" in self.classes else MEAN)

    def cases(self, split: str, size: tuple[int, int]) -> CachedCases:
        """The preprocessed cases of a split at `size`, `(rows, columns)`, read as `benchmark.model` (if any) needs."""
        if (split, size) not in self._cases:
            preprocess, presentation = self.recipe.preprocess, None
            if self.settings.model is not None:
                preprocess, presentation = self.model[0].preprocess, self.model[0].reading.presentation
            self._cases[split, size] = self.cache(split, preprocess.model_copy(update={"size": size}), presentation)
        return self._cases[split, size]

    def images(self, split: str, size: tuple[int, int]) -> Tensor:
        """The images of a split, `(case, channel, *size)`; a grayscale image is repeated for each input channel."""
        return self.cases(split, size).images.expand(-1, self.model[1].in_channels, -1, -1)

    def cache(self, split: str, preprocess: PreprocessConfig, presentation: str | None = None) -> CachedCases:
        """The preprocessed cases of a split, read with the recipe's settings and `presentation`, if given."""
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
        """The model to predict with, on the CPU: `benchmark.model`, or a briefly trained network of the article."""
        if self.settings.model is not None:
            return load_model(self.settings.model)
        return self._fit(gcd(*self.widths), max(side for size in self.sizes for side in size))

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Widths of the networks to predict with. Raises `ConfigError` for a width that the model cannot have."""
        settings = self.settings
        if settings.model is None:
            return self.training_widths
        own = self.model[0].model.width
        unfit = [width for width in settings.widths or () if width % own]
        if unfit:
            raise ConfigError(f"benchmark.widths: {unfit[0]} is not a multiple of {own}, the width of {settings.model}")
        return settings.widths or (own,)

    @property
    def training_widths(self) -> tuple[int, ...]:
        """Widths of the networks to train, which do not depend on `benchmark.model`."""
        return self.settings.widths or _WIDTHS

    @cached_property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the predicted images."""
        if self.settings.sizes is None and self.settings.model is not None:
            return (self.model[0].preprocess.size,)
        return tuple((side, side) for side in self.settings.sizes or _SIZES)

    def describe(self, model: ModelConfig, size: tuple[int, int]) -> ModelCard:
        """The card of a network of this data set on images of `size`, `(rows, columns)`."""
        preprocess = self.recipe.preprocess.model_copy(update={"size": size})
        return ModelCard(classes=self.classes, model=model, preprocess=preprocess)

    def network(self, width: int) -> UNet:
        """The model's network at that width, on the CPU, in evaluation mode."""
        network = self.model[1]
        return widen(network, width // network.config.width)

    def _fit(self, width: int, size: int) -> tuple[ModelCard, UNet]:
        seconds = self.settings.fit_seconds
        train = self.recipe.train.model_copy(
            update={"minutes": seconds / 60, "epochs": None, "tflop": None, "coarse": 0.7}
        )
        card = self.describe(article_config(width), (size, size))
        session = Session(self.recipe, card, train, self.cases("train", (size, size)), self.hardware)
        _logger.info("training a network for the prediction part: %g s", seconds)
        while not session.is_over:
            session.step()
        network = card.build_network()
        network.load_state_dict(session.average.state_dict())
        return card, network.eval()


def load_pairs(cached: CachedCases) -> Iterable[tuple[Tensor, Tensor]]:
    """The article's data loader: an image and its masks, float32, from memory, which favors the article's loop."""

    def collate(indices: list[int]) -> tuple[Tensor, Tensor]:
        return cached.images[indices], cached.labels[indices].float()

    return DataLoader(range(len(cached)), batch_size=1, shuffle=False, collate_fn=collate)  # type: ignore[arg-type]
