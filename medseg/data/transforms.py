"""MONAI dictionary transforms from a case's files to the network's input, and to masks at their own size."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.transform import MapTransform
from numpy.typing import NDArray
from torch import Tensor

from medseg.data.case import Case, MaskSource
from medseg.data.config import DataSetConfig, PreprocessConfig
from medseg.data.exif import lay_under
from medseg.data.masks import read_mask_files, stack_ignored, stack_masks
from medseg.data.preprocess import fit, locate_pixels, scale_intensity
from medseg.errors import RadiographError
from medseg.radiograph.image import Radiograph
from medseg.radiograph.read import read_radiograph

_META = (
    "spacing_mm",
    "spacing_source",
    "kind",
    "modality",
    "body_part",
    "view",
    "orientation",
    "lossy",
    "burned_in",
    "warnings",
    "exif_orientation",
    "padding",
)


class LoadRadiographd(MapTransform):
    """Each path becomes a float32 `MetaTensor` `(channel, rows, columns)` of modality values, bright is dense.

    `meta` carries `spacing_mm` (or None), `spacing_source`, `kind`, `modality`, `body_part`, `view`, `lossy`,
    `burned_in`, `warnings`, `exif_orientation` and `padding`; nothing of the patient. Raises `RadiographError`.
    """

    def __init__(self, keys: Sequence[str], config: DataSetConfig) -> None:
        super().__init__(keys)
        self.config = config

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its paths read."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            radiograph = read_radiograph(loaded[key], **self.config.reading)
            loaded[key] = build_meta_tensor(radiograph)
        return loaded


class LoadMasksd(MapTransform):
    """A mapping of class to `MaskSource` becomes uint8 masks `(class, rows, columns)` of 0 and 1.

    Adds `present`, bool `(class,)`: which classes are known; the others are 0 and left out of loss and metrics. Adds
    `ignored`, uint8 like the masks, where pixels count for nothing: 255 there, so that a pixel made of others is
    ignored if any of them is. Adds `mask_files`, what was read by class, and `mask_warnings`.
    The image of `image_key` is turned back to how it is stored if the masks show that they were drawn so. Raises
    `RadiographError` where masks differ in size, or in aspect ratio from the image.
    """

    def __init__(
        self, keys: Sequence[str], config: DataSetConfig, classes: Sequence[str], image_key: str = "image"
    ) -> None:
        super().__init__(keys)
        self.config = config
        self.classes = classes
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its masks read."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            sources: Mapping[str, MaskSource] = loaded[key]
            warnings: list[str] = []
            files = read_mask_files(sources, self.config, warnings)
            masks = stack_masks(files, self.classes)
            if self.image_key in loaded:
                paths = [source.path for source in sources.values()]
                loaded[self.image_key] = _lay_under(
                    loaded["image_path"], loaded[self.image_key], paths, masks.shape[-2:], self.config
                )
            loaded[key] = torch.from_numpy(masks)
            if (ignored := stack_ignored(files, self.classes)) is not None:
                loaded["ignored"] = torch.from_numpy(ignored.astype(np.uint8) * 255)
            loaded["present"] = torch.tensor([name in sources for name in self.classes])
            loaded["mask_files"], loaded["mask_warnings"] = files, warnings
        return loaded


class LoadTargetd(MapTransform):
    """The path of a target, the RGB image to be learnt, becomes a `MetaTensor` as by `LoadRadiographd`.

    The image must be loaded. It is turned back to how it is stored if the target shows that it is so. Raises
    `RadiographError` where the two differ in aspect ratio.
    """

    def __init__(self, keys: Sequence[str], config: DataSetConfig, image_key: str = "image") -> None:
        super().__init__(keys)
        self.config = config
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its target read."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            path = loaded[key]
            loaded[key] = build_meta_tensor(read_radiograph(path, **self.config.reading))
            loaded[self.image_key] = _lay_under(
                loaded["image_path"], loaded[self.image_key], [path], loaded[key].shape[-2:], self.config
            )
        return loaded


class ScaleRadiographd(MapTransform):
    """Intensities in [0, 1] as `PreprocessConfig` says, padding at 0."""

    def __init__(self, keys: Sequence[str], config: PreprocessConfig) -> None:
        super().__init__(keys)
        self.config = config

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its pictures scaled."""
        scaled = dict(data)
        for key in self.key_iterator(scaled):
            image = scaled[key]
            channels = image.as_tensor().numpy()
            pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
            levels = scale_intensity(pixels, image.meta["padding"], self.config)
            scaled[key] = MetaTensor(_channel_first(levels), meta=image.meta)
        return scaled


class Fitd(MapTransform):
    """Maps `(channel, rows, columns)` at the network's size; masks are cut at half after the resize.

    The affine of a `MetaTensor` follows; `meta["spacing_mm"]` stays that of the file.
    """

    def __init__(
        self, keys: Sequence[str], config: PreprocessConfig, *, binary: bool, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.config = config
        self.binary = binary

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its maps resized."""
        fitted = dict(data)
        for key in self.key_iterator(fitted):
            given = fitted[key]
            if isinstance(given, MetaTensor):
                affine = given.affine @ locate_pixels((given.shape[-2], given.shape[-1]), self.config)
                fitted[key] = MetaTensor(fit(given.as_tensor(), self.config), meta={**given.meta, "affine": affine})
            else:
                maps = fit(given, self.config)
                fitted[key] = (maps >= 0.5).to(torch.uint8) if self.binary else maps
        return fitted


def build_loading(data: DataSetConfig, classes: Sequence[str]) -> Compose:
    """From a case's item to its image, with its masks or its RGB target, at their own size."""
    if data.color == "rgb":
        return Compose([LoadRadiographd(["image"], data), LoadTargetd(["target"], data)])
    return Compose([LoadRadiographd(["image"], data), LoadMasksd(["mask"], data, classes)])


def build_fitting(data: DataSetConfig, preprocess: PreprocessConfig) -> Compose:
    """From a loaded item to the tensors that a network is trained on: intensities, then size."""
    images = ["image", "target"] if data.color == "rgb" else ["image"]
    return Compose(
        [
            ScaleRadiographd(images, preprocess),
            Fitd(images, preprocess, binary=False),
            Fitd(["mask", "ignored"], preprocess, binary=True, allow_missing_keys=True),
        ]
    )


def apply_transforms(transforms: Compose, item: Mapping[str, Any]) -> dict[str, Any]:
    """What the transforms make of one item. Raises `RadiographError` itself, not as MONAI wraps it."""
    try:
        applied: dict[str, Any] = transforms(dict(item))
        return applied
    except RuntimeError as error:
        cause: BaseException = error
        while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, RadiographError):
            raise cause from None
        raise


def build_meta_tensor(radiograph: Radiograph) -> MetaTensor:
    """The radiograph as a channel-first `MetaTensor`, its affine that of the file's NIfTI form with axes (row, column).

    Rows run to posterior, columns to the patient's left (RAS: negative y and x), in mm where the spacing is known,
    else in pixels; `meta["spacing_mm"]` tells which.
    """
    row, column = radiograph.spacing_mm or (1.0, 1.0)
    affine = torch.tensor([[0, -column, 0, 0], [-row, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    return MetaTensor(
        _channel_first(radiograph.pixels), affine=affine, meta={name: getattr(radiograph, name) for name in _META}
    )


def as_radiograph(image: MetaTensor) -> Radiograph:
    """The radiograph that `build_meta_tensor` made `image` of."""
    channels = image.as_tensor().numpy()
    pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
    return Radiograph(pixels=pixels, **{name: image.meta[name] for name in _META})


def as_item(case: Case) -> dict[str, Any]:
    """The case as the dictionary that the transforms take: `image`, and `mask` or `target`, with the files' paths."""
    item: dict[str, Any] = {"id": case.id, "image": case.image, "image_path": case.image}
    return item | ({"target": case.target} if case.target else {"mask": case.masks})


def _lay_under(
    path: Path, image: MetaTensor, labels: Sequence[Path], size: Sequence[int], config: DataSetConfig
) -> MetaTensor:
    """The image of `path` as its labels of `size` lie on it."""
    return build_meta_tensor(lay_under(path, as_radiograph(image), labels, size, config))


def _channel_first(pixels: NDArray[np.float32]) -> Tensor:
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(channels))
