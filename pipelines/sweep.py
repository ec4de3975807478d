"""Search for the best settings of a training: `python -m pipelines.sweep`, which is `medseg.commands.sweep`."""

from medseg.commands.running import run_command
from medseg.commands.sweep import main

if __name__ == "__main__":
    run_command(main)
