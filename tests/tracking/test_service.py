"""What the service needs. tests/tracking/test_logged_model.py loads it, tests/api/test_serving.py serves it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

from medseg.api.served import FIELDS
from medseg.tracking.service import describe_service, list_requirements
from tests.support.processes import ROOT


def test_requirements_are_the_dependencies_of_medseg_without_extras() -> None:
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split("[><=!]", line)[0] for line in lines]
    assert list_requirements() == [f"{name}=={version(name).partition('+')[0]}" for name in names]


def test_signature_names_the_fields_and_parameters_of_the_service() -> None:
    """MLflow drops columns and parameters that the signature does not have."""
    signature = describe_service()
    assert signature.outputs.input_names() == [*FIELDS, "model"]
    assert {spec.name: spec.default for spec in signature.params} == {"masks": "rle", "seg": False}
    assert signature.inputs.required_input_names() == ["image"]


def test_page_of_the_service_names_each_field() -> None:
    page = Path(ROOT, "docs/serve.md").read_text(encoding="utf-8")
    signature = describe_service()
    for name in (*signature.inputs.input_names(), *signature.outputs.input_names()):
        assert f"| `{name}` |" in page
