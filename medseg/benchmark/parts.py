"""Runs the parts of a benchmark one after the other."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from medseg.benchmark.bench import Bench
from medseg.benchmark.config import Part
from medseg.benchmark.contest import Contest
from medseg.benchmark.folder import measure_folder
from medseg.benchmark.limit import measure_limit
from medseg.benchmark.prediction import measure_prediction
from medseg.benchmark.time_to_dice import measure_time_to_dice
from medseg.benchmark.training import measure_training
from medseg.hardware.compiler import compiling
from medseg.hardware.cpu import freed_memory_kept, threads_limited

_logger = logging.getLogger(__name__)
_PARTS: Mapping[Part, Callable[[Bench], Iterator[Contest]]] = {
    "limit": measure_limit,
    "prediction": measure_prediction,
    "folder": measure_folder,
    "training": measure_training,
    "time_to_dice": measure_time_to_dice,
}


def measure_parts(bench: Bench) -> Iterator[Contest]:
    """The contests of `benchmark.parts`, each as soon as it is over; the duration of each part is logged.

    The order is fixed, with training last, since training changes the process's memory allocation, as `fit_network`
    does. This speeds up the article's training too, so that ratios are slightly too small.
    """
    with threads_limited(bench.hardware), compiling(), ExitStack() as held:
        for part, measure in _PARTS.items():
            if part not in bench.settings.parts:
                continue
            if part in ("training", "time_to_dice") and bench.device.type == "cpu":
                held.enter_context(freed_memory_kept())
            start = time.monotonic()
            yield from measure(bench)
            _logger.info("%s: %.0f s", part, time.monotonic() - start)
