"""Comparisons as lines of text, aligned."""

from collections.abc import Sequence

from medseg.benchmark.result import Comparison, Row
from medseg.benchmark.training import UNSAVED, UNSAVED_RATIO

_HEADINGS = {
    "limit": "The limit",
    "prediction": "Prediction: the network alone",
    "training": "Training: a step, ours without validation and saving",
    "folder": "End to end: a folder of files to masks on disk",
    "time_to_dice": "Time to a validation Dice",
}
_SUMMED = dict.fromkeys(("decode", "write"), " (sum of processes)")


def format_table(comparison: Comparison) -> str:
    """A heading and one line a row: time with its quartiles, rate, share of the limit, ratio, what else is known."""
    heading = f"{_HEADINGS[comparison.part]}, {comparison.title}"
    unit = comparison.unit
    share = f"of {comparison.limit_precision}"
    names: tuple[str, ...] = ("", f"s/{unit}", "quartiles", f"{unit}s/s", "GFLOP/s", share, "ratio", "")
    lines = [names, *(_format_row(comparison, row) for row in comparison.rows)]
    return "\n".join([heading, *(f"  {line}" for line in _align(lines))])


def _format_row(comparison: Comparison, row: Row) -> tuple[str, ...]:
    times = row.times
    if times is None:
        return (row.name, "-", "", "", "", "", "", _describe(row))
    low, high = times.quartiles
    return (
        row.name,
        f"{times.median:.4g}",
        f"{low:.4g} .. {high:.4g}" if len(times.turns) > 1 else "",
        f"{1 / times.median:.4g}",
        _show(row.gflops, "{:.0f}"),
        _show(comparison.fraction(row), "{:.2f}"),
        _show_ratio(comparison, row),
        _describe(row),
    )


def _show_ratio(comparison: Comparison, row: Row) -> str:
    ratio = comparison.ratio(row)
    sign = "more than " if comparison.is_bound else ""
    return "" if ratio is None else f"{sign}{ratio:.2f}"


def _describe(row: Row) -> str:
    """What else is known, as far as a line has room for it."""
    details = row.details
    found = [row.note] if row.note else []
    if "dice" in details:
        dice = " ".join(f"{name} {value:.4f}" for name, value in details["dice"].items())
        found.append(f"Dice with fp32: {dice}")
    if "loop_seconds" in details:
        found.append(f"whole loop {details['loop_seconds']:.4g} s")
    if "backend" in details:
        found.append(details["backend"])
    if "steady_images_per_second" in details:
        found.append(f"{details['steady_images_per_second']:.4g}/s after its start")
    if details.get("shares"):
        found.append(
            ", ".join(f"{name} {share:.0%}{_SUMMED.get(name, '')}" for name, share in details["shares"].items())
        )
    if UNSAVED_RATIO in details:
        found.append(f"{details[UNSAVED_RATIO]:.2f} times {UNSAVED}")
    if "best_dice" in details:
        found.append(f"best Dice {details['best_dice']:.3f}")
    return "  ".join(found)


def _show(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)


def _align(lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns of equal width, but for the last: the first to the left, the rest to the right; empty ones go."""
    columns = list(zip(*lines, strict=True))
    used = [column for column in columns[:-1] if any(column[1:])]
    widths = [max(map(len, column)) for column in used]
    aligned = []
    for index, line in enumerate(lines):
        cells = [
            column[index].ljust(width) if number == 0 else column[index].rjust(width)
            for number, (column, width) in enumerate(zip(used, widths, strict=True))
        ]
        aligned.append("  ".join([*cells, line[-1]]).rstrip())
    return aligned
