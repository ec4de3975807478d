"""The charts of an evaluation: reliability, stress, and agreement of the cardiothoracic ratio."""

import math
from collections.abc import Mapping, Sequence

from medseg.evaluation.result import CaseResult, StressCurve
from medseg.metrics.calibration import CalibrationCurve
from medseg.metrics.statistics import Agreement
from medseg.report.chart import (
    Bar,
    Chart,
    Line,
    Scale,
    Words,
    draw_dot,
    draw_line,
    find_ticks,
    label_ticks,
    round_outward,
)
from medseg.report.metric import write_number

_LEFT, _RIGHT, _TOP = 46, 12, 10
_APART = 15


def draw_reliability(name: str, index: int, curve: CalibrationCurve) -> Chart:
    """Reliability curve: the share of foreground by predicted probability, with bars for the share of pixels."""
    x, y = Scale(0, 1, _LEFT, 320 - _RIGHT), Scale(0, 1, 260, _TOP)
    total = max(int(curve.pixels.sum()), 1)
    points = list(zip(curve.predicted.tolist(), curve.observed.tolist(), strict=True))
    shares = [count / total for count in curve.pixels.tolist()]
    dots = [
        draw_dot(x, y, point, index, f"predicted {point[0]:.2f}, observed {point[1]:.2f}, {share:.1%} of pixels")
        for point, share in zip(points, shares, strict=True)
        if share
    ]
    error = write_number(curve.error, 3).text or "\N{EN DASH}"
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    return Chart(
        name,
        f"Reliability curve of {name}: expected calibration error {error}.",
        x,
        y,
        "predicted probability",
        "share of pixels in the reference",
        label_ticks(x, ticks),
        label_ticks(y, ticks),
        320,
        300,
        [Line(draw_line(x, y, [(0, 0), (1, 1)]), style="faint"), Line(draw_line(x, y, points), index, dots)],
        _stack_bars(x, y, shares),
        note=f"ECE {error}",
    )


def draw_stress(curve: StressCurve, classes: Sequence[str], low: float) -> Chart:
    """Mean Dice of each class by level, on an axis from `low` to 1, with hollow markers at the undisturbed level."""
    levels = sorted(float(level) for level in curve.levels)
    x, y = Scale(levels[0], levels[-1], _LEFT, 320 - _RIGHT), Scale(low, 1, 180, _TOP)
    drop = measure_drop(curve)
    note = f"{write_number(-drop, 2, '+').text} at worst" if drop > 0 else "no drop"
    if math.isnan(drop):
        note = "unknown"
    return Chart(
        curve.name.capitalize(),
        f"Mean Dice of {', '.join(curve.dice)} under {curve.name} ({curve.unit}): {note}.",
        x,
        y,
        curve.unit,
        "mean Dice",
        label_ticks(x, levels, _APART),
        label_ticks(y, find_ticks(low, 1)),
        320,
        234,
        [_draw_class(curve, index, name, x, y) for index, name in enumerate(classes) if name in curve.dice],
        note=note,
    )


def measure_drop(curve: StressCurve) -> float:
    """Drop of the mean Dice over classes from the undisturbed to the worst level; NaN if unknown."""
    known = [values for values in curve.dice.values() if all(map(math.isfinite, values))]
    means = [sum(level) / len(known) for level in zip(*known, strict=True)]
    return means[0] - min(means) if means else math.nan


def find_floor(curves: Sequence[StressCurve]) -> float:
    """The low end of a Dice axis that fits all curves, at most 0.9."""
    known = [value for curve in curves for values in curve.dice.values() for value in values if math.isfinite(value)]
    return min(0.9, max(0.0, math.floor(min(known, default=0) * 10) / 10))


def draw_agreement(cases: Sequence[CaseResult], agreement: Agreement) -> Chart | None:
    """Bland-Altman plot of the cardiothoracic ratio; None if no case has an error."""
    points = [(*point, case.case) for case in cases if (point := _find_point(case)) is not None]
    if not points:
        return None
    named = {"+1.96 SD": agreement.high, "bias": agreement.bias, "\N{MINUS SIGN}1.96 SD": agreement.low}
    named = {name: value for name, value in named.items() if math.isfinite(value)}
    told = ", ".join(f"{name} {value:+.3f}" for name, value in named.items())
    reach = [*named.values(), *(error for _, error, _ in points), 0]
    x = Scale(*round_outward(min(points)[0], max(points)[0]), _LEFT + 10, 400 - 66)
    y = Scale(*round_outward(min(reach), max(reach)), 270, _TOP)
    dots = [
        draw_dot(x, y, (mean, error), 0, f"{case}: {error:+.3f}", hollow=_is_beyond(error, agreement))
        for mean, error, case in points
    ]
    return Chart(
        "Bland-Altman plot",
        f"Cardiothoracic ratio of {len(points)} cases, prediction against reference: {told}.",
        x,
        y,
        _name_abscissa(cases),
        "prediction \N{MINUS SIGN} reference",
        label_ticks(x, find_ticks(x.low, x.high), _APART),
        label_ticks(y, find_ticks(y.low, y.high, 7)),
        400,
        312,
        [*_draw_rules(x, y, named), Line("", None, dots)],
        words=[
            Words(x.end + 6, y(value) + shift, text)
            for name, value in named.items()
            for shift, text in ((-2, name), (11, write_number(value, 3, "+").text))
        ],
    )


def find_ctr(case: CaseResult) -> tuple[float, float, float]:
    """Reference, prediction and error of a case's cardiothoracic ratio, completed from each other; NaN if unknown."""
    reference, prediction, error = (
        case.scores.get(f"ctr_{name}", math.nan) for name in ("reference", "prediction", "error")
    )
    if math.isnan(error):
        error = prediction - reference
    if math.isnan(reference):
        reference = prediction - error
    if math.isnan(prediction):
        prediction = reference + error
    return reference, prediction, error


def _draw_class(curve: StressCurve, index: int, name: str, x: Scale, y: Scale) -> Line:
    """The curve of one class by ascending level, with a hollow marker at the undisturbed level."""
    points = sorted(zip(map(float, curve.levels), map(float, curve.dice[name]), strict=True))
    dots = [
        draw_dot(x, y, point, index, f"{name} at {point[0]:g}: Dice {point[1]:.3f}", hollow=point[0] == curve.levels[0])
        for point in points
        if math.isfinite(point[1])
    ]
    return Line(draw_line(x, y, points), index, dots)


def _stack_bars(x: Scale, y: Scale, shares: Sequence[float]) -> list[Bar]:
    """One bar per bin. A bin with all pixels would take three tenths of the chart's height."""
    width = (x.end - x.start) / len(shares)
    heights = [round(0.3 * (y.start - y.end) * share, 1) for share in shares]
    return [
        Bar(round(x.start + place * width + 0.5, 1), round(y.start - height, 1), round(width - 1, 1), height)
        for place, height in enumerate(heights)
    ]


def _find_point(case: CaseResult) -> tuple[float, float] | None:
    """Mean and difference of the two ratios; the mean is 0 if only the difference is known."""
    reference, prediction, error = find_ctr(case)
    if math.isnan(error):
        return None
    return (0.0 if math.isnan(reference) else (reference + prediction) / 2), error


def _name_abscissa(cases: Sequence[CaseResult]) -> str:
    known = any(not math.isnan(find_ctr(case)[0]) for case in cases)
    return "mean of prediction and reference" if known else "ratios were not recorded, only their differences"


def _is_beyond(error: float, agreement: Agreement) -> bool:
    return error < agreement.low or error > agreement.high


def _draw_rules(x: Scale, y: Scale, named: Mapping[str, float]) -> list[Line]:
    """Horizontal lines at zero and at each value of `named`; the bias is solid."""
    styles = [(0.0, "faint"), *((value, "solid" if name == "bias" else "limit") for name, value in named.items())]
    return [Line(draw_line(x, y, [(x.low, value), (x.high, value)]), style=style) for value, style in styles]
