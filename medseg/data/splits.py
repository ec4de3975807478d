"""Which patients train, validate and test, and whether a picture stands in two of these."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medseg.data.case import Case, CaseSet
from medseg.data.cases import check_patients
from medseg.data.config import SplitConfig
from medseg.errors import DataError

# Measured on JSRT, Montgomery and phantoms. A picture saved again (JPEG 85, half the size and JPEG 50, 0.7 of the size,
# another brightness, gamma 1.4): hashes differ in up to 12 of 64 bits, detail correlates by at least 0.88. Pictures of
# different patients: hashes may differ in only 4 bits, all chests look alike, but detail correlates by at most 0.64
# (between phantoms 0.79).
_NEAR = 16
_CORRELATED = 0.84
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The cases of each split, ordered by id, and the classes in channel order."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]
    classes: tuple[str, ...]

    def items(self) -> tuple[tuple[str, tuple[Case, ...]], ...]:
        """Each split's name and cases."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


def split_by_patient(found: CaseSet, config: SplitConfig) -> Splits:
    """The cases by split: as a manifest says, else by a hash of `config.seed` and patient.

    The hash makes a split stable: files that are added move none that were there. With `config.folds`, fold k of the
    patients is the test set and the rest is divided by `fractions` again. Raises `DataError` where a split is empty,
    a patient stands in two of them, or an empty PatientID is shared by many.
    """
    cases = found.cases
    if config.patients == "image":
        cases = tuple(replace(case, patient=f"\0{case.id}") for case in cases)
    given = any(case.split for case in cases)
    if given and config.folds is not None:
        raise DataError("the manifest names the splits; take its 'split' column away to draw split.folds")
    if not (given and config.allow_duplicates):
        check_patients(cases)
    names = [case.split or "" if given else _draw_split(case.patient, config) for case in cases]
    if given and not config.allow_duplicates:
        _check_patient_overlap(cases, names)
    members = {name: [c for c, n in zip(cases, names, strict=True) if n == name] for name in _SPLITS}
    empty = [name for name in _SPLITS if not members[name]]
    if empty:
        counts = ", ".join(f"{name} {len(members[name])}" for name in _SPLITS)
        raise DataError(
            f"no case in {' and '.join(empty)} ({counts}); change split.fractions or split.seed, or name the splits in "
            "a manifest's 'split' column"
        )
    return Splits(**{name: tuple(members[name]) for name in _SPLITS}, classes=found.classes)


def find_duplicates(names: Sequence[str], splits: Sequence[str], images: Iterable[NDArray[np.float32]]) -> list[str]:
    """Near-identical images in different splits, each pair as `a (train) and b (test)`.

    Each image is `(rows, columns)` in [0, 1]. A perceptual hash proposes pairs; since all chests look alike, the
    correlation of the pictures' fine detail confirms them.
    """
    described = [(_hash_picture(image), _detail(image)) for image in images]
    hashes, details = (np.array(column) for column in zip(*described, strict=True))
    labels = np.array(splits)
    found = []
    for first in range(0, len(names), 256):
        rows = slice(first, first + 256)
        near = hashes[rows] @ hashes.T >= hashes.shape[1] - 2 * _NEAR  # of signs: bits less twice those that differ
        near &= (details[rows] @ details.T > _CORRELATED) & (labels[rows, None] != labels)
        found += [(first + i, j) for i, j in np.argwhere(near).tolist() if first + i < j]
    return [f"{names[i]} ({splits[i]}) and {names[j]} ({splits[j]})" for i, j in found]


def _draw_split(patient: str, config: SplitConfig) -> str:
    train, validation, _ = config.fractions
    if config.folds is not None:
        if int(_draw(patient, f"fold {config.seed}") * config.folds) == config.fold:
            return "test"
        train /= train + validation or 1.0
        validation = 1.0
    position = _draw(patient, f"split {config.seed}")
    return "train" if position < train else "validation" if position < train + validation else "test"


def _draw(patient: str, key: str) -> float:
    """A number in [0, 1) that a keyed hash of the patient gives (BLAKE2b, RFC 7693)."""
    digest = hashlib.blake2b(patient.encode("utf-8", "surrogatepass"), digest_size=8, key=key.encode()[:64]).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _check_patient_overlap(cases: Sequence[Case], names: Sequence[str]) -> None:
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for case, name in zip(cases, names, strict=True):
        other, other_split = seen.setdefault(case.patient, (case.id, name))
        if other_split != name:
            found.append(f"{other} ({other_split}) and {case.id} ({name})")
    if found:
        raise DataError(
            f"images of one patient in different splits: {'; '.join(found[:10])} ({len(found)} in all); mend the split "
            "column, or set split.allow_duplicates=true"
        )


def _hash_picture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 64 bits of a perceptual hash, as 1 and -1."""
    bits = imagehash.phash(Image.fromarray(np.round(image * 255).astype(np.uint8))).hash
    return np.where(bits.ravel(), 1, -1).astype(np.float32)


def _detail(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a blur takes away from a picture at 128 x 128, as a vector of length 1 (0 where the picture is flat).

    Cut at two standard deviations, so that a marker or an edge does not decide: the product of two such vectors is the
    correlation of ribs and vessels.
    """
    picture = np.asarray(Image.fromarray(image.astype(np.float32)).resize((128, 128), Image.Resampling.BOX))
    detail = picture - ndimage.gaussian_filter(picture, sigma=3)
    limit = 2 * detail.std()
    detail = np.clip(detail - detail.mean(), -limit, limit).ravel()
    return np.asarray(detail / max(float(np.linalg.norm(detail)), 1e-6), np.float32)
