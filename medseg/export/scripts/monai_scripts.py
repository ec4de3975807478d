"""What configs/inference.json of an exported MONAI bundle calls. It needs MONAI, pydicom and scipy, not medseg."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from pydicom import Dataset
from pydicom.misc import is_dicom
from pydicom.pixels.processing import apply_modality_lut
from torch import Tensor
from torch.export.passes import move_to_device_pass
from torch.utils.data import IterableDataset

_radiograph = run_path(str(Path(__file__).with_name("radiograph.py")))
clean, make_input = _radiograph["clean"], _radiograph["make_input"]


def read_facts(bundle_root: str) -> dict[str, Any]:
    """What medseg wrote of the model into configs/metadata.json."""
    facts: dict[str, Any] = json.loads((Path(bundle_root) / "configs/metadata.json").read_text())["medseg"]
    return facts


def list_dicom(folder: str) -> list[dict[str, str]]:
    """The DICOM files in a folder and its subfolders, as items for a dataset. Other files are named on stderr."""
    found = []
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        if is_dicom(path):
            found.append({"image": str(path)})
        else:
            print(f"{path}: skipped: not a DICOM file with a preamble", file=sys.stderr)
    return found


class Readable(IterableDataset[Any]):
    """The items that can be read, after `transform`. The other ones are named on stderr, with the reason."""

    def __init__(self, items: Sequence[Mapping[str, str]], transform: Callable[[Any], Any]) -> None:
        self.items, self.transform = items, transform

    def __iter__(self) -> Iterator[Any]:
        """One item after the other."""
        for item in self.items:
            try:
                yield self.transform(item)
            except Exception as error:  # MONAI and pydicom raise many kinds
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                print(f"{item['image']}: skipped: {reason}", file=sys.stderr)


class Program(torch.nn.Module):
    """The exported program as a network: images `(batch, channel, rows, columns)` to masks of the same size."""

    def __init__(self, path: str, device: torch.device) -> None:
        super().__init__()
        program = move_to_device_pass(torch.export.load(path), str(device))
        self._run = [program.module()]  # in a list, since an exported program has no training mode to be switched

    def forward(self, image: Tensor) -> Tensor:
        """Masks, 0 or 1, float32, with the metadata of the images."""
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        masks: Tensor = self._run[0](plain).float()
        if isinstance(image, MetaTensor):
            masks = MetaTensor(masks)
            masks.copy_meta_from(image)  # type: ignore[no-untyped-call]
        return masks


class ModalityValuesd(MapTransform):
    """Modality values in which dense tissue is bright and padding is NaN, from what PydicomReader has read."""

    def __init__(self, keys: str, facts: Mapping[str, Any]) -> None:
        super().__init__(keys)
        self.presentation = facts["reading"]["presentation"]

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The item with its images changed. A Modality LUT, which the reader ignores, is applied."""
        changed: dict[Any, Any] = dict(data)
        for key in self.keys:
            image = changed[key]
            tags = {tag: value for tag, value in image.meta.items() if len(tag) == 8 and isinstance(value, dict)}
            dataset = Dataset.from_json(tags)
            values = image.numpy()[0]
            if values.ndim != 2:
                raise ValueError(f"has the shape {values.shape}; one grayscale image is needed")
            if "ModalityLUTSequence" in dataset:
                values = apply_modality_lut(values.astype("int32"), dataset)
            image.set_array(make_input(values, dataset, self.presentation)[None])
            for tag in tags:  # the tags may name a patient, and are needed no longer
                del image.meta[tag]
            name = str(image.meta["filename_or_obj"])
            if not name.lower().endswith(".dcm"):  # SaveImaged takes the last number of a UID for an extension
                image.meta["filename_or_obj"] = f"{name}.dcm"
        return changed


class CleanMasksd(MapTransform):
    """The largest components of each class, without holes."""

    def __init__(self, keys: str, facts: Mapping[str, Any]) -> None:
        super().__init__(keys)
        self.settings = facts["classes"], facts["components"], facts["fill_holes"]

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The item with its masks `(class, rows, columns)` cleaned."""
        changed: dict[Any, Any] = dict(data)
        for key in self.keys:
            masks = changed[key]
            masks.set_array(clean(masks.numpy() > 0, *self.settings).astype("float32"))
        return changed
