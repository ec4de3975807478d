"""JPEG 2000 at the resolution that the network needs: `input.reduce=auto`."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from medseg.phantom.chest import draw_phantom
from tests.support.dicom_files import write_dicom
from tests.support.model_files import CLASSES, write_model
from tests.support.prediction_command import by_path, contents, predict, read_mask

pytestmark = pytest.mark.slow

CODINGS = {
    "lossless": (uid.JPEG2000Lossless, {"encoding_plugin": "pylibjpeg"}),
    "lossy": (uid.JPEG2000, {"encoding_plugin": "pylibjpeg", "j2k_psnr": [60]}),
    "plain": (uid.ExplicitVRLittleEndian, None),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One chest, three times."""
    folder = tmp_path_factory.mktemp("chests")
    pixels = draw_phantom(np.random.default_rng(0), 333).pixels[:, 20:311]
    low, high = pixels.min(), pixels.max()
    twelve = ((pixels - low) / (high - low) * 4095).astype(np.uint16)
    for name, (syntax, options) in CODINGS.items():
        write_dicom(folder / f"{name}.dcm", twelve, syntax=syntax, compress=options)
    return folder


def test_masks_agree_and_another_value_makes_them_again(folder: Path, tmp_path: Path) -> None:
    model, out = write_model(tmp_path / "model.pt"), tmp_path / "out"
    given = (
        f"model={model}",
        f"input.dir={folder}",
        f"output.dir={out}",
        "predict.workers=1",
        "predict.precision=fp32",
    )
    assert predict(*given, "output.formats=[png]").returncode == 0
    whole, masks = by_path(out), contents(out / "png")
    expected = {(path, name): read_mask(out, name, row) for path, row in whole.items() for name in CLASSES}
    assert "reduction" not in whole["lossy.dcm"]

    done = predict(*given, "output.formats=[png]", "input.reduce=auto")
    assert "3 predicted now" in done.stdout
    found = by_path(out)
    assert {path: row["reduction"] for path, row in found.items()} == {
        "lossless.dcm": "4",
        "lossy.dcm": "4",
        "plain.dcm": "1",
    }
    assert json.loads((out / "summary.json").read_text())["config"]["input"]["reduce"] == "auto"
    for path, row in found.items():
        same = ("id", "rows", "columns", "spacing_row_mm", "spacing_column_mm", "spacing_source", "lossy")
        assert [row[name] for name in same] == [whole[path][name] for name in same]
        for name in CLASSES:
            first, second = expected[path, name] > 0, read_mask(out, name, row) > 0
            assert 2 * (first & second).sum() / (first.sum() + second.sum()) > (0.97 if path != "plain.dcm" else 0.9999)
    assert "0 predicted now" in predict(*given, "output.formats=[png]", "input.reduce=auto").stdout

    shown = predict(*given, "output.formats=[png,overlay]", "input.reduce=auto")
    assert "input.reduce has no effect: output.formats=overlay shows all pixels" in shown.stderr
    assert contents(out / "png") == masks
