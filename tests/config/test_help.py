import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import format_help, leaf_fields, parse_args
from tests.support.config_sections import Job

ROOT = Path(__file__).parents[2]


def test_help_lists_every_key_with_meaning_type_and_default():
    text = format_help(Job)
    for line in (
        "Top level: A job.",
        "  seed (int, default 0)\n      Decides all.",
        "  steps (int > 0, default 10)\n      How many.",
        "data: What is read.",
        "  data.root (path | null, default null)\n      Where the data lie.",
        "  data.classes ([text, ...] | null, default null)",
        "  data.folds (int >= 2 <= 100 | null, default null)",
        "  data.share ([float >= 0 <= 1, float >= 0 <= 1], default [0.5, 0.5])",
        "  optim.rate (float > 0, default 0.001)",
        "  optim.resume (bool | path, default false)",
        "  optim.threshold (float > 0 < 1 | best, default 0.5)",
        "  optim.kind (adam | sgd, default adam)",
    ):
        assert line in text


def test_help_shows_the_values_of_a_recipe(capsys):
    with pytest.raises(SystemExit):
        parse_args(TrainXrayConfig, ["chest_xray", "train.epochs=7", "no.such=key", "--help"])
    text = capsys.readouterr().out
    assert "  train.minutes (float > 0 | null, default null, here 10)" in text
    assert "  train.epochs (int > 0 | null, default null, here 7)" in text
    assert "  preprocess.size ([int >= 16 <= 8192, int >= 16 <= 8192], default [256, 256], here [320, 320])" in text


def test_help_of_training_is_complete(capsys):
    with pytest.raises(SystemExit) as ended:
        parse_args(TrainXrayConfig, ["train.epochs=nonsense", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for key, field, _ in leaf_fields(TrainXrayConfig):
        assert f"  {key} (" in text
        assert field.description, f"{key} has no meaning"


def test_help_is_quick_and_light():
    code = "import sys, pipelines.train_xray as t; t.main(['--help'])"
    heavy = "sorted({'torch', 'monai', 'mlflow', 'numpy'} & set(sys.modules))"
    check = f"import atexit; atexit.register(lambda: print({heavy}));"
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {check} {code}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 5  # 0.4 s, whatever else the machine does


@pytest.mark.slow
@pytest.mark.parametrize("module", ["train_xray", "check_data"])
def test_help_that_nobody_reads_on_ends_quietly(module):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", f"pipelines.{module}", "--help"]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
