"""All checks of a data set: before reading, while reading each case once, and over the whole set."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medseg.checks.duplicates import check_copies
from medseg.checks.images import check_pictures
from medseg.checks.likeness import check_likeness
from medseg.checks.masks import check_masks
from medseg.checks.outliers import check_outliers
from medseg.checks.survey import CaseSurvey, survey_cases
from medseg.data.case import CaseSet
from medseg.data.config import DataSetConfig, PreprocessConfig, SplitConfig
from medseg.data.findings import Findings
from medseg.data.masks import check_classes
from medseg.data.splits import Splits, draw_splits


def check_cases(
    found: CaseSet, data: DataSetConfig, split: SplitConfig, preprocess: PreprocessConfig, findings: Findings
) -> tuple[list[CaseSurvey], dict[str, str]]:
    """Read every case once and note all faults; return the surveys and the split of each case."""
    splits = {case.id: name for case, name in zip(found.cases, draw_splits(found, split, findings), strict=True)}
    classes = () if data.color == "rgb" else found.classes
    surveys = survey_cases(found.cases, classes, data, preprocess, findings)
    check_splits(surveys, classes, splits, split.allow_duplicates, findings)
    check_set(surveys, classes, findings)
    return surveys, splits


def check_training(
    surveys: Sequence[CaseSurvey], splits: Splits, data: DataSetConfig, split: SplitConfig, findings: Findings
) -> None:
    """Note the faults of the cases of a training run."""
    classes = () if data.color == "rgb" else splits.classes
    check_splits(surveys, classes, splits.names(), split.allow_duplicates, findings)
    check_set(surveys, classes, findings)


def check_splits(
    surveys: Sequence[CaseSurvey],
    classes: Sequence[str],
    splits: Mapping[str, str],
    allow_duplicates: bool,
    findings: Findings,
) -> None:
    """Note classes without foreground in any training mask, and near-identical images; `splits` is case -> split."""
    drawn = [survey for survey in surveys if survey.masks]
    shown = [[bool(outline.any()) for outline in survey.outlines] for survey in drawn]  # at the network size
    training = [splits[survey.id] == "train" for survey in drawn]
    check_classes([survey.id for survey in drawn], training, classes, shown, findings)
    names, prints = [survey.id for survey in surveys], [survey.fingerprint for survey in surveys]
    check_copies(names, [splits[name] for name in names], prints, allow_duplicates, findings)


def check_set(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note all faults of single images and masks, and their differences from the rest of the data set."""
    _check_missing(surveys, classes, findings)
    check_pictures(surveys, findings)
    check_masks(surveys, classes, findings)
    check_likeness(surveys, classes, findings)
    check_outliers(surveys, classes, findings)


def _check_missing(surveys: Sequence[CaseSurvey], classes: Sequence[str], findings: Findings) -> None:
    """Note a warning for cases that lack a class if `data.missing=ignore`; else they already have an error."""
    told = set().union(*map(findings.cases, ("class_missing", "segment_names", "mask_names")))
    remedy = "Loss and metrics of these images exclude the class. Add the masks (empty masks if the class is absent)."
    for survey in surveys:
        lacking = [label for label in classes if label not in survey.masks]
        if lacking and survey.id not in told:
            what = f"images without the class {', '.join(lacking)}"
            findings.add("class_missing", survey.id, what=what, severity="warning", remedy=remedy)


def describe_set(found: CaseSet, surveys: Sequence[CaseSurvey], splits: Mapping[str, str]) -> dict[str, Any]:
    """Return counts of a data set by properties of its images; contains no patient data."""
    return {
        "cases": len(found.cases),
        "read": len(surveys),
        "patients": len({case.patient for case in found.cases}),
        "splits": {name: list(splits.values()).count(name) for name in ("train", "validation", "test")},
        "classes": {label: sum(label in case.masks for case in found.cases) for label in found.classes},
        "formats": _count(survey.kind for survey in surveys),
        "sizes": _count(f"{survey.shape[0]} x {survey.shape[1]}" for survey in surveys),
        "bits": _count(str(survey.levels.bits) for survey in surveys),
        "spacing_sources": _count(survey.spacing_source for survey in surveys),
        "orientations": _count(survey.orientation or "unknown" for survey in surveys),
    }


def _count(values: Iterable[str]) -> dict[str, int]:
    """Return the ten most common values with their counts."""
    return dict(Counter(values).most_common(10))
