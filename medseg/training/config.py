"""The settings of training: budget, loss, optimizer."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from medseg.config import Section, expand_home

AUTO = "auto"
"""The value of `train.init` for the start weights of medseg."""


class LossConfig(Section):
    """Training loss."""

    name: Literal["bce", "dice", "bce_dice"] = "bce_dice"
    """Loss function. bce: binary cross-entropy of each pixel. dice: 1 - soft Dice of each class. bce_dice: their
    sum."""


class OptimConfig(Section):
    """Optimizer and learning rate."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimizer. The article uses adam."""

    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate."""

    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay. adamw: decoupled from the gradient. adam, sgd: L2 penalty."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum. Used by sgd only."""

    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Length of the warm-up, as a share of the training budget. The learning rate rises from 1 % of its peak to the
    peak."""

    decay: Literal["polynomial", "cosine", "constant"] = "polynomial"
    """Decay of the learning rate after the warm-up. polynomial: (1 - p)^0.9. p grows from 0 at the end of the warm-up
    to 1 at the end of the training. cosine: half a cosine. constant: no decay."""

    gradient_clip: NonNegativeFloat = 12.0
    """Largest norm of the gradient. Larger gradients are scaled down. 0: no limit."""

    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the exponential moving average of the weights. The averaged weights are validated and saved. 0: no
    averaging."""


class TrainingConfig(Section):
    """Length of the training, hardware, validation and checkpoints."""

    init: Annotated[str | None, BeforeValidator(expand_home)] = None
    """Model to start from: a model file, a folder with best.pt, or an MLflow address. The training takes over its
    weights and its preprocessing; classes that it does not have get a new last layer. auto: the start weights of
    medseg, which have seen only synthetic phantoms, if they fit the settings of the network; otherwise random weights.
    null: random weights."""

    epochs: PositiveInt | None = None
    """Training budget in epochs. null: no limit if train.minutes or train.tflop is given, else 30."""

    minutes: PositiveFloat | None = None
    """Training budget in minutes from the first step, validation included. null: no limit. If several budgets are
    given, training ends at the first limit."""

    tflop: PositiveFloat | None = None
    """Training budget in TFLOP: 10^12 floating-point operations of the network in training steps. Unlike train.minutes,
    it gives the same number of steps on every machine, if the batch size is the same. null: no limit."""

    batch_size: PositiveInt | None = None
    """Batch size. null: 4 on CPU, up to 64 on GPU, limited by memory and by the number of cases."""

    compile: bool = False
    """Compile the network (torch.compile). Compiling takes a minute the first time, and its result is cached. The
    compiled network may be faster on a GPU; it is slower on a CPU."""

    coarse: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the training budget, at its beginning, in which images have half the resolution. A step then takes a
    quarter of the time. null: 0.4 from random weights, 0 from the weights of a model (train.init). Images that are too
    small for half the resolution are always trained at full resolution."""

    accumulate: PositiveInt = 1
    """Number of batches whose gradients are averaged before the weights are updated."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device that runs the network. auto: the GPU if there is one, else the CPU."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number format of the network. bf16: bfloat16 autocast. auto: bf16 if the GPU supports it, or if the CPU
    supports it (AVX512-BF16, AMX) and multiplies faster in it; else fp32."""

    channels_last: bool = True
    """Memory layout of images and weights. true: channels innermost, faster on most hardware."""

    validate_every: PositiveInt = 1
    """Number of epochs between two validations. The last epoch is always validated."""

    early_stopping: NonNegativeInt = 0
    """Number of successive validations without a better Dice after which the training stops. 0: never."""

    strips_every: PositiveInt = 5
    """Number of validations between two example images (image | reference | prediction)."""

    num_strips: NonNegativeInt = 4
    """Number of validation cases shown together in each example image."""

    save_seconds: PositiveFloat = 60.0
    """Longest time in seconds between two saves of last.pt. If saving takes less than 2 % of the training
    time, last.pt is also saved after each epoch."""

    resume: bool | Path = False
    """Resume a stopped training and its MLflow run. true: from output.dir/last.pt. A path: from that checkpoint."""

    timeout_seconds: Annotated[float, Field(ge=1)] = 600.0
    """Longest time in seconds that the processes of torchrun wait for each other. Then the training ends with an error.
    Preparing the data set counts, too."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.resume, Path) and not self.resume.is_file():
            raise ValueError(f"train.resume: {self.resume}: no such file")
        return self

    @property
    def num_epochs(self) -> int | None:
        """The budget in epochs. None if only minutes or operations are limited."""
        return 30 if self.epochs is self.minutes is self.tflop is None else self.epochs
