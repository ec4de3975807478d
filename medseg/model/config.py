"""The settings of the network, and the inference settings that a model file carries."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from medseg.config import Section


class ModelConfig(Section):
    """The network: the article's U-Net, and the variants that its section 2 describes."""

    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Number of channels at the first level. Each level below has twice as many. Article and 2015 paper: 64."""

    depth: Annotated[int, Field(ge=1, le=7)] = 4
    """Number of downsampling steps. Each step halves the rows and columns. Article and 2015 paper: 4."""

    padding: Literal[0, 1] = 1
    """Padding of the 3x3 convolutions in the blocks. 1: the output has the size of the input. 0 (2015 paper): the
    output is smaller than the input."""

    padding_mode: Literal["reflect", "zeros"] = "zeros"
    """Values that a convolution uses outside the image border. reflect: the image mirrored at its border (article).
    zeros: 0. Training takes about the same time with both."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Probability that a channel is dropped after each convolution of a block. Article: 0.3."""

    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Activation function of the convolutions. Article's code: leaky_relu. Article's section 2 and 2015 paper: relu."""

    downsample: Literal["conv", "max_pool"] = "conv"
    """Method of halving the rows and columns. conv: 3x3 convolution of stride 2 (article's code). max_pool: 2x2 max
    pooling (article's section 2, 2015 paper)."""

    upsample: Literal["nearest", "bilinear", "transposed"] = "nearest"
    """Method of doubling the rows and columns. nearest, bilinear: interpolation and a 1x1 convolution (article:
    nearest). transposed: 2x2 transposed convolution (2015 paper)."""

    skip: Literal["concatenate", "add"] = "concatenate"
    """Method of joining encoder features to decoder features. concatenate: as in the U-Net. add: as in the FCN."""

    output_kernel: Literal[1, 3] = 3
    """Kernel size of the last convolution. Article: 3. 2015 paper: 1."""

    bias: bool = False
    """Whether the 3x3 convolutions have a bias. Article's code: false. Article's section 2: true."""

    batch_norm: bool = True
    """Whether batch normalization follows each 3x3 convolution. The 2015 paper has none."""

    mirror_input: bool = False
    """Extend the image beyond its borders by mirroring, so that the output covers the whole image (overlap-tile
    strategy of the 2015 paper). Needs padding=0."""

    @field_validator("mirror_input")
    @classmethod
    def _mirror_only_without_padding(cls, mirror_input: bool, info: ValidationInfo) -> bool:
        if mirror_input and info.data.get("padding") == 1:
            raise ValueError("needs padding=0; with padding=1 the output already covers the whole image")
        return mirror_input


class InferenceConfig(Section):
    """How probabilities are averaged and masks are cleaned. These settings are stored in the model file."""

    tta: tuple[Literal["mirror", "gamma"], ...] = ()
    """Test-time augmentation: the probabilities are averaged over several versions of the image. mirror adds the
    mirrored image; gamma adds a darker and a brighter image. Empty: none."""

    components: dict[str, PositiveInt] = Field(default_factory=dict)
    """Number of connected components to keep for each class, largest first: `{heart: 1, lungs: 2}`. A class that is
    not listed keeps all its components."""

    fill_holes: bool = False
    """Fill the holes in masks."""
