"""Preprocessed cases in memory or on disk, and loaders whose batch order can be resumed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from medseg.data.case import Case
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.frame import Frame
from medseg.data.preprocess import finish_input
from medseg.data.splits import Splits
from medseg.data.threads import map_in_threads
from medseg.data.transforms import apply_transforms, as_item, build_fitting, build_loading
from medseg.errors import ConfigError, RadiographError
from medseg.hardware.memory import allocate
from medseg.hardware.processes import ALONE, Processes
from medseg.radiograph.image import digest_pixels

T = TypeVar("T")
Look = Callable[[Mapping[str, Any], Tensor, Tensor | None], T]
"""Function that returns the data to keep of a case; takes its item, the network input and the masks at that size."""


@dataclass(frozen=True)
class CaseFacts:
    """Metadata kept with the tensors of a case; contains no patient data."""

    id: str
    digest: str
    """SHA-256 of the radiograph's pixels; independent of the file format."""
    label_digest: str
    """SHA-256 of the masks, of the classes without a mask, and of ignored pixels."""
    modality: str | None
    body_part: str | None
    view: str | None
    orientation: str | None
    burned_in: bool | None
    frame: Frame
    """The part of the image that the network sees."""


@dataclass(frozen=True)
class CachedCases(Dataset[dict[str, Any]]):
    """Preprocessed cases. A list of indices gives a batch: `image`, `label`, `present`, `index`, maybe `ignored`."""

    facts: tuple[CaseFacts, ...]
    images: Tensor = field(repr=False)
    """float32 `(case, channel, rows, columns)` in [0, 1]."""
    labels: Tensor = field(repr=False)
    """Masks as uint8 `(case, class, rows, columns)`, or RGB targets as float32 in [0, 1]."""
    present: Tensor = field(repr=False)
    """bool `(case, class)`: whether the mask of the class is known."""
    ignored: Tensor | None = field(default=None, repr=False)
    """Ignored pixels as uint8 of 0 and 1, shape of `labels`, which are 0 there; None if there are no such pixels."""

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
        """Return some of the cases; the tensors share memory with this object."""
        ignored = None if self.ignored is None else self.ignored[part]
        return CachedCases(self.facts[part], self.images[part], self.labels[part], self.present[part], ignored)


class EpochSampler(Sampler[list[int]]):
    """Sampler of index batches; the order depends only on seed and epoch. `iteration` counts the batches given."""

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
    """Preprocessed cases of each split."""

    train: CachedCases
    validation: CachedCases
    test: CachedCases

    def items(self) -> tuple[tuple[str, CachedCases], ...]:
        """Return the name and the cases of each split."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


@dataclass(frozen=True)
class SharedCases(Dataset[dict[str, Any]]):
    """Cases in batches of which this process has its part. `index` names all cases of the batch."""

    cached: CachedCases
    processes: Processes

    @property
    def facts(self) -> tuple[CaseFacts, ...]:
        """The metadata of all cases."""
        return self.cached.facts

    def __getitem__(self, index: list[int]) -> dict[str, Any]:
        own = self.cached[index[self.processes.share(len(index))]]
        return {**own, "index": torch.as_tensor(index)}


def build_train_loader(
    cached: CachedCases, batch_size: int, seed: int, processes: Processes = ALONE
) -> DataLoader[dict[str, Any]]:
    """Build a loader of shuffled batches with an `EpochSampler`; an incomplete last batch of an epoch is dropped.

    Several processes divide each batch among them. Raises `ConfigError` if it has fewer cases than there are processes.
    """
    sampler = EpochSampler(len(cached), batch_size, seed)
    if sampler.batch_size < processes.size:
        raise ConfigError(
            f"{processes.size} processes, but a batch has {sampler.batch_size} of {len(cached)} training cases; raise "
            "train.batch_size, or start fewer processes"
        )
    return _loader(cached if processes.size == 1 else SharedCases(cached, processes), sampler)


def build_validation_loader(
    cached: CachedCases, batch_size: int, processes: Processes = ALONE
) -> DataLoader[dict[str, Any]]:
    """Build a loader of all cases in order; the last batch may be smaller.

    Each of several processes has its share of the cases. Raises `ConfigError` if there are fewer cases than processes.
    """
    if len(cached) < processes.size:
        raise ConfigError(f"{processes.size} processes, but {len(cached)} validation cases; start fewer processes")
    cached = cached.select(processes.share(len(cached)))
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
    processes: Processes = ALONE,
) -> tuple[CachedSplits, list[T]]:
    """Read and preprocess every case of every split once; see `cache_cases`."""
    everything = [case for _, cases in splits.items() for case in cases]
    cached, surveys = cache_cases(everything, splits.classes, data, preprocess, folder, findings, look, processes)
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
    processes: Processes = ALONE,
) -> tuple[CachedCases, list[T]]:
    """Read and preprocess every case once; also return the result of `look` for each case.

    Unusable cases are noted in `findings`; the caller must check `findings` before it uses the other cases. Tensors
    larger than `data.cache_gib` are memory-mapped from unlinked files in `folder`. Raises `StorageError` if the disk is
    full. Each of several `processes` reads its share and gets the others' tensors; the first one gets all results of
    `look`, the others none.
    """
    with processes.together():
        room = _make_room(cases, classes, data, preprocess, folder, processes)
    loading, fitting = build_loading(data, classes), build_fitting(data, preprocess)

    def read(index: int) -> tuple[CaseFacts, T | None] | RadiographError:
        try:
            loaded = apply_transforms(loading, as_item(cases[index]))
            fitted = apply_transforms(fitting, loaded)
        except RadiographError as error:
            return error
        _keep(room, index, fitted, preprocess)
        image, masks = fitted["image"].as_tensor(), fitted.get("mask")
        return _facts(loaded, fitted["image"].meta["frame"]), None if look is None else look(loaded, image, masks)

    with processes.together():
        results = list(map_in_threads(read, range(len(cases))[processes.share(len(cases))], processes.local_size))
    surveys = [result[1] for result in results if isinstance(result, tuple) and result[1] is not None]
    known = [result[0] if isinstance(result, tuple) else result for result in results]
    facts = []
    for case, found in zip(cases, chain.from_iterable(processes.gather(known)), strict=True):
        if isinstance(found, RadiographError):
            findings.add_error(case.id, found)
        else:
            facts.append(found)
    for tensor in (room.images, room.labels, room.present, room.ignored):
        if tensor is not None:
            processes.complete(tensor)
    return replace(room, facts=tuple(facts)), list(chain.from_iterable(processes.collect(surveys)))


def _make_room(
    cases: Sequence[Case],
    classes: Sequence[str],
    data: DataConfig,
    preprocess: PreprocessConfig,
    folder: Path,
    processes: Processes,
) -> CachedCases:
    """Allocate the tensors of all cases, filled with 0, in memory or on disk. Each process has files of its own."""
    is_rgb = data.color == "rgb"
    image_shape = len(cases), 3 if is_rgb else 1, *preprocess.size
    label_shape = len(cases), len(classes), *preprocess.size
    label_kind = torch.float32 if is_rgb else torch.uint8
    wanted = {"images": (image_shape, torch.float32), "labels": (label_shape, label_kind)}
    sources = (each for case in cases for source in case.masks.values() for each in (source, *source.others))
    if any(source.ignored is not None for source in sources):
        wanted["ignored"] = label_shape, torch.uint8
    gib = sum(np.prod(shape) * kind.itemsize for shape, kind in wanted.values()) / 2**30
    on_disk = gib > data.cache_gib / processes.local_size
    tensors = {
        name: allocate(shape, kind, folder / f"{name}{processes.rank or ''}.bin" if on_disk else None)
        for name, (shape, kind) in wanted.items()
    }
    return CachedCases(facts=(), present=torch.ones(label_shape[:2], dtype=torch.bool), **tensors)


def _keep(room: CachedCases, index: int, item: Mapping[str, Any], preprocess: PreprocessConfig) -> None:
    """Copy a preprocessed item into the tensors."""
    room.images[index] = finish_input(item["image"].as_tensor(), preprocess)
    if "target" in item:
        room.labels[index] = item["target"].as_tensor()
        return
    room.labels[index], room.present[index] = item["mask"], item["present"]
    if room.ignored is not None and "ignored" in item:
        room.ignored[index] = item["ignored"]
        room.labels[index][item["ignored"].bool()] = 0


def _facts(item: dict[str, Any], frame: Frame) -> CaseFacts:
    meta = item["image"].meta
    label = item["target"].as_tensor() if "target" in item else item["mask"]
    return CaseFacts(
        item["id"],
        digest_pixels(item["image"].as_tensor().numpy()),
        digest_labels(label, item.get("present"), item.get("ignored")),
        meta["modality"],
        meta["body_part"],
        meta["view"],
        meta["orientation"],
        meta["burned_in"],
        frame,
    )


def digest_labels(labels: Tensor, present: Tensor | None, ignored: Tensor | None) -> str:
    """The SHA-256 of reference masks or targets, of the classes without a reference, and of ignored pixels."""
    whole = digest_pixels(labels.numpy())
    rest = [] if present is None or bool(present.all()) else [digest_pixels(present.numpy())]
    rest += [] if ignored is None else [digest_pixels(ignored.numpy())]
    return hashlib.sha256("\n".join([whole, *rest]).encode()).hexdigest() if rest else whole


def _loader(cached: CachedCases | SharedCases, sampler: Any) -> DataLoader[dict[str, Any]]:
    # its own generator, since each start of a loader draws a number from the global generator
    return DataLoader(cached, sampler=sampler, batch_size=None, generator=torch.Generator())
