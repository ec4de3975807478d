"""Evaluate a model on a data set: `python -m pipelines.evaluate_xray`, which is `medseg.commands.evaluate_xray`."""

from medseg.commands.evaluate_xray import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
