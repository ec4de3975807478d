"""Measure this machine: `python -m pipelines.benchmark`; `benchmark_config` says what can be set."""

from collections.abc import Sequence

from medseg.commands.running import run_command
from medseg.config import parse_args
from pipelines.benchmark_config import BenchmarkConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each part, show it as soon as it is known, and record all of them."""
    config = parse_args(BenchmarkConfig, argv)
    from medseg.benchmark.hardware import describe_hardware, name_machine
    from medseg.benchmark.parts import measure_parts
    from medseg.benchmark.subject import Subject
    from medseg.benchmark.table import format_table
    from medseg.output.folder import claim_folder
    from medseg.tracking.lifecycle import start_run
    from pipelines.benchmark_record import describe_run, record_benchmark

    with claim_folder(config.output.dir) as folder:
        subject = Subject(config, config.benchmark, folder)
        with start_run(**describe_run(config)) as run:
            print(name_machine(describe_hardware(subject.device)), flush=True)
            comparisons = []
            for comparison in measure_parts(subject):
                print(f"\n{format_table(comparison)}", flush=True)
                comparisons.append(comparison)
            record_benchmark(run, config, subject, comparisons, folder)


if __name__ == "__main__":
    run_command(main)
