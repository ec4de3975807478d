import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from medseg.commands.demo import DemoConfig
from medseg.config import parse_args
from medseg.errors import ConfigError


@pytest.mark.slow
def test_the_demonstration_ends_with_the_report(tmp_path, tracking):
    small = ["demo.minutes=0.02", "demo.num_cases=8", "demo.num_new=3", "demo.size=96", f"tracking.uri={tracking.uri}"]
    command = [sys.executable, "-m", "medseg", "demo", *small, "output.dir=with space"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    said, address = done.stdout.splitlines()[-1].split(": ")
    assert said == "Open the report in a browser"
    assert "<html" in Path(unquote(urlsplit(address).path)).read_text()
    assert json.loads((tmp_path / "with space" / "evaluation" / "metrics.json").read_text())["cases"] == 3
    assert len(list((tmp_path / "with space" / "masks" / "overlay").iterdir())) == 3
    for step in (
        "1. Drawing 11",
        "2. Training a network on 8 of them",
        "3. Segmenting the 3",
        "4. Measuring",
    ):
        assert step in done.stdout


@pytest.mark.parametrize("setting", ["demo.size=32", "demo.size=5000", "demo.num_cases=2"])
def test_phantoms_that_cannot_be_drawn_or_split_are_refused(setting):
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        parse_args(DemoConfig, [setting])
