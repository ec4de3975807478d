"""Cases (image, masks, patient) of a data set in a folder, a CSV manifest, a dataset.json or annotation files."""

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medseg.annotations import is_class_name
from medseg.data.case import Case, CaseSet, as_text
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.archive import refuse_outside
from medseg.data.layouts.case_folders import find_case_folders, read_case_folders
from medseg.data.layouts.dataset_json import Found, read_dataset_json
from medseg.data.layouts.drawn import read_drawn_file, read_drawn_folder
from medseg.data.layouts.folders import find_parts, read_folder
from medseg.data.layouts.manifest import GIVEN, is_manifest, read_manifest
from medseg.errors import DataError, RadiographError
from medseg.radiograph.dicom.read import read_patient

_logger = logging.getLogger(__name__)
_SITES = ("site", "hospital", "institution", "center", "centre")
_MEANS_NOBODY = re.compile(
    r"(anon(ym(ous|i[sz]ed?)?)?|de-?identified|unknown|none|null|no|n/?a|test|patient|dummy|default|removed|x+|0+|[\W_]*)"
    r"([ _]?(patient|id))?",
    re.IGNORECASE,
)


def find_cases(config: DataSetConfig) -> CaseSet:
    """Return all cases of `config.root`, sorted by id. Warnings are logged.

    Raises `DataError`, whose one message lists all problems: an empty folder, an image without a mask, a mask without
    an image, an unknown class, two images with one name.
    """
    findings = Findings(config.root)
    found = list_cases(config, findings)
    findings.check()
    for warning in findings.describe_warnings():
        _logger.warning("%s: %s", as_text(config.root), warning)
    return found


def list_cases(config: DataSetConfig, findings: Findings) -> CaseSet:
    """Return all images of `config.root` as cases, sorted by id, and add their faults to `findings`.

    Raises `DataError` if there is no data set.
    """
    root = config.root
    if root is None:
        raise DataError(
            "data.root is not set. Set it to a folder, an archive, a CSV manifest, a dataset.json or an annotation file"
        )
    try:
        cases, classes = _read_layout(root, config, findings)
    except OSError as error:
        raise DataError(f"{as_text(error.filename or root)}: cannot be read ({error.strerror})") from error
    refuse_outside(cases, root)
    _check_names(cases, classes, findings)
    for case in cases:
        if case.made_by:
            findings.add("made_by_model", case.id)
    if config.color != "rgb":
        _check_masks(cases, classes, findings, missing=config.missing == "ignore")
    if not cases:
        findings.check()
        raise DataError(f"{as_text(root)}: no images found")
    ordered = sorted(cases, key=lambda case: case.id)
    return CaseSet(tuple(_with_patients(ordered, findings.cases("missing_file"))), tuple(classes))


def name_layout(root: Path, cases: Sequence[Case]) -> str:
    """Return the layout of a data set in words."""
    if any(source.drawn for case in cases for source in case.masks.values()):
        return "annotation files with images"
    if root.is_file():
        return "dataset.json" if root.suffix.lower() == ".json" else "CSV manifest"
    if find_parts(root):
        return "folders of images and masks"
    is_described = (root / "dataset.json").is_file()
    return "a folder for each image" if not is_described and find_case_folders(root) else "dataset.json"


def count_sites(cases: Iterable[Case]) -> dict[str, int]:
    """Return site -> number of cases, from a column of the manifest such as `site`; empty without such a column.

    A site with one case is counted under `others`, since its name may be that of a person.
    """
    named = (next((v for k, v in case.metadata.items() if k.lower() in _SITES), None) for case in cases)
    counts = Counter(name.strip() or "not stated" for name in named if name is not None)
    sites = {name: count for name, count in sorted(counts.items()) if count > 1}
    rare = sum(count for count in counts.values() if count == 1)
    return sites | ({"others": rare} if rare else {})


def refuse_drawn(cases: Iterable[Case], root: Path | None) -> None:
    """Raise `DataError` if a model drew some of the masks and nobody has corrected them: they are no reference."""
    findings = Findings(root)
    for case in cases:
        if case.made_by:
            findings.add("made_by_model", case.id, severity="error")
    findings.check()


def check_patients(cases: Iterable[Case], findings: Findings) -> None:
    """Note the cases that share an empty or placeholder DICOM PatientID, which does not identify a patient."""
    members: dict[str, list[Case]] = {}
    for case in cases:
        members.setdefault(case.patient, []).append(case)
    for patient, shared in members.items():
        identifier = patient.rpartition("\0")[2]
        if len(shared) > 1 and _MEANS_NOBODY.fullmatch(identifier):
            for case in shared:
                findings.add("placeholder_patients", case.id)


def _read_layout(root: Path, config: DataSetConfig, findings: Findings) -> Found:
    """Return the cases in the first layout that fits. Annotation files come after masks, dataset.json and manifests."""
    description = root / "dataset.json" if root.is_dir() else root
    described = description.suffix.lower() == ".json" and description.is_file()
    may_be_drawn = config.color != "rgb"
    if root.is_file():
        drawn = read_drawn_file(root, config, findings) if may_be_drawn and not is_manifest(root) else None
        return drawn or (read_dataset_json if described else read_manifest)(root, config, findings)
    parts = find_parts(root) if (root / "images").is_dir() or not described else []
    if described and not parts:
        return read_dataset_json(description, config, findings)
    if not parts and config.color != "rgb" and (folders := find_case_folders(root)):
        return read_case_folders(folders, config, findings)
    may_be_drawn &= not any(part.has_masks() for part in parts)
    if may_be_drawn and (drawn := read_drawn_folder(root, config, findings)):
        return drawn
    if parts:
        return read_folder(root, parts, config, findings)
    raise DataError(
        f"{as_text(root)}: not a CSV manifest, not an annotation file, and not a folder with images/ or dataset.json"
    )


def _check_names(cases: Sequence[Case], classes: Sequence[str], findings: Findings) -> None:
    for name, count in Counter(classes).items():
        if count > 1:
            findings.add("class_name", "", name, what="classes that are listed twice")
        if not is_class_name(name):
            what = "invalid class names (use up to 32 letters, digits, _ or -; not ending in _ci95)"
            findings.add("class_name", "", name, what=what)
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            findings.add("layout", name, what="names that several images share")


def _check_masks(cases: Iterable[Case], classes: Sequence[str], findings: Findings, *, missing: bool) -> None:
    """Note the images without any mask and, unless classes may be `missing`, the images without some class."""
    told = findings.cases("segment_names") | findings.cases("mask_names")
    for case in cases:
        lacking = [name for name in classes if name not in case.masks]
        if not lacking or case.id in told:
            continue
        if len(lacking) == len(classes):
            findings.add("image_without_mask", case.id, case.image.name)
        elif not missing:
            what = f"images without the class {', '.join(lacking)}"
            findings.add("class_missing", case.id, case.image.name, what=what)


def _with_patients(cases: Sequence[Case], missing: Collection[str]) -> Iterable[Case]:
    """Yield the cases with a patient: the given patient, else the DICOM PatientID and its issuer, else the case id.

    If only some cases have a given patient, a DICOM PatientID of another case may name the same person: one whose image
    has the same PatientID, or whose given name it is.
    """
    given = {case.patient for case in cases}
    files = [case for case in cases if case.id not in missing] if "" in given else []
    known = {case.id: found for case in files if (found := _find_patient(case.image)) is not None}
    same = {known[case.id]: case.patient for case in cases if case.patient and case.id in known}
    for case in cases:
        patient = case.patient or f"\0{case.id}"
        if not case.patient and case.id in known:
            identifier, issuer = known[case.id]
            patient = f"{issuer}\0{identifier}"
            if not _MEANS_NOBODY.fullmatch(identifier):
                named = f"{GIVEN}\0{identifier}"
                patient = same.get(known[case.id]) or (named if named in given else patient)
        yield replace(case, patient=patient)


def _find_patient(image: Path) -> tuple[str, str] | None:
    try:
        return read_patient(image)
    except RadiographError:
        return None  # the error is reported when the image is read
