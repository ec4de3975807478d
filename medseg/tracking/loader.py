"""Loads the served model from the folder of an MLflow model, which contains a copy of this file as `medseg_model.py`.

MLflow imports that copy. If medseg is not installed, it comes from `medseg.zip` beside the copy.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Any:
    """The object that answers requests; `path` is the model file, `model_config` sections of medseg's settings."""
    if find_spec("medseg") is None:
        sys.path.append(str(Path(__file__).with_name("medseg.zip")))
    return import_module("medseg.api.served").ServedModel(path, model_config or {})
