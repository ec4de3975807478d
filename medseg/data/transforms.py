"""MONAI dictionary transforms from the files of a case to the network input, and to masks at their original size."""

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
from medseg.data.frame import Frame
from medseg.data.masks import read_mask_files, stack_ignored, stack_masks
from medseg.data.preprocess import choose_frame, finish_input, fit, locate_pixels, scale_intensity
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
    """Read each path as a float32 `MetaTensor` `(channel, rows, columns)` of modality values, bright is dense.

    `meta` contains `spacing_mm` (or None), `spacing_source`, `kind`, `modality`, `body_part`, `view`, `lossy`,
    `burned_in`, `warnings`, `exif_orientation` and `padding`, but no patient data. Raises `RadiographError`.
    """

    def __init__(self, keys: Sequence[str], config: DataSetConfig) -> None:
        super().__init__(keys)
        self.config = config

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images read."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            radiograph = read_radiograph(loaded[key], **self.config.reading)
            loaded[key] = build_meta_tensor(radiograph)
        return loaded


class LoadMasksd(MapTransform):
    """Read a mapping of class -> `MaskSource` as uint8 masks `(class, rows, columns)` of 0 and 1.

    Adds `present`, bool `(class,)`: whether the mask of a class is known; other classes are 0 and are excluded from
    loss and metrics. If pixels are ignored, adds `ignored`, uint8 like the masks: 255 for ignored pixels, so that a
    resized pixel is ignored if any of its source pixels is. Adds `mask_files` (masks by class) and `mask_warnings`.
    The image of `image_key` is turned back to its stored orientation if the masks were drawn on the stored image.
    Raises `RadiographError` if the masks differ in size, or do not fit the image.
    """

    def __init__(
        self, keys: Sequence[str], config: DataSetConfig, classes: Sequence[str], image_key: str = "image"
    ) -> None:
        super().__init__(keys)
        self.config = config
        self.classes = classes
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its masks read."""
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
    """Read the path of a target, the RGB image to learn, as a `MetaTensor` (see `LoadRadiographd`).

    The image must be loaded before. It is turned back to its stored orientation if the target shows the stored image.
    Raises `RadiographError` if their sizes do not fit.
    """

    def __init__(self, keys: Sequence[str], config: DataSetConfig, image_key: str = "image") -> None:
        super().__init__(keys)
        self.config = config
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its target read."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            path = loaded[key]
            loaded[key] = build_meta_tensor(read_radiograph(path, **self.config.reading))
            loaded[self.image_key] = _lay_under(
                loaded["image_path"], loaded[self.image_key], [path], loaded[key].shape[-2:], self.config
            )
        return loaded


class ScaleRadiographd(MapTransform):
    """Scale intensities to [0, 1] as set in `PreprocessConfig`; padding becomes 0.

    `meta["frame"]` is the part of the image that the network sees.
    """

    def __init__(self, keys: Sequence[str], config: PreprocessConfig) -> None:
        super().__init__(keys)
        self.config = config

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its images scaled."""
        scaled = dict(data)
        for key in self.key_iterator(scaled):
            image = scaled[key]
            channels = image.as_tensor().numpy()
            pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
            levels = scale_intensity(pixels, image.meta["padding"], self.config)
            frame = choose_frame(pixels, image.meta["padding"], self.config)
            scaled[key] = MetaTensor(_channel_first(levels), meta={**image.meta, "frame": frame})
        return scaled


class Fitd(MapTransform):
    """Resize maps `(channel, rows, columns)` to the network size; masks are thresholded at 0.5 after that.

    All maps show the part of the image that the network sees, `meta["frame"]` of the scaled image under `image_key`.
    The affine of a `MetaTensor` is adapted; `meta["spacing_mm"]` stays the spacing of the file.
    """

    def __init__(
        self,
        keys: Sequence[str],
        config: PreprocessConfig,
        *,
        binary: bool,
        allow_missing_keys: bool = False,
        image_key: str = "image",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.config = config
        self.binary = binary
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with its maps resized."""
        fitted = dict(data)
        frame: Frame = data[self.image_key].meta["frame"]
        for key in self.key_iterator(fitted):
            given = fitted[key]
            if isinstance(given, MetaTensor):
                own = frame.scale((given.shape[-2], given.shape[-1]))
                maps, meta = fit(given.as_tensor(), self.config, own), dict(given.meta)
                fitted[key] = MetaTensor(maps, meta=meta | {"affine": given.affine @ locate_pixels(own, self.config)})
            else:
                maps = fit(given, self.config, frame)
                fitted[key] = (maps >= 0.5).to(torch.uint8) if self.binary else maps
        return fitted


def build_loading(data: DataSetConfig, classes: Sequence[str]) -> Compose:
    """Build the transform from the item of a case to its image and its masks or RGB target, at their original size."""
    if data.color == "rgb":
        return Compose([LoadRadiographd(["image"], data), LoadTargetd(["target"], data)])
    return Compose([LoadRadiographd(["image"], data), LoadMasksd(["mask"], data, classes)])


def build_fitting(data: DataSetConfig, preprocess: PreprocessConfig) -> Compose:
    """Build the transform from a loaded item to training tensors: scale intensities, then resize."""
    images = ["image", "target"] if data.color == "rgb" else ["image"]
    return Compose(
        [
            ScaleRadiographd(images, preprocess),
            Fitd(images, preprocess, binary=False),
            Fitd(["mask", "ignored"], preprocess, binary=True, allow_missing_keys=True),
        ]
    )


def prepare_image(
    image: MetaTensor, preprocess: PreprocessConfig, frame: Frame | None = None
) -> tuple[Tensor, Tensor, Frame]:
    """Return an image scaled to [0, 1] at its own size, the network's input, and the part of the image it shows.

    `frame` is that part; if it is None, the settings choose it.
    """
    scaled = ScaleRadiographd(["image"], preprocess)({"image": image})
    if frame is not None:
        scaled["image"].meta["frame"] = frame
    fitted = Fitd(["image"], preprocess, binary=False)(scaled)["image"].as_tensor()
    return scaled["image"].as_tensor(), finish_input(fitted, preprocess), scaled["image"].meta["frame"]


def apply_transforms(transforms: Compose, item: Mapping[str, Any]) -> dict[str, Any]:
    """Apply the transforms to one item. Raises the original `RadiographError` instead of MONAI's wrapper."""
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
    """Build a channel-first `MetaTensor` of the radiograph; its affine has the axes (row, column).

    The affine matches the NIfTI form of the file: rows run to posterior, columns to the patient's left (RAS: negative y
    and x), in mm if the spacing is known, else in pixels; `meta["spacing_mm"]` is then None.
    """
    row, column = radiograph.spacing_mm or (1.0, 1.0)
    affine = torch.tensor([[0, -column, 0, 0], [-row, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    return MetaTensor(
        _channel_first(radiograph.pixels), affine=affine, meta={name: getattr(radiograph, name) for name in _META}
    )


def as_radiograph(image: MetaTensor) -> Radiograph:
    """Return the radiograph of an `image` from `build_meta_tensor`."""
    channels = image.as_tensor().numpy()
    pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
    return Radiograph(pixels=pixels, **{name: image.meta[name] for name in _META})


def as_item(case: Case) -> dict[str, Any]:
    """Return the input dictionary of the transforms: the paths of `image`, and of `mask` or `target`."""
    item: dict[str, Any] = {"id": case.id, "image": case.image, "image_path": case.image}
    return item | ({"target": case.target} if case.target else {"mask": case.masks})


def _lay_under(
    path: Path, image: MetaTensor, labels: Sequence[Path], size: Sequence[int], config: DataSetConfig
) -> MetaTensor:
    """Return the image of `path`, turned to match its labels of `size`."""
    return build_meta_tensor(lay_under(path, as_radiograph(image), labels, size, config))


def _channel_first(pixels: NDArray[np.float32]) -> Tensor:
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return torch.from_numpy(np.ascontiguousarray(channels))
