"""Measure this machine: `python -m pipelines.benchmark`; `--help` says what can be set."""

from medseg.commands.benchmark import main
from pipelines.command import run_command

if __name__ == "__main__":
    run_command(main)
