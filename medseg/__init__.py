"""X-ray segmentation: from a folder of radiographs to a tracked, resumable model. Research use only.

    import medseg

    model = medseg.load_model("best.pt")
    result = model.predict("image.dcm")
    result.masks, result.areas_mm2, result.overlay()

Each name below is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg import errors
    from medseg.api.calls import check_data, cross_validate, evaluate, train
    from medseg.api.model import Model, load_model
    from medseg.api.result import Result
    from medseg.radiograph import Radiograph, read_radiograph

__all__ = [
    "Model",
    "Radiograph",
    "Result",
    "check_data",
    "cross_validate",
    "errors",
    "evaluate",
    "load_model",
    "read_radiograph",
    "train",
]

_HOMES = {
    "Model": "medseg.api.model",
    "Radiograph": "medseg.radiograph",
    "Result": "medseg.api.result",
    "check_data": "medseg.api.calls",
    "cross_validate": "medseg.api.calls",
    "evaluate": "medseg.api.calls",
    "load_model": "medseg.api.model",
    "read_radiograph": "medseg.radiograph",
    "train": "medseg.api.calls",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("medseg")
    if name == "errors":
        return import_module("medseg.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'medseg' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
