"""A data set as cases: one image, its masks, its patient; from a folder, a CSV manifest or a dataset.json."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medseg.data.config import DataConfig
from medseg.errors import DataError, RadiographError
from medseg.radiograph.dicom import read_patient

_EXTENSIONS = re.compile(r"\.(nii\.gz|nii|png|jpe?g|tiff?|bmp|dcm|dicom|dic|ima|mha|seg\.nrrd|nrrd)$", re.IGNORECASE)
_CLASS_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_MEANS_NOBODY = re.compile(
    r"(anon(ym(ous|i[sz]ed?)?)?|de-?identified|unknown|none|null|no|n/?a|test|patient|dummy|default|removed|x+|0+|[\W_]*)"
    r"([ _]?(patient|id))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MaskSource:
    """Where one class of one case stands: a file of its own, values of a label map, or a segment of a DICOM SEG."""

    path: Path
    values: tuple[int, ...] = ()
    """The values of a label map that are this class; empty where the whole file is one class."""
    known: tuple[int, ...] = ()
    """All values of that label map that mean something, 0 apart; any other is an error."""
    segment: str | None = None
    """The label of the segment of a DICOM SEG; None where the file is none or holds one segment."""


@dataclass(frozen=True)
class Case:
    """One radiograph with what is known of it."""

    id: str
    image: Path
    masks: Mapping[str, MaskSource]
    """By class; a class that is absent is not known for this case."""
    patient: str = field(default="", repr=False)
    """Names the patient within this run's memory alone; never written."""
    split: str | None = None
    target: Path | None = None
    """The RGB picture to be learnt where `data.colour` asks for it."""
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class CaseSet:
    """Cases ordered by id, and the classes in channel order."""

    cases: tuple[Case, ...]
    classes: tuple[str, ...]


class Problems:
    """What is wrong with a data set, gathered so that one message lists it all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Remember that `reason` holds for `name`."""
        self._names.setdefault(reason, []).append(as_text(name))

    def check(self) -> None:
        """Raise `DataError` that lists the first 10 names of each problem and the count, if there is any."""
        if self._names:
            lines = [f"{as_text(self.root)}: this data set cannot be used as it stands"]
            for reason, names in self._names.items():
                shown = "\n    ".join(names[:10]) + (f"\n    and {len(names) - 10} more" if len(names) > 10 else "")
                lines.append(f"  {reason} ({len(names)}):\n    {shown}")
            raise DataError("\n".join(lines))


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


def case_id(path: Path) -> str:
    """The file's name without its extension; a name with dots and no known extension (a DICOM UID) stays whole."""
    return _EXTENSIONS.sub("", as_text(path.name))


def as_text(name: object) -> str:
    """`name` as text that can be printed and stored; what is no UTF-8 in a file name is written as `\\udcXX`."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def list_files(folder: Path) -> list[Path]:
    """The visible files of `folder`, ordered by name; not those of its subfolders."""
    return [path for path in _visible(folder) if not path.is_dir()]


def list_folders(folder: Path) -> list[Path]:
    """The visible folders in `folder`, ordered by name."""
    return [path for path in _visible(folder) if path.is_dir()]


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
    from medseg.data import layouts

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


def _visible(folder: Path) -> list[Path]:
    litter = {"thumbs.db", "desktop.ini", "__macosx"}
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in litter
    )


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
