"""Convert a data set to another format: `python -m pipelines.convert`, which is `medseg.commands.convert`."""

from medseg.commands.convert import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
