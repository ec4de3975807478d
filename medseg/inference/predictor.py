"""A trained network at work: preprocessed pictures in, probabilities and masks at the original size out."""

import torch
from torch import Tensor, nn

from medseg.data.preprocess import restore, restore_probabilities
from medseg.inference.config import PredictConfig
from medseg.model.checkpoint import ModelCard
from medseg.training.precision import AutocastInferer


class Predictor:
    """A model with its preprocessing and thresholds."""

    def __init__(self, card: ModelCard, network: nn.Module, inferer: AutocastInferer, config: PredictConfig) -> None:
        self.card = card
        self.network = network.eval()
        self.inferer = inferer
        self.batch_size = config.batch_size
        self.device = next(network.parameters()).device
        best = [card.thresholds.get(name, 0.5) for name in card.classes]
        self.thresholds = torch.tensor(best if config.threshold == "best" else [config.threshold] * len(best))

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Probabilities float32 `(batch, class, *size)` on the CPU, of `(batch, channel, *size)` inputs."""
        return self.inferer(images.to(self.device), self.network).sigmoid().cpu()

    def probabilities(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's probabilities `(class, *size)` at its original size."""
        return restore_probabilities(predicted, size, self.card.preprocess)

    def masks(self, predicted: Tensor, size: tuple[int, int]) -> Tensor:
        """One picture's masks, bool `(class, *size)`, at its original size."""
        return restore(predicted, size, self.thresholds, self.card.preprocess)
