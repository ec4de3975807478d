"""The settings of the network and of what a model file says of its use."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from medseg.config import Section


class ModelConfig(Section):
    """The network: the article's blocks, and the variants that its section 2 describes."""

    width: Annotated[int, Field(ge=1, le=512)] = 16
    """Channels of the first level, doubled at each level below (article and paper: 64)."""

    depth: Annotated[int, Field(ge=1, le=7)] = 4
    """How often the picture is halved."""

    padding: Literal[0, 1] = 1
    """Padding of the 3x3 convolutions in the blocks; with 0 (2015 paper) the output is smaller than the input."""

    padding_mode: Literal["reflect", "zeros"] = "zeros"
    """What padding holds: the picture mirrored at its border (article), or zeros; training takes about the same."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Chance of a channel to be dropped after each convolution of a block (article: 0.3)."""

    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    """What follows each normalisation (article's code: leaky_relu; its section 2 and the paper: relu)."""

    downsample: Literal["conv", "max_pool"] = "conv"
    """Halving by a 3x3 convolution of stride 2 (article's code) or by 2x2 max pooling (its section 2, the paper)."""

    upsample: Literal["nearest", "bilinear", "transposed"] = "nearest"
    """Doubling by interpolation and a 1x1 convolution (article: nearest) or by a 2x2 transposed convolution (paper)."""

    skip: Literal["concatenate", "add"] = "concatenate"
    """How features of the way down join those of the way up (U-Net: concatenate; FCN: add)."""

    output_kernel: Literal[1, 3] = 3
    """Kernel of the last convolution, which keeps the size (article: 3; paper: 1)."""

    bias: bool = False
    """Whether the 3x3 convolutions of the blocks have a bias (article's blocks: false; its section 2: true)."""

    batch_norm: bool = True
    """Whether a batch normalisation follows each 3x3 convolution (the paper has none)."""

    mirror_input: bool = False
    """With padding=0, mirror the picture outward so that the output covers all of it (the paper's overlap-tile)."""

    @field_validator("mirror_input")
    @classmethod
    def _mirror_only_without_padding(cls, mirror_input: bool, info: ValidationInfo) -> bool:
        if mirror_input and info.data.get("padding") == 1:
            raise ValueError("needs padding=0; with padding=1 the output covers the whole picture anyway")
        return mirror_input


class InferenceConfig(Section):
    """How the network's probabilities are gathered and its masks cleaned; a model file carries it."""

    tta: tuple[Literal["mirror", "gamma"], ...] = ()
    """Test-time augmentation: probabilities averaged with those of the mirrored, darker and brighter picture."""

    components: dict[str, PositiveInt] = Field(default_factory=dict)
    """Largest connected components kept of a class, `{heart: 1, lungs: 2}`; a class not named keeps all."""

    fill_holes: bool = False
    """Holes in masks are filled."""
