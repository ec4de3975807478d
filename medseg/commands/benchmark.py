"""Measure the speed of this machine, of medseg and of the article's code. Research use only. Not for clinical use.

usage: medseg benchmark [RECIPE] [benchmark.parts=[limit,prediction]] [section.key=value ...]
       In the repository, python -m pipelines.benchmark takes the same arguments.

The programs that are compared take turns in one run. The command prints a table, and writes benchmark.json (all
figures), benchmark.png (a chart) and an MLflow run. It takes a quarter of an hour on two cores. Close other programs
first. Ratios carry over to other machines better than times do.
RECIPE may be a recipe of the train command. Its settings apply to the training that must reach benchmark.dice. This
training uses phantoms unless data.root is given. The other parts do not depend on model and preprocess.
The article's training loop, as published, writes an image at each step and its weights at every tenth step. The row
"article, nothing saved" is the same loop without writing. The rows of medseg are the training step alone, without
validation and saving.
The decode and write shares of a folder are sums over processes, and may exceed 100%. "Dice with fp32" compares masks
with the fp32 masks. The network is trained for benchmark.fit_seconds. To use a trained model, give benchmark.model=M.
Exit code 0: measured; 1: failed; 2: could not start; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from pathlib import Path

from medseg.benchmark.recipe import BenchmarkRecipe
from medseg.config import parse_args
from medseg.output.config import OutputConfig
from medseg.sweep.recipe import SweepRecipe
from medseg.tracking.config import TrackingConfig


class BenchmarkOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/benchmark")
    """Folder for the results of this command. Only one process at a time may write into it."""


class BenchmarkConfig(BenchmarkRecipe):
    """One benchmark."""

    recipe = SweepRecipe

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
    from medseg.data.layouts.archive import open_data
    from medseg.output.folder import claim_folder
    from medseg.tracking.lifecycle import start_run

    with claim_folder(config.output.dir) as folder, open_data(config.data) as data:
        bench = Bench(config.model_copy(update={"data": data}), folder)
        with start_run(**describe_benchmark(config, config.tracking)) as run:
            print(name_machine(describe_machine(bench.device)), flush=True)
            contests = []
            for contest in measure_parts(bench):
                print(f"\n{format_table(contest)}", flush=True)
                contests.append(contest)
            print(record_benchmark(run, config, bench.device, contests, folder))
