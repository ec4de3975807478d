"""Survey of every case: the numbers and small images that the checks need; full-size pixels are not kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from medseg.checks.duplicates import Fingerprint, take_fingerprint
from medseg.checks.gray_levels import GrayLevels, measure_gray_levels
from medseg.checks.turns import measure_agreement
from medseg.data.case import Case
from medseg.data.config import DataSetConfig, PreprocessConfig
from medseg.data.exif import lay_under
from medseg.data.findings import Findings
from medseg.data.levels import Levels
from medseg.data.masks import ReadMask, read_mask_files
from medseg.data.preprocess import build_input, fit
from medseg.data.preview import Preview, make_preview, resize
from medseg.data.threads import map_in_threads
from medseg.errors import RadiographError
from medseg.metrics.shape import measure_position
from medseg.radiograph.image import Radiograph
from medseg.radiograph.read import read_radiograph

_SMALL, _CONTOUR = (32, 32), (128, 128)
_CLIPPED = 512
"""Rows and columns sampled to measure clipping inside a mask."""


@dataclass(frozen=True, eq=False)
class MaskSurvey:
    """Summary of the mask of one class."""

    shape: tuple[int, int]
    levels: tuple[Levels, ...]
    """Levels of each mask file; files that name their segments have none."""
    area: float
    """Share of the image area; 0 is an empty mask, 1 a full mask."""
    border: float
    """Share of the outermost rows and columns that the mask covers."""
    center: tuple[float, float]
    """Center of mass `(row, column)` as shares of the image size; (0, 0) for an empty mask."""
    intensity: float
    """Mean of the scaled image inside the mask; 0 for an empty mask."""
    clipped: float
    """Share of mask pixels at the least or at the greatest value of the image, whichever is more."""
    agreement: NDArray[np.float64]
    """Agreement of the contour with the image edges, for each of `TURNS`; see `measure_agreement`."""


@dataclass(frozen=True, eq=False)
class CaseSurvey:
    """Summary of a case, about 60 KB; contains no patient data, and pixels of small images only."""

    id: str
    kind: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, float] | None
    spacing_source: str
    view: tuple[str | None, str | None]
    """BodyPartExamined and ViewPosition."""
    orientation: str | None
    burned_in: bool
    warnings: tuple[str, ...]
    levels: GrayLevels
    fingerprint: Fingerprint = field(repr=False)
    thumbnail: NDArray[np.float32] = field(repr=False)
    """Scaled image at 32 x 32."""
    inside: NDArray[np.float32] = field(repr=False)
    """Scaled image inside the box around all masks, at 32 x 32; independent of the position of the patient."""
    outlines: NDArray[np.float32] = field(repr=False)
    """Masks `(class, 32, 32)` inside that box; 0 for a missing class."""
    masks: Mapping[str, MaskSurvey]
    preview: Preview | None = field(repr=False)
    """None if the image has burned-in text, which may be a name."""


def survey_cases(
    cases: Sequence[Case], classes: Sequence[str], data: DataSetConfig, preprocess: PreprocessConfig, findings: Findings
) -> list[CaseSurvey]:
    """Read every case once, several in parallel; cases that cannot be used are noted and left out."""
    missing = findings.cases("missing_file")
    present = [case for case in cases if case.id not in missing]

    def look(case: Case) -> CaseSurvey | RadiographError:
        try:
            return survey_case(case, classes, data, preprocess)
        except RadiographError as error:
            return error

    surveys = []
    results = tqdm(map_in_threads(look, present), "cases", len(present), disable=None)  # shown on a terminal only
    for case, result in zip(present, results, strict=True):
        if isinstance(result, RadiographError):
            findings.add_error(case.id, result)
        else:
            surveys.append(result)
    return surveys


def survey_case(case: Case, classes: Sequence[str], data: DataSetConfig, preprocess: PreprocessConfig) -> CaseSurvey:
    """Read the image and the masks or target of a case and summarize them. Raises `RadiographError`."""
    notes: list[str] = []
    radiograph, read = _read(case, data, notes)
    plain = preprocess.model_copy(update={"equalize": False})
    image, frame = build_input(radiograph.pixels, radiograph.padding, plain)
    fitted = torch.zeros((len(classes), *preprocess.size), dtype=torch.bool)
    for name, file in read.items():
        mask = torch.from_numpy(file.mask[None].astype(np.uint8))
        fitted[classes.index(name)] = fit(mask, preprocess, frame)[0] >= 0.5
    return summarize_case(case.id, radiograph, read, notes, image, fitted, classes)


def summarize_case(
    name: str,
    radiograph: Radiograph,
    read: Mapping[str, ReadMask],
    notes: Sequence[str],
    image: Tensor,
    fitted: Tensor,
    classes: Sequence[str],
) -> CaseSurvey:
    """Summarize a case in memory for the checks.

    `notes` are the warnings of the masks. `image`, float32 `(channel, *size)`, is the network input. `fitted`,
    `(class, *size)` of 0 and 1, are the masks at that size.
    """
    gray = radiograph.pixels.mean(axis=2) if radiograph.pixels.ndim == 3 else radiograph.pixels
    view, shown = image.mean(dim=0).numpy(), fitted.numpy().astype(np.bool_)
    box = _find_box(shown)
    return CaseSurvey(
        id=name,
        kind=radiograph.kind,
        shape=(gray.shape[0], gray.shape[1]),
        spacing_mm=radiograph.spacing_mm,
        spacing_source=radiograph.spacing_source,
        view=(radiograph.body_part, radiograph.view),
        orientation=radiograph.orientation,
        burned_in=bool(radiograph.burned_in),
        warnings=(*radiograph.warnings, *notes),
        levels=measure_gray_levels(gray, radiograph.padding),
        fingerprint=take_fingerprint(view),
        thumbnail=resize(view, _SMALL),
        inside=resize(np.ascontiguousarray(view[box]), _SMALL),
        outlines=np.array([resize(mask[box].astype(np.float32), _SMALL) for mask in shown]).reshape(-1, *_SMALL),
        masks={label: _survey_mask(file, shown[classes.index(label)], view, gray) for label, file in read.items()},
        preview=None if radiograph.burned_in else make_preview(view, shown),
    )


def _read(case: Case, data: DataSetConfig, notes: list[str]) -> tuple[Radiograph, dict[str, ReadMask]]:
    """Read the files of a case and check that their sizes fit; warnings of the masks are added to `notes`."""
    radiograph = read_radiograph(case.image, **data.reading)
    if case.target:
        target = read_radiograph(case.target, **data.reading)
        return lay_under(case.image, radiograph, [case.target], target.pixels.shape, data), {}
    if not case.masks:
        return radiograph, {}
    files = read_mask_files(case.masks, data, notes)
    size = next(iter(files.values())).mask.shape
    return lay_under(case.image, radiograph, [source.path for source in case.masks.values()], size, data), files


def _survey_mask(
    file: ReadMask, fitted: NDArray[np.bool_], view: NDArray[np.float32], gray: NDArray[np.float32]
) -> MaskSurvey:
    mask = file.mask
    area, *center = measure_position(mask) or (0.0, 0.0, 0.0)
    return MaskSurvey(
        shape=(mask.shape[0], mask.shape[1]),
        levels=file.levels,
        area=area,
        border=float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()),
        center=(center[0], center[1]),
        intensity=float(view[fitted].mean()) if fitted.any() else 0.0,
        clipped=_find_clipped(mask, gray),
        agreement=measure_agreement(resize(view, _CONTOUR), resize(fitted.astype(np.float32), _CONTOUR)),
    )


def _find_clipped(mask: NDArray[np.bool_], gray: NDArray[np.float32]) -> float:
    """Return the share of mask pixels at the least or the greatest image value; image and mask may differ in size."""
    places = [(np.arange(_CLIPPED) + 0.5) / _CLIPPED] * 2
    sampled = [
        array[np.ix_(*((at * size).astype(int) for at, size in zip(places, array.shape, strict=True)))]
        for array in (mask, gray)
    ]
    inside = sampled[1][sampled[0]]
    return float(max((inside == gray.min()).mean(), (inside == gray.max()).mean())) if inside.size else 0.0


def _find_box(masks: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the box around all masks `(class, rows, columns)`; all if the masks are empty."""
    shown = np.logical_or.reduce(masks, axis=0)
    if not shown.any():
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
