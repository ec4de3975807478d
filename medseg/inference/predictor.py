"""Trained networks at work: preprocessed pictures in, probabilities and masks at the original size out."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from medseg.data.preprocess import restore_probabilities
from medseg.inference.backends import Backend, Forward
from medseg.inference.config import PredictConfig
from medseg.inference.decision import build_decision
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import ModelCard

_GAMMAS = (0.8, 1.25)
_CPU = torch.device("cpu")


class Predictor:
    """A model with its preprocessing and thresholds; several networks of one card are an ensemble."""

    def __init__(
        self,
        card: ModelCard,
        forwards: Sequence[Forward],
        config: PredictConfig,
        device: torch.device = _CPU,
        backend: str = "",
    ) -> None:
        """`forwards` are what a backend of that name loads on `device`."""
        self.card = card
        self.forwards = forwards
        self.batch_size = config.batch_size
        self.device = device
        self.backend = backend
        self.decision = build_decision(card, config)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Probabilities float32 `(batch, class, *size)` on the CPU, of `(batch, channel, *size)` inputs in [0, 1].

        The mean over networks and over what test-time augmentation makes of the picture. A processor takes pictures one
        by one: it is no slower, and the result cannot depend on a picture's neighbours.
        """
        if self.device.type == "cpu":
            return torch.cat([self._mean(image) for image in torch.split(images, 1)])
        missing = -len(images) % self.batch_size  # always of one size, for which a GPU always takes the same way
        filled = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        maps = [self._mean(batch.to(self.device)).cpu() for batch in torch.split(filled, self.batch_size)]
        return torch.cat(maps)[: len(images)]

    def probabilities(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's probabilities `(class, *size)` at its original size."""
        return restore_probabilities(predicted, size, self.card.preprocess)

    def masks(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's masks, bool `(class, *size)`, at its original size."""
        return self.decision.masks(predicted, size)

    def _mean(self, images: Tensor) -> Tensor:
        views = list(self._views(images))
        maps = [undo(forward(view).sigmoid()) for forward in self.forwards for view, undo in views]
        return torch.stack(maps).mean(dim=0) if len(maps) > 1 else maps[0]

    def _views(self, images: Tensor) -> Iterator[tuple[Tensor, Callable[[Tensor], Tensor]]]:
        """The pictures as they are and augmented, each with what takes its maps back."""
        yield images, _same
        if "mirror" in self.card.inference.tta:
            yield images.flip(-1), _mirror
        if "gamma" in self.card.inference.tta:
            for gamma in _GAMMAS:
                yield images.clamp(0, 1) ** gamma, _same


def build_predictor(model: LoadedModel, backend: Backend, config: PredictConfig) -> Predictor:
    """The model on `backend`."""
    return Predictor(model.card, backend.load_all(model), config, backend.hardware.device, backend.name)


def _same(maps: Tensor) -> Tensor:
    return maps


def _mirror(maps: Tensor) -> Tensor:
    return maps.flip(-1)
