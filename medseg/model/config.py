"""The settings of the network, and the inference settings that a model file carries."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from medseg.config import Section


class ModelConfig(Section):
    """The network: the article's U-Net, and the variants that its section 2 describes."""

    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Number of channels at the first level. Each level below has twice as many. The article and the 2015
    paper use 64."""

    depth: Annotated[int, Field(ge=1, le=7)] = 4
    """Number of downsampling steps. Each step halves the rows and columns. The article and the 2015 paper use 4."""

    padding: Literal[0, 1] = 1
    """Padding of the 3x3 convolutions in the blocks. 1: the output has the size of the input. 0: the output is
    smaller than the input, as in the 2015 paper."""

    padding_mode: Literal["reflect", "zeros"] = "zeros"
    """Values that a convolution uses outside the image border. reflect: the image mirrored at its border, as in the
    article. zeros: 0. Training takes about the same time with both."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Probability that a channel is dropped after each convolution of a block. The article uses 0.3."""

    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """Activation function of the convolutions. The article's code uses leaky_relu. Section 2 of the article and the
    2015 paper use relu."""

    downsample: Literal["conv", "max_pool"] = "conv"
    """Method of halving the rows and columns of the feature maps. conv: 3x3 convolution of stride 2, as in the
    article's code. max_pool: 2x2 max pooling, as in section 2 of the article and in the 2015 paper."""

    upsample: Literal["nearest", "bilinear", "transposed"] = "nearest"
    """Method of doubling the rows and columns of the feature maps. nearest, bilinear: interpolation and a 1x1
    convolution. The article uses nearest. transposed: 2x2 transposed convolution, as in the 2015 paper."""

    skip: Literal["concatenate", "add"] = "concatenate"
    """Method of joining encoder features to decoder features. concatenate: as in the U-Net. add: as in the FCN."""

    output_kernel: Literal[1, 3] = 3
    """Kernel size of the last convolution. The article uses 3, the 2015 paper uses 1."""

    bias: bool = False
    """Whether the 3x3 convolutions have a bias. They have none in the article's code, but they have one in
    section 2 of the article."""

    batch_norm: bool = True
    """Whether batch normalization follows each 3x3 convolution. The 2015 paper has none."""

    patch: Literal[1, 2, 4] = Field(default=1, exclude_if=lambda value: value == 1)
    """Side of the squares of pixels that the first and the last convolution process at once. 1: single pixels, as in
    the article. 2: the blocks work at half the resolution of the image, and the last convolution returns each class
    for 2 x 2 pixels. A step then takes about a quarter of the time. 4: the same with 4 x 4 pixels. Needs
    padding=1."""

    mirror_input: bool = False
    """Extend the image beyond its borders by mirroring, so that the output covers the whole image (overlap-tile
    strategy of the 2015 paper). Needs padding=0."""

    @field_validator("patch")
    @classmethod
    def _patch_only_with_padding(cls, patch: int, info: ValidationInfo) -> int:
        if patch > 1 and info.data.get("padding") == 0:
            raise ValueError("needs padding=1")
        return patch

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

    zoom: bool = Field(default=False, exclude_if=lambda value: not value)
    """Predict an image a second time, enlarged, if its masks take a smaller part of the image than the masks of every
    training image. The second time, the network sees only the surroundings of the first masks, so the organs have
    nearly their usual size. Masks less than half as large as the smallest of training are left as they are: the image
    may show another part of the body."""
