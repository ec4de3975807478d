"""Preprocessed cases, held once in memory or on disk, and batches of them in an order that can be resumed."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms.compose import Compose
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from medseg.data.case import Case
from medseg.data.config import DataConfig, DataSetConfig, PreprocessConfig, SplitConfig
from medseg.data.duplicates import check_copies, take_fingerprint
from medseg.data.findings import Findings
from medseg.data.masks import check_classes
from medseg.data.splits import Splits
from medseg.data.threads import map_in_threads
from medseg.data.transforms import (
    Fitd,
    LoadMasksd,
    LoadRadiographd,
    LoadTargetd,
    apply_transforms,
    as_item,
    network_input,
)
from medseg.errors import RadiographError, StorageError
from medseg.radiograph.image import digest_pixels


@dataclass(frozen=True)
class CaseFacts:
    """What is kept of a case beside its tensors; nothing of the patient."""

    id: str
    digest: str
    """SHA-256 of the radiograph's pixels: the same picture in any coat has the same."""
    label_digest: str
    modality: str | None
    body_part: str | None
    view: str | None
    orientation: str | None
    burned_in: bool | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CachedCases(Dataset[dict[str, Any]]):
    """Preprocessed cases; a list of indices gives a batch `{"image", "label", "present", "index"}`."""

    facts: tuple[CaseFacts, ...]
    images: Tensor = field(repr=False)
    """float32 `(case, channel, rows, columns)` in [0, 1]."""
    labels: Tensor = field(repr=False)
    """Masks uint8 `(case, class, rows, columns)`, or RGB targets float32 in [0, 1]."""
    present: Tensor = field(repr=False)
    """bool `(case, class)`: which masks are known."""

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, index: list[int]) -> dict[str, Any]:
        chosen = torch.as_tensor(index)
        return {
            "image": self.images[chosen],
            "label": self.labels[chosen],
            "present": self.present[chosen],
            "index": chosen,
        }


class EpochSampler(Sampler[list[int]]):
    """Batches of indices in an order that depends on seed and epoch alone; `iteration` is the next batch to give."""

    def __init__(self, num_cases: int, batch_size: int, seed: int) -> None:
        self.num_cases = num_cases
        self.batch_size = min(batch_size, num_cases)
        self.seed = seed
        self.iteration = 0

    def __len__(self) -> int:
        return self.num_cases // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        epoch, first = divmod(self.iteration, len(self))
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(self.num_cases, generator=generator).tolist()
        for number in range(first, len(self)):
            self.iteration += 1
            yield order[number * self.batch_size : (number + 1) * self.batch_size]


@dataclass(frozen=True)
class CachedSplits:
    """The preprocessed cases of each split."""

    train: CachedCases
    validation: CachedCases
    test: CachedCases

    def items(self) -> tuple[tuple[str, CachedCases], ...]:
        """Each split's name and cases."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


def build_train_loader(cached: CachedCases, batch_size: int, seed: int) -> DataLoader[dict[str, Any]]:
    """Shuffled batches without end in sight; its sampler is an `EpochSampler`. What is left of an epoch is dropped."""
    sampler = EpochSampler(len(cached), batch_size, seed)
    return _loader(cached, sampler)


def build_validation_loader(cached: CachedCases, batch_size: int) -> DataLoader[dict[str, Any]]:
    """All cases in order, the last batch perhaps smaller."""
    return _loader(
        cached, [list(range(i, min(i + batch_size, len(cached)))) for i in range(0, len(cached), batch_size)]
    )


def build_case_transform(data: DataSetConfig, preprocess: PreprocessConfig, classes: Sequence[str]) -> Compose:
    """From a case's item to its tensors, with `digest` and `label_digest` of what was read."""
    if data.color == "rgb":
        return Compose(
            [
                LoadRadiographd(["image"], data),
                LoadTargetd(["target"], data),
                _digest,
                network_input(preprocess, ["image", "target"]),
            ]
        )
    return Compose(
        [
            LoadRadiographd(["image"], data),
            LoadMasksd(["mask"], data, classes),
            _digest,
            network_input(preprocess),
            Fitd(["mask"], preprocess, binary=True),
        ]
    )


def cache_splits(splits: Splits, data: DataConfig, preprocess: PreprocessConfig, folder: Path) -> CachedSplits:
    """Every case of every split, read and preprocessed once; see `cache_cases`.

    Raises `DataError` that lists the cases which cannot be used, or names a class that no training mask shows.
    """
    everything = [case for _, cases in splits.items() for case in cases]
    cached = cache_cases(everything, splits.classes, data, preprocess, folder)
    parts, first = [], 0
    for cases in (splits.train, splits.validation, splits.test):
        part = slice(first, first := first + len(cases))
        parts.append(CachedCases(cached.facts[part], cached.images[part], cached.labels[part], cached.present[part]))
    findings = Findings(data.root)
    training = [name == "train" for name, cases in splits.items() for _ in cases]
    shown = cached.labels.flatten(2).any(dim=2).tolist()
    check_classes([case.id for case in everything], training, splits.classes, shown, findings)
    findings.check()
    return CachedSplits(*parts)


def check_duplicates(cached: CachedSplits, config: SplitConfig) -> None:
    """Raise `DataError` that names near-identical images in different splits, unless `config` allows them."""
    if config.allow_duplicates:
        return
    names = [facts.id for _, part in cached.items() for facts in part.facts]
    splits = [name for name, part in cached.items() for _ in part.facts]
    images = (image.mean(dim=0).numpy() for _, part in cached.items() for image in part.images)
    findings = Findings()
    check_copies(names, splits, [take_fingerprint(image) for image in images], False, findings)
    findings.check()


def cache_cases(
    cases: Sequence[Case], classes: Sequence[str], data: DataConfig, preprocess: PreprocessConfig, folder: Path
) -> CachedCases:
    """Read and preprocess every case once.

    Beyond `data.cache_gib` the tensors are memory-mapped from nameless files in `folder`. Raises `DataError` that lists
    every case that cannot be read, `StorageError` where the disk has no room.
    """
    channels = 3 if data.color == "rgb" else 1
    label_kind = torch.float32 if data.color == "rgb" else torch.uint8
    shape = (len(cases), channels, *preprocess.size), (len(cases), len(classes), *preprocess.size)
    gib = sum(np.prod(s) * size for s, size in zip(shape, (4, label_kind.itemsize), strict=True)) / 2**30
    on_disk = gib > data.cache_gib
    images = _allocate(shape[0], torch.float32, folder / "images.bin" if on_disk else None)
    labels = _allocate(shape[1], label_kind, folder / "labels.bin" if on_disk else None)
    present = torch.ones(len(cases), len(classes), dtype=torch.bool)
    transform = build_case_transform(data, preprocess, classes)

    def read(index: int) -> CaseFacts | RadiographError:
        try:
            item = apply_transforms(transform, as_item(cases[index]))
        except RadiographError as error:
            return error
        images[index] = item["image"].as_tensor()
        labels[index] = item["target"].as_tensor() if data.color == "rgb" else item["mask"]
        if data.color != "rgb":
            present[index] = item["present"]
        return _facts(item)

    results = list(map_in_threads(read, range(len(cases))))
    findings = Findings(data.root)
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, RadiographError):
            findings.add_error(case.id, result)
    findings.check()
    return CachedCases(tuple(r for r in results if isinstance(r, CaseFacts)), images, labels, present)


def _digest(item: dict[str, Any]) -> dict[str, Any]:
    item["digest"] = digest_pixels(item["image"].as_tensor().numpy())
    label = item["target"].as_tensor() if "target" in item else item["mask"]
    item["label_digest"] = digest_pixels(label.numpy())
    return item


def _facts(item: dict[str, Any]) -> CaseFacts:
    meta = item["image"].meta
    return CaseFacts(
        item["id"],
        item["digest"],
        item["label_digest"],
        meta["modality"],
        meta["body_part"],
        meta["view"],
        meta["orientation"],
        meta["burned_in"],
        (*meta["warnings"], *item.get("mask_warnings", ())),
    )


def _allocate(shape: tuple[int, ...], kind: torch.dtype, path: Path | None) -> Tensor:
    if path is None:
        return torch.zeros(shape, dtype=kind)
    count = int(np.prod(shape))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:  # all of it now: a mapping that meets a full disk kills the process
            os.posix_fallocate(file.fileno(), 0, count * kind.itemsize)
        return torch.from_file(str(path), shared=True, size=count, dtype=kind).reshape(shape)
    except OSError as error:
        gib = count * kind.itemsize / 2**30
        raise StorageError(f"{path}: no {gib:.1f} GiB for the cache of cases: {error.strerror or error}") from error
    finally:
        path.unlink(missing_ok=True)  # the mapping holds it; the disk is free again however this process ends


def _loader(cached: CachedCases, sampler: Any) -> DataLoader[dict[str, Any]]:
    # a generator of its own: a loader draws a number from the global one each time it starts
    return DataLoader(cached, sampler=sampler, batch_size=None, generator=torch.Generator())
