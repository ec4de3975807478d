"""Measure this machine, and medseg beside the article's loops on it. Research use only. Not for clinical use.

usage: python -m pipelines.benchmark [FILE.yaml] [benchmark.parts=[limit,prediction]] [section.key=value ...]

Who is compared takes turns in one run. Prints a table, and writes benchmark.json (all figures), benchmark.png (a chart)
and an MLflow run. Ratios hold between machines better than times do; close other programs before.
FILE.yaml may be one of train_xray: data, model, loss, optim, train and so on are those of the training that runs
for benchmark.dice, on phantoms unless data.root is given; nothing else depends on model and preprocess.
The article's training loop, as written, also writes a picture each step and its weights every ten (in "article, nothing
saved" it does not); ours is the step alone, without validation and saving. A folder's decode and write shares are sums
over processes, which may exceed 100%. "Dice with fp32" is of a network of benchmark.fit_seconds, unsure of small
organs; benchmark.model=M takes a trained one.
A quarter of an hour on two cores. Exit code 0: measured; 1: failed under way; 2: could not start; 130, 143: stopped.
"""

from collections.abc import Sequence
from pathlib import Path

from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.config import parse_args
from medseg.output.config import OutputConfig
from medseg.tracking.config import TrackingConfig
from medseg.training.recipe import Recipe


class BenchmarkOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/benchmark")
    """The folder of this command's results; one process at a time writes into it."""


class BenchmarkConfig(BenchmarkRecipe):
    """One benchmark."""

    recipe = Recipe

    tracking: TrackingConfig = TrackingConfig()
    output: BenchmarkOutputConfig = BenchmarkOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each part, show it as soon as it is known, and record all of them."""
    config = parse_args(BenchmarkConfig, argv)
    from medseg.benchmark.bench import Bench
    from medseg.benchmark.machine import describe_machine, name_machine
    from medseg.benchmark.parts import measure_parts
    from medseg.benchmark.record import describe_benchmark, record_benchmark
    from medseg.benchmark.table import format_table
    from medseg.output.folder import claim_folder
    from medseg.tracking.lifecycle import start_run

    with claim_folder(config.output.dir) as folder:
        bench = Bench(config, folder)
        with start_run(**describe_benchmark(config, config.tracking)) as run:
            print(name_machine(describe_machine(bench.device)), flush=True)
            contests = []
            for contest in measure_parts(bench):
                print(f"\n{format_table(contest)}", flush=True)
                contests.append(contest)
            print(record_benchmark(run, config, bench.device, contests, folder))
