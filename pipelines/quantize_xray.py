"""Make a model's network int8: `python -m pipelines.quantize_xray`, which is `medseg.commands.quantize_xray`."""

from medseg.commands.quantize_xray import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
