"""Ranks cases by Dice, and chooses the worst, the median and the best."""

import math
from collections.abc import Sequence

from medseg.evaluation.result import CaseResult


def rank_cases(cases: Sequence[CaseResult], classes: Sequence[str]) -> list[tuple[float, CaseResult]]:
    """Mean Dice over classes and case, worst first. Cases without a Dice are left out."""
    scored = [(_average_dice(case, classes), case) for case in cases]
    return sorted((pair for pair in scored if math.isfinite(pair[0])), key=lambda pair: (pair[0], pair[1].case))


def choose_cases(cases: Sequence[CaseResult], classes: Sequence[str], number: int) -> list[CaseResult]:
    """The `number` worst cases, `number` cases around the median and the `number` best, worst first, each once."""
    ranked = [case for _, case in rank_cases(cases, classes)]
    middle = max(0, (len(ranked) - number) // 2)
    chosen = {*range(number), *range(middle, middle + number), *range(len(ranked) - number, len(ranked))}
    return [case for place, case in enumerate(ranked) if place in chosen]


def _average_dice(case: CaseResult, classes: Sequence[str]) -> float:
    known = [case.scores.get(f"dice_{name}", math.nan) for name in classes]
    known = [value for value in known if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
