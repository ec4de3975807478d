"""A data set as cases: one image, its masks, its patient; from a folder, a CSV manifest or a dataset.json."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.data import layouts
from medseg.data.case import Case, CaseSet, Problems, as_text
from medseg.data.config import DataConfig
from medseg.errors import DataError, RadiographError
from medseg.radiograph.dicom import read_patient

_CLASS_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MEANS_NOBODY = re.compile(
    r"(anon(ym(ous|i[sz]ed?)?)?|de-?identified|unknown|none|null|no|n/?a|test|patient|dummy|default|removed|x+|0+|[\W_]*)"
    r"([ _]?(patient|id))?",
    re.IGNORECASE,
)


def find_cases(config: DataConfig) -> CaseSet:
    """All cases of `config.root`, ordered by id.

    Raises `DataError` with one message that lists every problem: an empty folder, an image without a mask, a mask
    without an image, an unknown class, two images of one name.
    """
    root = config.root
    if root is None:
        raise DataError("data.root is not given")
    problems = Problems(root)
    try:
        cases, classes = _read_layout(root, config, problems)
    except OSError as error:
        raise DataError(f"{as_text(error.filename or root)}: cannot be read ({error.strerror})") from error
    _check_names(cases, classes, problems)
    for case in cases:
        lacking = [name for name in classes if name not in case.masks]
        if lacking and not config.colour and (config.missing == "error" or len(lacking) == len(classes)):
            what = "without a mask" if len(lacking) == len(classes) else f"without the class {', '.join(lacking)}"
            problems.add(f"images {what}", case.image.name)
    problems.check()
    if not cases:
        raise DataError(f"{as_text(root)}: no images found")
    ordered = sorted(cases, key=lambda case: case.id)
    return CaseSet(tuple(_with_patients(ordered)), tuple(classes))


def check_patients(cases: Iterable[Case]) -> None:
    """Raise `DataError` where an empty or placeholder DICOM PatientID is shared by many: it groups nobody."""
    counts = Counter(case.patient for case in cases)
    for patient, count in counts.items():
        identifier = patient.rpartition("\0")[2]
        if count > 1 and _MEANS_NOBODY.fullmatch(identifier):
            raise DataError(
                f"{count} images share an empty or placeholder PatientID, so that patients cannot be kept apart; "
                "give a manifest with a 'patient' column, or split.patients=image if each image is another patient"
            )


def _read_layout(root: Path, config: DataConfig, problems: Problems) -> tuple[list[Case], tuple[str, ...]]:
    if root.is_dir() and (root / "images").is_dir():
        return layouts.read_folder(root, config, problems)
    description = root / "dataset.json" if root.is_dir() else root
    if description.suffix.lower() == ".json" and description.is_file():
        return layouts.read_dataset_json(description, config, problems)
    if root.is_file():
        return layouts.read_manifest(root, config, problems)
    raise DataError(f"{as_text(root)}: no images/ folder and no dataset.json in it, and it is no CSV manifest")


def _check_names(cases: Sequence[Case], classes: Sequence[str], problems: Problems) -> None:
    for name, count in Counter(classes).items():
        if count > 1:
            problems.add("classes named twice", name)
        if not _CLASS_NAME.fullmatch(name):
            problems.add("names that no class may have (letters, digits, _ and -, 32 at most)", name)
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            problems.add("names that several images have", name)


def _with_patients(cases: Sequence[Case]) -> Iterable[Case]:
    """The cases with a patient each: as given, else PatientID with its issuer from DICOM, else the case's id."""
    for case in cases:
        if case.patient:
            yield case
            continue
        try:
            known = read_patient(case.image)
        except RadiographError:
            known = None  # reading the image will say what is wrong with it
        patient = f"\0{case.id}" if known is None else f"{known[1]}\0{known[0]}"
        yield replace(case, patient=patient)
