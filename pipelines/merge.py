"""Join the shards of a prediction: `python -m pipelines.merge`, which is `medseg.commands.merge`."""

from medseg.commands.merge import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
