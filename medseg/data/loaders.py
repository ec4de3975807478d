"""Preprocessed cases, held once in memory or on disk, and batches of them in an order that can be resumed."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from medseg.data.case import Case
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.splits import Splits
from medseg.data.threads import map_in_threads
from medseg.data.transforms import apply_transforms, as_item, build_fitting, build_loading
from medseg.errors import RadiographError, StorageError
from medseg.radiograph.image import digest_pixels

T = TypeVar("T")
_ZEROS = 1 << 24  # bytes written at a time
Look = Callable[[Mapping[str, Any], Tensor, Tensor | None], T]
"""What shall be kept of a case, from its loaded item, the network's input and its masks at that size."""


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


@dataclass(frozen=True)
class CachedCases(Dataset[dict[str, Any]]):
    """Preprocessed cases; a list of indices gives a batch: `image`, `label`, `present`, `index`, perhaps `ignored`."""

    facts: tuple[CaseFacts, ...]
    images: Tensor = field(repr=False)
    """float32 `(case, channel, rows, columns)` in [0, 1]."""
    labels: Tensor = field(repr=False)
    """Masks uint8 `(case, class, rows, columns)`, or RGB targets float32 in [0, 1]."""
    present: Tensor = field(repr=False)
    """bool `(case, class)`: which masks are known."""
    ignored: Tensor | None = field(default=None, repr=False)
    """uint8 of 0 and 1, like `labels`, which are 0 there: the pixels that count for nothing. None without any."""

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, index: list[int]) -> dict[str, Any]:
        chosen = torch.as_tensor(index)
        return {
            "image": self.images[chosen],
            "label": self.labels[chosen],
            "present": self.present[chosen],
            "index": chosen,
            **({} if self.ignored is None else {"ignored": self.ignored[chosen]}),
        }

    def select(self, part: slice) -> "CachedCases":
        """Some of the cases, on the same memory."""
        ignored = None if self.ignored is None else self.ignored[part]
        return CachedCases(self.facts[part], self.images[part], self.labels[part], self.present[part], ignored)


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


def cache_splits(
    splits: Splits,
    data: DataConfig,
    preprocess: PreprocessConfig,
    folder: Path,
    findings: Findings,
    look: Look[T] | None = None,
) -> tuple[CachedSplits, list[T]]:
    """Every case of every split, read and preprocessed once; see `cache_cases`."""
    everything = [case for _, cases in splits.items() for case in cases]
    cached, surveys = cache_cases(everything, splits.classes, data, preprocess, folder, findings, look)
    first, second = len(splits.train), len(splits.train) + len(splits.validation)
    parts = slice(first), slice(first, second), slice(second, None)
    return CachedSplits(*map(cached.select, parts)), surveys


def cache_cases(
    cases: Sequence[Case],
    classes: Sequence[str],
    data: DataConfig,
    preprocess: PreprocessConfig,
    folder: Path,
    findings: Findings,
    look: Look[T] | None = None,
) -> tuple[CachedCases, list[T]]:
    """Read and preprocess every case once; and what `look` makes of each.

    A case that cannot be used is noted in `findings`, which the caller checks before anything is made of the rest.
    Beyond `data.cache_gib` the tensors are memory-mapped from nameless files in `folder`. Raises `StorageError` where
    the disk has no room.
    """
    room = _make_room(cases, classes, data, preprocess, folder)
    loading, fitting = build_loading(data, classes), build_fitting(data, preprocess)

    def read(index: int) -> tuple[CaseFacts, T | None] | RadiographError:
        try:
            loaded = apply_transforms(loading, as_item(cases[index]))
            fitted = apply_transforms(fitting, loaded)
        except RadiographError as error:
            return error
        _keep(room, index, fitted)
        image, masks = fitted["image"].as_tensor(), fitted.get("mask")
        return _facts(loaded), None if look is None else look(loaded, image, masks)

    facts, surveys = [], []
    for case, result in zip(cases, map_in_threads(read, range(len(cases))), strict=True):
        if isinstance(result, RadiographError):
            findings.add_error(case.id, result)
            continue
        facts.append(result[0])
        surveys += [result[1]] if result[1] is not None else []
    return replace(room, facts=tuple(facts)), surveys


def _make_room(
    cases: Sequence[Case], classes: Sequence[str], data: DataConfig, preprocess: PreprocessConfig, folder: Path
) -> CachedCases:
    """The tensors of all cases, still 0, in memory or on disk."""
    is_rgb = data.color == "rgb"
    image_shape = len(cases), 3 if is_rgb else 1, *preprocess.size
    label_shape = len(cases), len(classes), *preprocess.size
    label_kind = torch.float32 if is_rgb else torch.uint8
    wanted = {"images": (image_shape, torch.float32), "labels": (label_shape, label_kind)}
    if any(source.ignored is not None for case in cases for source in case.masks.values()):
        wanted["ignored"] = label_shape, torch.uint8
    on_disk = sum(np.prod(shape) * kind.itemsize for shape, kind in wanted.values()) / 2**30 > data.cache_gib
    tensors = {
        name: _allocate(shape, kind, folder / f"{name}.bin" if on_disk else None)
        for name, (shape, kind) in wanted.items()
    }
    return CachedCases(facts=(), present=torch.ones(label_shape[:2], dtype=torch.bool), **tensors)


def _keep(room: CachedCases, index: int, item: Mapping[str, Any]) -> None:
    """Put a preprocessed item into its place."""
    room.images[index] = item["image"].as_tensor()
    if "target" in item:
        room.labels[index] = item["target"].as_tensor()
        return
    room.labels[index], room.present[index] = item["mask"], item["present"]
    if room.ignored is not None and "ignored" in item:
        room.ignored[index] = item["ignored"]
        room.labels[index][item["ignored"].bool()] = 0


def _facts(item: dict[str, Any]) -> CaseFacts:
    meta = item["image"].meta
    label = item["target"].as_tensor() if "target" in item else item["mask"]
    return CaseFacts(
        item["id"],
        digest_pixels(item["image"].as_tensor().numpy()),
        digest_pixels(label.numpy()),
        meta["modality"],
        meta["body_part"],
        meta["view"],
        meta["orientation"],
        meta["burned_in"],
    )


def _allocate(shape: tuple[int, ...], kind: torch.dtype, path: Path | None) -> Tensor:
    if path is None:
        return torch.zeros(shape, dtype=kind)
    count = int(np.prod(shape))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            _reserve(file, count * kind.itemsize)
        return torch.from_file(str(path), shared=True, size=count, dtype=kind).reshape(shape)
    except OSError as error:
        gib = count * kind.itemsize / 2**30
        raise StorageError(f"{path}: no {gib:.1f} GiB for the cache of cases: {error.strerror or error}") from error
    finally:
        path.unlink(missing_ok=True)  # the mapping holds it; the disk is free again however this process ends


def _reserve(file: BinaryIO, size: int) -> None:
    """Take `size` bytes of the disk now: a mapping that meets a full disk later kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        for start in range(0, size, _ZEROS):
            file.write(bytes(min(_ZEROS, size - start)))


def _loader(cached: CachedCases, sampler: Any) -> DataLoader[dict[str, Any]]:
    # a generator of its own: a loader draws a number from the global one each time it starts
    return DataLoader(cached, sampler=sampler, batch_size=None, generator=torch.Generator())
