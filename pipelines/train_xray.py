"""Train a U-Net on radiographs: `python -m pipelines.train_xray`, which is `medseg.commands.train_xray`."""

from medseg.commands.running import run_command
from medseg.commands.train_xray import main

if __name__ == "__main__":
    run_command(main, together=True)
