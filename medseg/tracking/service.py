"""The part of an MLflow model that answers requests: the code that loads it, what that needs, and its signature."""

import re
import shutil
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.tracking.store import import_mlflow

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

_PACKAGE = Path(__file__).parents[1]
_CODE = "code"
_LOADER = "medseg_model"


def add_service(folder: Path, model: "Model", checkpoint: str) -> None:
    """Add the flavor `python_function` to the MLflow model in `folder`; `checkpoint` is a path in it.

    Its code needs no unpickling. It is a loader and, for machines without medseg, a copy of the package without its
    start weights. An installed medseg is preferred to that copy, so that a corrected version also serves old models.
    """
    mlflow = import_mlflow()
    code = folder / _CODE
    code.mkdir()
    shutil.copy(Path(__file__).with_name("loader.py"), code / f"{_LOADER}.py")
    _zip_package(code / "medseg.zip")
    model.signature = describe_service()
    model.saved_input_example_info = None  # type: ignore[assignment]
    for example in ("input_example.json", "serving_input_example.json"):  # the tensor that the network was traced with
        (folder / example).unlink(missing_ok=True)
    mlflow.pyfunc.add_to_model(
        model,
        loader_module=_LOADER,
        data=checkpoint,
        code=_CODE,
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        model_config={"predict": {}, "input": {}},  # MLflow ignores other keys than these
    )
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.save(folder / "MLmodel")


def list_requirements() -> list[str]:
    """The libraries that medseg needs, in the installed versions, as lines for pip. medseg itself is not among them."""
    lines = [line for line in distribution("medseg").requires or () if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line)[0] for line in lines]
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def describe_service() -> "ModelSignature":
    """The columns of a request, of its answer, and the parameters; docs/serve.md explains them."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, Map, Object, Property

    whole, real, text = DataType.long, DataType.double, DataType.string
    parts: dict[str, Any] = {"size": Array(whole), "counts": Array(whole), "png": text}
    mask = Object([Property(name, kind, required=False) for name, kind in parts.items()])
    given = {"row_mm": real, "column_mm": real, "view": text}
    answered: dict[str, Any] = {
        "error": text,
        "size": Array(whole),
        "masks": Map(mask),
        "areas_px": Map(whole),
        "areas_mm2": Map(real),
        "area_plane": text,
        "cardiothoracic_ratio": real,
        "warnings": Array(text),
        "seg": text,
        "model": text,
    }
    return ModelSignature(
        inputs=Schema([ColSpec(text, "image"), *(ColSpec(kind, name, required=False) for name, kind in given.items())]),
        outputs=Schema([ColSpec(kind, name, required=False) for name, kind in answered.items()]),
        params=ParamSchema([ParamSpec("masks", text, "rle"), ParamSpec("seg", DataType.boolean, False)]),
    )


def _zip_package(path: Path) -> None:
    """Write medseg's modules, with the metadata that tell their version."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for module in sorted(_PACKAGE.rglob("*.py")):
            archive.write(module, module.relative_to(_PACKAGE.parent))
        known = version("medseg")
        metadata = f"Metadata-Version: 2.1\nName: medseg\nVersion: {known}\n"
        archive.writestr(f"medseg-{known}.dist-info/METADATA", metadata)
