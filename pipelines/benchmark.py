"""Measure this machine: `python -m pipelines.benchmark`, which is `medseg.commands.benchmark`."""

from medseg.commands.benchmark import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
