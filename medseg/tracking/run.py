"""Records data in one MLflow run."""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.tracking.logged_model import log_model
from medseg.tracking.store import Store, mask_all, mask_credentials

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun
    from numpy.typing import NDArray

_logger = logging.getLogger(__name__)


class Run:
    """The MLflow run of a command. If MLflow cannot record something, a warning is logged and the command continues."""

    id: str
    name: str
    ui_command: str
    """The command that opens the MLflow UI on the run's store, or the address of a server."""

    def __init__(self, client: "MlflowClient", store: Store, run: "MlflowRun") -> None:
        self.id = run.info.run_id
        self.name = run.info.run_name
        self.ui_command = store.ui_command
        self._client = client
        self._series: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers of one step in one batch. Non-finite numbers are left out, since charts cannot show them."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        finite = [Metric(key, float(value), now, step) for key, value in metrics.items() if math.isfinite(value)]
        if finite:
            with survive("metrics"):
                self._client.log_batch(self.id, metrics=finite)

    def log_input(self, name: str, context: str, digest: str, source: str, num_cases: int) -> None:
        """Record a data set that the run used.

        `context` is `training`, `validation`, `test` or `evaluation`; `digest` has up to 36 characters.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        where = json.dumps({"uri": mask_credentials(source)})
        profile = json.dumps({"num_rows": num_cases})
        dataset = Dataset(name, digest, "local", where, profile=profile)
        with survive(f"data set {name}"):
            self._client.log_inputs(self.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_image(self, image: "NDArray[np.uint8]", key: str, step: int) -> None:
        """Record an image, `(rows, columns)` or `(rows, columns, 3)`, in the series `key` over the steps.

        The UI opens a series at step 0 and is empty if it begins later: the first image is also recorded at step 0.
        The UI shows all parameters above the image: the newest image is also the artifact `<key>.png`.
        """
        with survive(f"image {key}"):
            if step != 0 and self._is_new(key):
                self._client.log_image(self.id, image, key=key, step=0)
            self._client.log_image(self.id, image, key=key, step=step)
            self._client.log_image(self.id, image, f"{key}.png")
            self._series.add(key)

    def log_figure(self, figure: "Figure", name: str) -> None:
        """Record a Matplotlib figure as the file `name`; its extension selects the format."""
        with survive(name):
            self._client.log_figure(self.id, figure, name)

    def log_text(self, text: str, name: str) -> None:
        """Record a text as the file `name`, credentials masked."""
        with survive(name):
            self._client.log_text(self.id, mask_credentials(text), name)

    def log_dict(self, values: Mapping[str, Any], name: str) -> None:
        """Record nested plain values as the file `name`, `.json` or `.yaml`, credentials masked."""
        with survive(name):
            self._client.log_dict(self.id, mask_all(dict(values)), name)

    def log_table(self, columns: Mapping[str, Sequence[Any]], name: str) -> None:
        """Record columns of equal length as the file `name` (`.json`), which the UI shows as a table.

        An existing table of this run is kept unchanged, since MLflow would append the rows to it.
        """
        pandas: Any = import_module("pandas")
        with survive(name):
            if name not in [file.path for file in self._client.list_artifacts(self.id)]:
                # dtype object: MLflow 3.17 selects object columns, and pandas 3 warns if text has dtype str
                series = {key: pandas.Series(list(values), dtype=object) for key, values in columns.items()}
                self._client.log_table(self.id, pandas.DataFrame(series), name)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Record a copy of a file in a folder of the run's artifacts (default: the top folder)."""
        with survive(path.name):
            self._client.log_artifact(self.id, str(path), folder)

    def log_model(
        self,
        network: "torch.nn.Module",
        example: "NDArray[np.float32]",
        checkpoint: Path,
        metadata: Mapping[str, str],
        register: str | None = None,
    ) -> None:
        """Record the best network as the MLflow model `runs:/<id>/model`; see `logged_model.log_model`.

        `example` is a batch of two, `(2, channels, rows, columns)`. Raises `StorageError` if it cannot be written.
        """
        log_model(network, example, checkpoint, mask_all(dict(metadata)), register)

    def _is_new(self, key: str) -> bool:
        """Whether the series has no image yet, neither from this process nor from an earlier process of the run."""
        if key in self._series:
            return False
        prefix = f"images/{key.replace('/', '~')}+step+"  # as MLflow names them
        return not any(file.path.startswith(prefix) for file in self._client.list_artifacts(self.id, "images"))


class Unrecorded(Run):
    """The run in a process that records nothing, because another process of the same training does."""

    id, name, ui_command = "", "", ""

    def __init__(self) -> None:
        pass


@contextmanager
def survive(what: str) -> Iterator[None]:
    """Turn failures of MLflow within the block into a warning; `what` names the data that are not recorded."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        _logger.warning("MLflow did not record %s: %s", what, mask_credentials(str(error).strip().splitlines()[0]))
