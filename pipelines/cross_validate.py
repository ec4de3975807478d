"""Cross-validation: `python -m pipelines.cross_validate`, which is `medseg.commands.cross_validate`."""

from medseg.commands.cross_validate import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
