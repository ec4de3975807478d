"""A model that answers requests of `mlflow models serve`: image files as base64 text in, plain values out."""

import base64
import binascii
import logging
import math
import tempfile
import traceback
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.annotations.runs import encode, to_counts
from medseg.api.model import load_model
from medseg.api.result import Result
from medseg.errors import ConfigError, MedsegError, RadiographError, StorageError
from medseg.output.images import OWN_TEXT
from medseg.output.png import encode_mask

MAX_ROWS = 64
"""Rows in a request."""
MAX_BYTES = 1 << 27
"""Bytes of an image file."""

FIELDS = ("error", "size", "masks", "areas_px", "areas_mm2", "area_plane", "cardiothoracic_ratio", "warnings", "seg")
"""The fields of an answer, besides the digest of the `model`."""

_logger = logging.getLogger(__name__)


class ServedModel:
    """A model as the flavor `python_function` of MLflow. Several threads may call it at once.

    Images are predicted one after another, because each one uses all cores, and so that no more than one is in memory.
    """

    def __init__(self, path: str, settings: Mapping[str, Any]) -> None:
        """`path` is a model file; `settings` are sections of `medseg predict`, as for `medseg.load_model`."""
        self._model = load_model(path, settings)
        self._model.backend  # noqa: B018 (chosen now, not at the first request)
        self._lock = Lock()

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """One answer for each row of the pandas data frame `data`; docs/serve.md describes rows and answers.

        A row that cannot be answered has an `error`, one sentence without values of the file; its other fields are
        None. It does not affect the other rows.
        """
        options = {"masks": "rle", "seg": False, **(params or {})}
        return [self._answer(index, row, **options) for index, row in enumerate(data.to_dict("records"))]

    def _answer(self, index: int, row: Mapping[str, Any], masks: str, seg: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {**dict.fromkeys(FIELDS), "model": self._model.digest}
        try:
            if index >= MAX_ROWS:
                raise ConfigError(f"image: the request has more than {MAX_ROWS} rows. Send the others in a new one")
            if masks not in _MASKS:
                raise ConfigError(f"masks: {masks!r} is unknown; the forms are {', '.join(_MASKS)}")
            image, spacing_mm, view = _decode(row.get("image")), _find_spacing(row), row.get("view")
            with self._lock:
                result = self._model.predict(image, spacing_mm=spacing_mm, view=view if isinstance(view, str) else None)
                answer |= _describe(result, masks, seg)
        except StorageError as error:
            answer["error"] = "seg: the server could not write a temporary file. Make room in its folder for them"
            _log_failure(error)
        except RadiographError as error:
            answer["error"] = f"image: {error.reason}"
        except MedsegError as error:
            answer["error"] = str(error)
        except Exception as error:  # the other rows go on
            answer["error"] = f"image: could not be processed ({type(error).__name__})"
            _log_failure(error)
        return answer


def _decode(text: Any) -> bytes:
    """The content of the file in a row. Raises `RadiographError`."""
    if not isinstance(text, str):
        raise RadiographError("is missing or not text. Give a file as base64 text")
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise RadiographError(f"has about {len(text) * 3 // 4} bytes; the limit is {MAX_BYTES} bytes", "too-large")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise RadiographError("is not base64 text") from None


def _find_spacing(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """The spacing `(row, column)` in a row; a value that is not given is None, or NaN if other rows give it."""
    sides = [row.get(name) for name in ("row_mm", "column_mm")]
    given = [side for side in sides if side is not None and not math.isnan(side)]
    if len(given) == 1:
        raise ConfigError("row_mm, column_mm: only one is given. Give both, or none")
    return (given[0], given[1]) if given else None


def _describe(result: Result, masks: str, seg: bool) -> dict[str, Any]:
    """The fields of an answer that come from a result."""
    write, doubts, encoded = _MASKS[masks], [], None
    if seg:
        try:
            encoded = _encode_seg(result)
        except RadiographError as error:
            doubts.append(error.reason)
    return {
        "size": list(result.radiograph.pixels.shape[:2]),
        "masks": {name: write(mask) for name, mask in result.masks.items()},
        "areas_px": dict(result.areas_px),
        "areas_mm2": None if result.areas_mm2 is None else dict(result.areas_mm2),
        "area_plane": result.area_plane,
        "cardiothoracic_ratio": result.cardiothoracic_ratio,
        "warnings": [*result.warnings, *doubts],
        "seg": encoded,
    }


def _write_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The run lengths of COCO, uncompressed: down the columns, background first."""
    return {"size": list(mask.shape), "counts": to_counts(encode(mask, "columns", whole=True))}


def _write_png(mask: NDArray[np.bool_]) -> dict[str, Any]:
    return {"png": base64.b64encode(encode_mask(mask, OWN_TEXT)).decode()}


_MASKS = {"rle": _write_rle, "png": _write_png}


def _encode_seg(result: Result) -> str:
    """The DICOM SEG as base64 text. Raises `RadiographError` if there can be none for this image."""
    with tempfile.TemporaryDirectory(prefix="medseg-") as folder:
        (path,) = result.write(folder, ["seg"])
        return base64.b64encode(path.read_bytes()).decode()


def _log_failure(error: Exception) -> None:
    """Log the kind of an exception and where it was raised, without its message, which may contain values of a file."""
    _logger.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
