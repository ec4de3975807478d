"""Convert a data set to another format: `python -m pipelines.export`, which is `medseg.commands.export`."""

from medseg.commands.export import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
