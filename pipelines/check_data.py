"""Check a data set before training on it: `python -m pipelines.check_data`, which is `medseg.commands.check_data`."""

from medseg.commands.check_data import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
