"""The settings of MLflow tracking."""

import warnings
from typing import Annotated, Self

from pydantic import StringConstraints, field_validator, model_validator

from medseg.config import Section, expand_home

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=250)]


class StoreConfig(Section):
    """Location of the MLflow store."""

    uri: Name | None = None
    """MLflow store: `sqlite:///FILE` or the `http(s)://` address of a server. In FILE, write `%` as `%25` and `?` as
    `%3F`. null: environment variable MLFLOW_TRACKING_URI, else `mlruns/mlflow.db` in the working folder."""

    @field_validator("uri")
    @classmethod
    def _expand_home_of_file(cls, uri: str | None) -> str | None:
        """`sqlite:///~/FILE` with `~` replaced by the user's home folder."""
        scheme, mark, name = (uri or "").partition(":///")
        return f"{scheme}{mark}{expand_home(name)}" if mark else uri


# pydantic warns that `register` shadows a method of ABCMeta; instances never have that method
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", 'Field name "register"', UserWarning)

    class TrackingConfig(StoreConfig):
        """How MLflow records the run."""

        experiment: Name = "medseg"
        """MLflow experiment of the run. An experiment that does not exist is created."""

        run_name: Name | None = None
        """Name of the run. null: the name of the data set, the time and four random characters."""

        description: str | None = None
        """Purpose of this run, in Markdown, shown on its MLflow page. null: the command that started it."""

        register: Name | None = None
        """Name under which the best model is registered in the MLflow model registry. null: not registered."""

        system_metrics: bool = True
        """Record the usage of CPU, memory, disk, network and GPU every few seconds."""

    class EvaluateTrackingConfig(StoreConfig):
        """How MLflow records the evaluation."""

        experiment: Name = "medseg"
        """MLflow experiment of the evaluation. An experiment that does not exist is created. If the MLflow store
        contains the training run of the model, the evaluation joins the experiment of that run, and this setting is not
        used."""

        run_name: Name | None = None
        """Name of the run. null: the name of the training run, followed by the name of the data set."""

        description: str | None = None
        """Purpose of this evaluation, in Markdown, shown on its MLflow page. null: the command that started it."""

        register: Name | None = None
        """Name of a registered model. The evaluated model must be one of its versions. Required by tracking.promote."""

        record: bool = True
        """Record metrics, report, per-case table and the worst cases in a run nested under the model's training run."""

        promote: bool = False
        """Make this model the champion of the registered model tracking.register, if it beats the present champion."""

        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.promote and not (self.register and self.record):
                raise ValueError("tracking.promote=true needs tracking.register=NAME and tracking.record=true")
            return self
