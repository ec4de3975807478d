"""Check a receipt: `python -m pipelines.verify`, which is `medseg.commands.verify`."""

from medseg.commands.running import run_command
from medseg.commands.verify import main

if __name__ == "__main__":
    run_command(main)
