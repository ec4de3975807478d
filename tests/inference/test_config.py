from pathlib import Path

import pytest
from pydantic import TypeAdapter

from medseg.inference.config import Addresses


@pytest.mark.parametrize("given", ["OUT/best.pt", Path("OUT/best.pt"), ["OUT/best.pt"], (Path("OUT/best.pt"),)])
def test_a_model_may_be_text_or_a_path_alone_or_in_a_list(given: object) -> None:
    assert TypeAdapter(Addresses).validate_python(given) == ("OUT/best.pt",)
