"""The settings of training: budget, loss, optimiser."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from medseg.config import Section


class LossConfig(Section):
    """What is made small."""

    name: Literal["bce", "dice", "bce_dice"] = "bce_dice"
    """Binary cross-entropy of each pixel, 1 - soft Dice of each class, or their sum."""


class OptimConfig(Section):
    """How weights are updated."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    """The optimiser (article: adam)."""

    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate."""

    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay: decoupled from the gradient for adamw, L2 for adam and sgd."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd (Nesterov)."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the budget over which the learning rate rises from a hundredth of its peak."""

    decay: Literal["polynomial", "cosine", "constant"] = "polynomial"
    """How it falls over the rest of the budget: (1 - spent)^0.9, half a cosine, or not at all."""

    gradient_clip: NonNegativeFloat = 12.0
    """Largest norm of the gradient; 0 leaves it as it is."""

    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the moving average of the weights that is validated and saved; 0 takes the weights themselves."""


class TrainingConfig(Section):
    """How long, on what, and what is saved on the way."""

    epochs: PositiveInt | None = None
    """Budget in passes over the training set; null for train.minutes alone, or 30 where neither is given."""

    minutes: PositiveFloat | None = None
    """Budget in minutes from the first step, validation included; whichever of the two ends first."""

    batch_size: PositiveInt | None = None
    """Pictures in a step of the network; null takes 4 on a processor, on a GPU up to 64, as memory and cases allow."""

    compile: bool = False
    """Compile the network (torch.compile): a minute at first, then kept; worth a try on a GPU, slower on processors."""

    coarse: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of the budget, from its start, at half the resolution, where a step costs a quarter; 0 for small sizes."""

    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged before the weights are updated."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; auto takes a GPU where there is one."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """bfloat16 autocast; auto where the processor (AVX512-BF16, AMX) or the GPU has it."""

    channels_last: bool = True
    """Memory layout of pictures and weights: channels innermost, faster on most hardware."""

    validate_every: PositiveInt = 1
    """Epochs between validations; the last epoch is always validated."""

    early_stopping: NonNegativeInt = 0
    """Validations without a better Dice after which training ends; 0 never."""

    strips_every: PositiveInt = 5
    """Validations between pictures (image | reference | prediction)."""

    num_strips: NonNegativeInt = 4
    """Validation cases in a picture."""

    save_seconds: PositiveFloat = 60.0
    """Work at risk: last.pt is written at least this often; after each epoch while that takes under 2 % of the time."""

    resume: bool | Path = False
    """Continue output.dir/last.pt, or the given file, and its MLflow run."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.resume, Path) and not self.resume.is_file():
            raise ValueError(f"train.resume: {self.resume}: no such file")
        return self

    @property
    def num_epochs(self) -> int | None:
        """The budget in epochs, None where minutes alone count."""
        return 30 if self.epochs is None and self.minutes is None else self.epochs
