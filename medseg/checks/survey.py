"""One look at every case: numbers and small pictures that all checks work on, no pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from medseg.checks.duplicates import Fingerprint, take_fingerprint
from medseg.checks.grey_levels import GreyLevels, measure_grey_levels
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
"""Rows and columns looked at for what is clipped within a mask."""


@dataclass(frozen=True, eq=False)
class MaskSurvey:
    """What is kept of the mask of one class."""

    shape: tuple[int, int]
    levels: Levels | None
    """Of the file that holds it; None where that names its segments."""
    area: float
    """Share of the picture; 0 is an empty mask, 1 a full one."""
    border: float
    """Share of the picture's outermost rows and columns that it covers."""
    centre: tuple[float, float]
    """`(row, column)` of its centre of mass as shares of the picture; (0, 0) where it is empty."""
    intensity: float
    """Mean of the scaled picture inside; 0 where it is empty."""
    clipped: float
    """Share of its pixels in which the picture has its least or its greatest value, whichever is more."""
    agreement: NDArray[np.float64]
    """How its contour follows the picture's edges, for each of `TURNS`."""


@dataclass(frozen=True, eq=False)
class CaseSurvey:
    """What is kept of a case, some 60 KB; nothing of the patient, no pixels but those of small pictures."""

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
    levels: GreyLevels
    fingerprint: Fingerprint = field(repr=False)
    thumbnail: NDArray[np.float32] = field(repr=False)
    """The scaled picture at 32 x 32."""
    inside: NDArray[np.float32] = field(repr=False)
    """The scaled picture within the box around all masks, at 32 x 32: where the patient stood no longer matters."""
    outlines: NDArray[np.float32] = field(repr=False)
    """The masks `(class, 32, 32)` within that box; 0 where a class is absent."""
    masks: Mapping[str, MaskSurvey]
    preview: Preview | None = field(repr=False)
    """None where text is burnt in, which may be a name."""


def survey_cases(
    cases: Sequence[Case], classes: Sequence[str], data: DataSetConfig, preprocess: PreprocessConfig, findings: Findings
) -> list[CaseSurvey]:
    """Look at every case once, several side by side; those that cannot be used are left out and noted."""
    missing = findings.cases("missing_file")
    present = [case for case in cases if case.id not in missing]

    def look(case: Case) -> CaseSurvey | RadiographError:
        try:
            return survey_case(case, classes, data, preprocess)
        except RadiographError as error:
            return error

    surveys = []
    results = tqdm(map_in_threads(look, present), "cases", len(present), disable=None)  # silent but on a terminal
    for case, result in zip(present, results, strict=True):
        if isinstance(result, RadiographError):
            findings.add_error(case.id, result)
        else:
            surveys.append(result)
    return surveys


def survey_case(case: Case, classes: Sequence[str], data: DataSetConfig, preprocess: PreprocessConfig) -> CaseSurvey:
    """Read a case's image and masks, or its target, and keep what the checks need. Raises `RadiographError`."""
    notes: list[str] = []
    radiograph, read = _read(case, data, notes)
    fitted = torch.zeros((len(classes), *preprocess.size), dtype=torch.bool)
    for name, file in read.items():
        fitted[classes.index(name)] = fit(torch.from_numpy(file.mask[None].astype(np.uint8)), preprocess)[0] >= 0.5
    image = build_input(radiograph.pixels, radiograph.padding, preprocess)
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
    """What the checks need of a case in memory.

    `notes` are the warnings of its masks; `image`, float32 `(channel, *size)`, is the network's input, and `fitted`,
    `(class, *size)` of 0 and 1, its masks at that size.
    """
    grey = radiograph.pixels.mean(axis=2) if radiograph.pixels.ndim == 3 else radiograph.pixels
    view, shown = image.mean(dim=0).numpy(), fitted.numpy().astype(np.bool_)
    box = _find_box(shown)
    return CaseSurvey(
        id=name,
        kind=radiograph.kind,
        shape=(grey.shape[0], grey.shape[1]),
        spacing_mm=radiograph.spacing_mm,
        spacing_source=radiograph.spacing_source,
        view=(radiograph.body_part, radiograph.view),
        orientation=radiograph.orientation,
        burned_in=bool(radiograph.burned_in),
        warnings=(*radiograph.warnings, *notes),
        levels=measure_grey_levels(grey, radiograph.padding),
        fingerprint=take_fingerprint(view),
        thumbnail=resize(view, _SMALL),
        inside=resize(np.ascontiguousarray(view[box]), _SMALL),
        outlines=np.array([resize(mask[box].astype(np.float32), _SMALL) for mask in shown]).reshape(-1, *_SMALL),
        masks={label: _survey_mask(file, shown[classes.index(label)], view, grey) for label, file in read.items()},
        preview=None if radiograph.burned_in else make_preview(view, shown),
    )


def _read(case: Case, data: DataSetConfig, notes: list[str]) -> tuple[Radiograph, dict[str, ReadMask]]:
    """The files of a case, whose sizes fit; warnings of the masks go into `notes`."""
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
    file: ReadMask, fitted: NDArray[np.bool_], view: NDArray[np.float32], grey: NDArray[np.float32]
) -> MaskSurvey:
    mask = file.mask
    area, *center = measure_position(mask) or (0.0, 0.0, 0.0)
    return MaskSurvey(
        shape=(mask.shape[0], mask.shape[1]),
        levels=file.levels,
        area=area,
        border=float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()),
        centre=(center[0], center[1]),
        intensity=float(view[fitted].mean()) if fitted.any() else 0.0,
        clipped=_find_clipped(mask, grey),
        agreement=measure_agreement(resize(view, _CONTOUR), resize(fitted.astype(np.float32), _CONTOUR)),
    )


def _find_clipped(mask: NDArray[np.bool_], grey: NDArray[np.float32]) -> float:
    """The share of a mask's pixels with the least or the greatest value of the picture, which may have another size."""
    places = [(np.arange(_CLIPPED) + 0.5) / _CLIPPED] * 2
    sampled = [
        array[np.ix_(*((at * size).astype(int) for at, size in zip(places, array.shape, strict=True)))]
        for array in (mask, grey)
    ]
    inside = sampled[1][sampled[0]]
    return float(max((inside == grey.min()).mean(), (inside == grey.max()).mean())) if inside.size else 0.0


def _find_box(masks: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of the box around all masks `(class, rows, columns)`; everything where they are empty."""
    shown = np.logical_or.reduce(masks, axis=0)
    if not shown.any():
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
