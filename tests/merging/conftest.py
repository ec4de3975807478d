"""One folder with all kinds of files, predicted by one run and as two shards, for all tests that only read them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.support.archives import write_archive
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.prediction_command import predict

EPOCH = 1_700_000_000


class Predicted(NamedTuple):
    settings: tuple[str, ...]
    """Model, input and formats."""
    plain: Path
    shards: tuple[Path, Path]


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Predicted:
    root = tmp_path_factory.mktemp("sharded")
    inputs, model = root / "in", write_model(root / "model.pt")
    (inputs / "new").mkdir(parents=True)
    for index in range(5):
        pixels = np.roll(phantom(40, 32), 3 * index, axis=1)
        write_dicom(inputs / "new" / f"{index}.dcm", pixels, SOPInstanceUID=f"1.2.3.{index + 1}")
    first = (inputs / "new/0.dcm").read_bytes()
    for name in "xyz":
        (inputs / f"{name}.dcm").write_bytes(first)  # duplicates in both shards
    other = (inputs / "new/1.dcm").read_bytes()
    write_archive(inputs / "a.zip", {"z.dcm": other, "b.dcm": first, "cut.dcm": first[:300]})
    (inputs / "notes.txt").write_text("no image")
    (inputs / "gone.dcm").symlink_to("nowhere")
    settings = (f"model={model}", f"input.dir={inputs}", "output.formats=[seg,png]", "predict.workers=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
        for name, more in (("plain", ()), ("one", ("predict.shard=1/2",)), ("two", ("predict.shard=2/2",))):
            done = predict(*settings, f"output.dir={root / name}", *more)
            assert done.returncode in (0, 1), done.stderr
    return Predicted(settings, root / "plain", (root / "one", root / "two"))
