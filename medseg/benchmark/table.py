"""Contests as aligned text tables."""

from medseg.benchmark.contest import UNSAVED, Contest, Contestant, find_quartiles

_HEADINGS = {
    "limit": "The limit",
    "prediction": "Prediction: the network alone",
    "training": "Training: one step, for medseg without validation and saving",
    "folder": "End to end: a folder of files to masks on disk",
    "time_to_dice": "Time to a validation Dice",
}
_SUMMED = dict.fromkeys(("decode", "write"), " (sum of processes)")
_DETAILS = {
    "dice": "Dice with fp32: {}",
    "loop_seconds": "whole loop {:.4g} s",
    "backend": "{}",
    "steady_images_per_second": "{:.4g} images/s after its start",
    "shares": "{}",
    "ratio_to_nothing_saved": f"{{:.2f}} times {UNSAVED}",
    "best_dice": "best Dice {:.3f}",
}


def format_table(contest: Contest) -> str:
    """A heading, and a line per contestant: time with quartiles, rate, share of the limit, ratio, details.

    The first column is left-aligned, the others are right-aligned, except the details; empty columns are left out.
    """
    unit, share = contest.unit, f"of {contest.limit_precision}"
    names = ("", f"s/{unit}", "quartiles", f"{unit}s/s", "GFLOP/s", share, "ratio", "")
    lines = [names, *(_format(contest, who) for who in contest.contestants)]
    *columns, last = zip(*lines, strict=True)
    widths = [max(map(len, column)) if any(column[1:]) else 0 for column in columns]
    shown = [f"{_HEADINGS[contest.part]}, {contest.title}"]
    for (first, *others), end in zip(zip(*columns, strict=True), last, strict=True):
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True) if width]
        shown.append(f"  {'  '.join([first.ljust(widths[0]), *cells, end])}".rstrip())
    return "\n".join(shown)


def _format(contest: Contest, who: Contestant) -> tuple[str, ...]:
    if who.seconds is None:
        return who.name, "-", *[""] * 5, _describe(who)
    low, high = find_quartiles(who.turns)
    return (
        who.name,
        f"{who.seconds:.4g}",
        f"{low:.4g} .. {high:.4g}" if len(who.turns) > 1 else "",
        f"{1 / who.seconds:.4g}",
        _show(who.gflops, "{:.0f}"),
        _show(contest.fraction(who), "{:.2f}"),
        _show(contest.ratio(who), "more than {:.2f}" if contest.is_bound else "{:.2f}"),
        _describe(who),
    )


def _describe(who: Contestant) -> str:
    """The note and the details that fit on a line."""
    details, said = who.details, dict(who.details)
    said["dice"] = " ".join(f"{name} {value:.4f}" for name, value in details.get("dice", {}).items())
    shares = details.get("shares", {}).items()
    said["shares"] = ", ".join(f"{name} {share:.0%}{_SUMMED.get(name, '')}" for name, share in shares)
    found = [template.format(said[name]) for name, template in _DETAILS.items() if said.get(name) not in (None, "")]
    return "  ".join([who.note, *found] if who.note else found)


def _show(value: float | None, template: str) -> str:
    return "" if value is None else template.format(value)
