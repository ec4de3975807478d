"""Prediction: from preprocessed images to probabilities and masks at the original size."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from medseg.data.frame import Frame
from medseg.data.preprocess import restore_probabilities
from medseg.inference.backends import Backend, Forward
from medseg.inference.config import PredictConfig
from medseg.inference.decision import build_decision
from medseg.inference.models import LoadedModel
from medseg.model.checkpoint import ModelCard

GAMMAS = (0.8, 1.25)
_CPU = torch.device("cpu")
_BATCH = -4  # the batch axis, counted from the end because network and view axes may precede it


class Predictor:
    """A model with its preprocessing and thresholds. Several networks with one card are an ensemble."""

    def __init__(
        self,
        card: ModelCard,
        forwards: Sequence[Forward],
        config: PredictConfig,
        device: torch.device = _CPU,
        backend: str = "",
    ) -> None:
        """`forwards` are the loaded networks of the backend named `backend`, on `device`."""
        self.card = card
        self.forwards = forwards
        self.batch_size = config.batch_size
        self.device = device
        self.backend = backend
        self.decision = build_decision(card, config)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the image versions that the networks see: `plain`, and with test-time augmentation also `mirror`,
        `gamma_0.8`, `gamma_1.25`.
        """
        return tuple(name for name, *_ in self._show(torch.empty(0)))

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities, float32 `(batch, class, *size)` on the CPU, of inputs `(batch, channel, *size)` in [0, 1].

        They are the mean over all networks and views. A CPU processes one image at a time: this is not slower, and the
        result cannot depend on the other images of the batch.
        """
        return self._predict(images, _average)

    def predict_each(self, images: Tensor) -> Tensor:
        """The probabilities before averaging: `(network, view, batch, class, *size)`, in the order of `views`."""
        maps = self._predict(images, torch.stack)
        return maps.reshape(len(self.forwards), -1, *maps.shape[1:])

    def probabilities(self, predicted: Tensor, frame: Frame) -> Tensor:
        """The probabilities `(class, rows, columns)` of one image at its original size; `frame` as for `Decision`."""
        return restore_probabilities(predicted, frame, self.card.preprocess)

    def masks(self, predicted: Tensor, frame: Frame) -> Tensor:
        """The masks of one image, bool `(class, rows, columns)`, at its original size."""
        return self.decision.masks(predicted, frame)

    @torch.inference_mode()
    def _predict(self, images: Tensor, gather: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """The result of `gather` on the probability maps `(batch, class, *size)` of all networks and views."""
        if self.device.type == "cpu":
            return torch.cat([gather(self._maps(image)) for image in torch.split(images, 1)], dim=_BATCH)
        missing = -len(images) % self.batch_size  # a GPU picks its algorithm by batch size, so all batches are full
        filled = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        maps = [gather(self._maps(batch.to(self.device))).cpu() for batch in torch.split(filled, self.batch_size)]
        return torch.cat(maps, dim=_BATCH).narrow(_BATCH, 0, len(images))

    def _maps(self, images: Tensor) -> list[Tensor]:
        views = list(self._show(images))
        return [undo(forward(view).sigmoid()) for forward in self.forwards for _, view, undo in views]

    def _show(self, images: Tensor) -> Iterator[tuple[str, Tensor, Callable[[Tensor], Tensor]]]:
        """The views of the images: each view's name, its images, and the function that undoes it on the maps."""
        yield "plain", images, _same
        if "mirror" in self.card.inference.tta:
            yield "mirror", images.flip(-1), _mirror
        if "gamma" in self.card.inference.tta:
            for gamma in GAMMAS:
                yield f"gamma_{gamma}", images.clamp(0, 1) ** gamma, _same


def build_predictor(model: LoadedModel, backend: Backend, config: PredictConfig) -> Predictor:
    """The predictor of a model on `backend`."""
    return Predictor(model.card, backend.load_all(model), config, backend.hardware.device, backend.name)


def _average(maps: list[Tensor]) -> Tensor:
    return torch.stack(maps).mean(dim=0) if len(maps) > 1 else maps[0]


def _same(maps: Tensor) -> Tensor:
    return maps


def _mirror(maps: Tensor) -> Tensor:
    return maps.flip(-1)
