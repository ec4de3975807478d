"""Segment a folder of radiographs: `python -m pipelines.predict_dicom`, which is `medseg.commands.predict_dicom`."""

from medseg.commands.predict_dicom import main
from medseg.commands.running import run_command

if __name__ == "__main__":
    run_command(main)
