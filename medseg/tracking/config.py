"""Where a run is recorded and what it is called."""

import warnings
from typing import Annotated, Self

from pydantic import StringConstraints, field_validator, model_validator

from medseg.config import Section, expand_home

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=250)]


class StoreConfig(Section):
    """Where MLflow's store is."""

    uri: Name | None = None
    """MLflow store: `sqlite:///FILE`, in which `%` is written `%25` and `?` `%3F`, or the `http(s)://` address of a
    server. Null: what the environment's MLFLOW_TRACKING_URI says, else `mlruns/mlflow.db` in the working folder."""

    @field_validator("uri")
    @classmethod
    def _expand_home_of_file(cls, uri: str | None) -> str | None:
        """`sqlite:///~/FILE` with the folder of the user."""
        scheme, mark, name = (uri or "").partition(":///")
        return f"{scheme}{mark}{expand_home(name)}" if mark else uri


# `register` is also a method of ABCMeta, which no instance ever sees
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", 'Field name "register"', UserWarning)

    class TrackingConfig(StoreConfig):
        """Where MLflow records the run."""

        experiment: Name = "medseg"
        """MLflow experiment that the run belongs to; created if new."""

        run_name: Name | None = None
        """Name of the run. Null: the data set's, the time and four random characters."""

        description: str | None = None
        """What this run is for, in Markdown, on top of its page. Null: the command that started it."""

        register: Name | None = None
        """Name in MLflow's model registry under which the best model is registered. Null: not registered."""

        system_metrics: bool = True
        """Record the usage of CPU, memory, disk, network and GPU every few seconds."""

    class EvaluateTrackingConfig(StoreConfig):
        """Where MLflow records the evaluation."""

        experiment: Name = "medseg"
        """MLflow experiment of the run, created if new, where the store does not know the run that trained the model;
        else that run's."""

        run_name: Name | None = None
        """Name of the run. Null: the data set's, after that of the run that trained the model."""

        description: str | None = None
        """What this evaluation is for, in Markdown, on top of its page. Null: the command that started it."""

        register: Name | None = None
        """Name of the registered model that has the evaluated one among its versions; tracking.promote needs it."""

        record: bool = True
        """Record metrics, report, per-case table and the worst cases in a run below the one that trained the model."""

        promote: bool = False
        """Make the model champion of the registered model tracking.register, where it beats the champion there is."""

        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.promote and not (self.register and self.record):
                raise ValueError("tracking.promote=true needs tracking.register=NAME and tracking.record=true")
            return self
