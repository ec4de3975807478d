"""A training on an archive: killed, resumed, and nothing left of the unpacked files."""

import json
import signal
from pathlib import Path

import pytest

from medseg.archive.unpack import PREFIX
from tests.support.archives import list_files, write_archive
from tests.support.processes import Forked, run_forked
from tests.support.training_command import TINY

pytestmark = pytest.mark.slow
MODULE = "pipelines.train_xray"


def test_a_killed_training_resumes_from_the_archive(
    trained: tuple[Path, Path, object], tmp_path: Path, store: str
) -> None:
    files = {f"DATA/{name}": content for name, content in list_files(trained[0]).items()}
    path = write_archive(tmp_path / "DATA.tar.gz", files)
    (tmp_path / "temporary").mkdir()
    settings = (f"data.root={path}", f"output.dir={tmp_path / 'out'}", f"tracking.uri={store}", "train.epochs=6")
    arguments = (*TINY, *settings)
    environment = {"TMPDIR": str(tmp_path / "temporary")}
    with Forked(MODULE, *arguments, "train.save_seconds=0.001", environment=environment) as process:
        next(line for line in process.stderr if line.startswith("epoch 2"))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=240)
    assert [each.name.startswith(PREFIX) for each in (tmp_path / "temporary").iterdir()] == [True]
    done = run_forked(MODULE, *arguments, "train.resume=true", environment=environment)
    assert done.returncode == 0, done.stderr
    assert "epoch 1 " not in done.stderr
    assert list((tmp_path / "temporary").glob(f"{PREFIX}*")) == []
    summary, plain = (json.loads((out / "summary.json").read_text()) for out in (tmp_path / "out", trained[1]))
    assert summary["data"] == str(path)
    assert (summary["test"], summary["validation"]) == (plain["test"], plain["validation"])
    assert not any(PREFIX.encode() in content for content in list_files(tmp_path / "out").values())
