"""A made-up evaluation with everything in it: phantoms as images, numbers that no model has earned."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import ndimage

from medseg.data.stress import STRESSES
from medseg.evaluation.ranking import choose_cases
from medseg.evaluation.result import CaseResult, Comparison, Evaluation, StressCurve, Summary
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.statistics import Interval, adjust_holm, bland_altman, bootstrap_mean, compare_paired
from medseg.output.drawing import to_bytes
from medseg.phantom.chest import draw_phantom

CLASSES = ("lungs", "heart", "clavicles")
HOSTILE = "<script>alert('x')</script> \"&amp;"
_DIFFICULTY = {"lungs": 0.35, "heart": 0.8, "clavicles": 1.5}


def draw_evaluation(num_cases: int = 120, size: int = 512, number: int = 6, subset: str = "unseen") -> Evaluation:
    """An evaluation of phantoms, `number` worst, median and best of them with pictures, a `size` high."""
    rng = np.random.default_rng(5)
    plain = list(_draw_cases(rng, num_cases))
    shown = {case.case for case in choose_cases(plain, CLASSES, number)}
    cases = [_add_picture(case, place, size) if case.case in shown else case for place, case in enumerate(plain)]
    names = list(cases[0].scores)
    return Evaluation(
        model="3f9a0c17be52d684",
        data="phantoms & <friends>",
        subset=subset,
        left_out=0 if subset == "all" else 247,
        classes=CLASSES,
        cases=cases,
        summaries=summarise(cases, names),
        by={
            column: {
                value: summarise([case for case in cases if case.groups[column] == value], names)
                for value in sorted({case.groups[column] for case in cases})
            }
            for column in ("site", "view")
        },
        calibration={name: _draw_calibration(rng, index) for index, name in enumerate(CLASSES)},
        thresholds={"lungs": (0.42, 0.9741, 0.9738), "heart": (0.55, 0.931, 0.9289), "clavicles": (0.31, 0.874, 0.851)},
        ctr=bland_altman([case.scores["ctr_error"] for case in cases]),
        stress=[_draw_stress(index) for index in range(len(STRESSES))],
        comparison=_compare(rng, cases),
        warnings=(f"{HOSTILE}: mask touches the edge", "spacing unknown in 3 cases; their distances are in pixels"),
        seconds=83.2,
        unit="mm",
        cut=dict.fromkeys(CLASSES, 0.5),
        spacing={"detector": num_cases - 3, "none": 3},
        shown=number,
    )


def summarise(cases: list[CaseResult], names: list[str]) -> list[Summary]:
    values = np.array([[case.scores[name] for name in names] for case in cases])
    intervals = bootstrap_mean(values, [case.patient for case in cases], 0, 200)
    known = np.isfinite(values).sum(axis=0)
    means = [float(np.nanmean(values[:, first : first + len(CLASSES)])) for first in (0, len(CLASSES))]
    overall = dict(zip(("dice", "iou", "miou"), (*means, 0.5 + means[1] / 2), strict=True))
    return [Summary(name, m, Interval(m - 0.008, m + 0.006), len(cases), 0) for name, m in overall.items()] + [
        Summary(name, float(np.nanmean(column)) if count else math.nan, interval, int(count), len(cases) - int(count))
        for name, column, interval, count in zip(names, values.T, intervals, known, strict=True)
        if name.split("_")[-1] in CLASSES or name == "ctr_error"
    ]


def _draw_cases(rng: np.random.Generator, number: int) -> Iterator[CaseResult]:
    for place in range(number):
        trouble = rng.gamma(1.2, 0.035) * (6 if rng.random() < 0.04 else 1)
        dice = {name: max(0.0, 1 - trouble * hard - 0.02) for name, hard in _DIFFICULTY.items()}
        scores = {f"dice_{name}": value for name, value in dice.items()}
        scores |= {f"iou_{name}": value / (2 - value) for name, value in dice.items()}
        scores |= {f"hd95_{name}": 120 * (1 - value) * rng.uniform(0.6, 1.6) for name, value in dice.items()}
        scores |= {f"assd_{name}": 25 * (1 - value) * rng.uniform(0.6, 1.6) for name, value in dice.items()}
        scores |= {f"nsd_{name}": value**2 for name, value in dice.items()}
        scores |= {f"area_error_{name}": rng.normal(0.01, 0.02 + (1 - value) / 3) for name, value in dice.items()}
        reference = rng.normal(0.47, 0.05)
        scores |= {"ctr_reference": reference, "ctr_error": rng.normal(0.004, 0.2 * min(trouble, 0.2) + 0.01)}
        if place % 37 == 3:
            scores |= {"dice_clavicles": 0.0, "iou_clavicles": 0.0, "nsd_clavicles": math.nan}
            scores |= {"hd95_clavicles": math.nan, "assd_clavicles": math.nan, "ctr_error": math.nan}
        groups = {"site": ("Altona", "Bergedorf", "Eppendorf, ward 3")[place % 3], "view": "PA" if place % 4 else "AP"}
        name = HOSTILE if place == 3 else f"JPCLN{place:03d}"
        unit = "px" if place % 50 == 7 else "mm"
        seen = "training" if place % 2 else ""
        yield CaseResult(name, f"p{place * 9 // 10:03d}", unit, scores, groups, seen=seen)


def _add_picture(case: CaseResult, seed: int, size: int) -> CaseResult:
    """The case with a phantom whose contours are off by about as much as its Dice says."""
    rng = np.random.default_rng(seed)
    phantom = draw_phantom(rng, size)
    reference = np.stack([phantom.masks[name] for name in CLASSES])
    predicted = []
    for name, mask in zip(CLASSES, reference, strict=True):
        distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
        waves = ndimage.gaussian_filter(rng.standard_normal(mask.shape), size / 40)
        predicted.append(distance + waves / waves.std() * size * 0.07 * (1 - case.scores[f"dice_{name}"]) > 0)
    picture = to_bytes(phantom.pixels.astype(np.float32))
    return replace(case, picture=picture, reference=reference, prediction=np.stack(predicted))


def _draw_calibration(rng: np.random.Generator, index: int) -> CalibrationCurve:
    centers = (np.arange(20) + 0.5) / 20
    pixels = (2e5 * (0.04 + np.exp(-centers / 0.06) + 1.2 * np.exp((centers - 1) / 0.05))).astype(np.int64)
    pixels[9] *= index != 2  # an empty bin
    observed = np.clip(centers + 0.12 * index * (centers - 0.6) * np.sin(np.pi * centers) - 0.03, 0, 1)
    return CalibrationCurve(pixels, pixels * centers, (pixels * observed).astype(np.int64))


def _draw_stress(index: int) -> StressCurve:
    stress = STRESSES[index]
    levels = (0.0, *stress.levels)
    reach = max(map(abs, stress.levels))
    harm = (0.3, 0.1, 0.15, 0.2, 0.55, 0.08, 0.8, 0.05, 0.02, 0.12, 0.1, 0.12, 0.2, 0.06)[index]
    falls = {name: harm * (0.6 + 0.4 * place) for place, name in enumerate(CLASSES)}
    starts = {"lungs": 0.974, "heart": 0.931, "clavicles": 0.874}
    return StressCurve(
        stress.name,
        stress.unit,
        levels,
        {name: [max(0, starts[name] - fall * (abs(v) / reach) ** 1.6) for v in levels] for name, fall in falls.items()},
    )


def _compare(rng: np.random.Generator, cases: list[CaseResult]) -> Comparison:
    names = [f"{kind}_{name}" for kind in ("dice", "hd95") for name in CLASSES]
    this = np.array([[case.scores[name] for name in names] for case in cases])
    shift = np.array([0.004, 0.0, -0.02, -0.9, 0.1, 1.2])
    other = np.clip(this + rng.normal(shift, abs(shift) + 0.003, this.shape), 0, [1] * 3 + [500] * 3)
    paired = dict(zip(names, compare_paired(other, this, [case.patient for case in cases], 0), strict=True))
    adjusted = [p for first in (0, 3) for p in adjust_holm([paired[name].p_value for name in names[first : first + 3]])]
    furthest = np.argsort(-np.nan_to_num(abs(other - this)[:, :3]).max(axis=1))[:6]
    columns = abs(other - this)[:, :3].argmax(axis=1)
    moved = [
        (cases[i].case, names[columns[i]], float(this[i, columns[i]]), float(other[i, columns[i]])) for i in furthest
    ]
    return Comparison("9b22e07d11c4aa35", paired, dict(zip(names, adjusted, strict=True)), moved, len(cases))
