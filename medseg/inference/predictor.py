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
_BATCH = -4  # the axis, whatever stands before it


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

    @property
    def views(self) -> tuple[str, ...]:
        """What the networks are shown: `plain`, and as test-time augmentation says `mirror`, `gamma_0.8`, ..."""
        return tuple(name for name, *_ in self._show(torch.empty(0)))

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities float32 `(batch, class, *size)` on the CPU, of `(batch, channel, *size)` inputs in [0, 1].

        The mean over networks and over what test-time augmentation makes of the picture. A processor takes pictures one
        by one: it is no slower, and the result cannot depend on a picture's neighbours.
        """
        return self._predict(images, _average)

    def predict_each(self, images: Tensor) -> Tensor:
        """What `predict` takes the mean of: `(network, view, batch, class, *size)`, in the order of `views`."""
        maps = self._predict(images, torch.stack)
        return maps.reshape(len(self.forwards), -1, *maps.shape[1:])

    def probabilities(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's probabilities `(class, *size)` at its original size."""
        return restore_probabilities(predicted, size, self.card.preprocess)

    def masks(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's masks, bool `(class, *size)`, at its original size."""
        return self.decision.masks(predicted, size)

    @torch.inference_mode()
    def _predict(self, images: Tensor, gather: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """What `gather` makes of the maps `(batch, class, *size)` of every network and view."""
        if self.device.type == "cpu":
            return torch.cat([gather(self._maps(image)) for image in torch.split(images, 1)], dim=_BATCH)
        missing = -len(images) % self.batch_size  # always of one size, for which a GPU always takes the same way
        filled = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        maps = [gather(self._maps(batch.to(self.device))).cpu() for batch in torch.split(filled, self.batch_size)]
        return torch.cat(maps, dim=_BATCH).narrow(_BATCH, 0, len(images))

    def _maps(self, images: Tensor) -> list[Tensor]:
        views = list(self._show(images))
        return [undo(forward(view).sigmoid()) for forward in self.forwards for _, view, undo in views]

    def _show(self, images: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], Tensor]]]:
        """The images as they are and augmented, each with its name and with what takes its maps back."""
        yield "plain", images, _same
        if "mirror" in self.card.inference.tta:
            yield "mirror", images.flip(-1), _mirror
        if "gamma" in self.card.inference.tta:
            for gamma in _GAMMAS:
                yield f"gamma_{gamma}", images.clamp(0, 1) ** gamma, _same


def build_predictor(model: LoadedModel, backend: Backend, config: PredictConfig) -> Predictor:
    """The model on `backend`."""
    return Predictor(model.card, backend.load_all(model), config, backend.hardware.device, backend.name)


def _average(maps: list[Tensor]) -> Tensor:
    return torch.stack(maps).mean(dim=0) if len(maps) > 1 else maps[0]


def _same(maps: Tensor) -> Tensor:
    return maps


def _mirror(maps: Tensor) -> Tensor:
    return maps.flip(-1)
