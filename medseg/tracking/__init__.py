"""Records trainings and evaluations in MLflow. No code outside this package uses MLflow."""

from medseg.tracking.config import TrackingConfig
from medseg.tracking.lifecycle import start_run
from medseg.tracking.logged_model import download_model_checkpoint
from medseg.tracking.run import Run

__all__ = ["Run", "TrackingConfig", "download_model_checkpoint", "start_run"]
