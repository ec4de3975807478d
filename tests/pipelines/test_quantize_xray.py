import json
import subprocess
from pathlib import Path

import pytest

from medseg.data.config import EvaluateDataConfig
from tests.support.evaluated_models import digest, place, write_shapes_model
from tests.support.prediction_command import predict, read_mask, rows
from tests.support.processes import run_forked, run_fresh
from tests.support.shape_images import write_png_folder

pytestmark = pytest.mark.slow

pytest.importorskip("nncf")


def quantize(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_forked("pipelines.quantize_xray", *arguments)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and a model that was trained on its first four cases."""
    folder = tmp_path_factory.mktemp("quantize")
    root = write_png_folder(folder / "data", 8)
    candidate, found = place(write_shapes_model(folder / "plain.pt"), EvaluateDataConfig(root=root))
    train = digest(candidate, found, *(f"case{index:02d}" for index in range(4)))
    return root, write_shapes_model(folder / "model.pt", train_digests=train)


def test_a_quantised_model_predicts_in_int8(scene: tuple[Path, Path], tmp_path: Path) -> None:
    root, model = scene
    loose = ("quantize.max_dice_loss=1", "quantize.max_case_loss=1")
    arguments = (f"model={model}", f"data.root={root}", f"output.dir={tmp_path / 'q'}", *loose)
    done = run_fresh("pipelines.quantize_xray", *arguments)
    assert done.returncode == 0, done.stderr
    loss = json.loads((tmp_path / "q" / "quantization.json").read_text())
    assert (loss["images"], loss["cases"]) == (4, 4)
    assert set(loss["dice"]) == set(loss["worst"]) == {"box", "disc"}
    assert "Dice lower by" in done.stdout
    masks = {}
    for name, path, precision in (("float", model, "fp32"), ("int8", tmp_path / "q" / "int8.pt", "int8")):
        out = tmp_path / name
        asked = ("output.formats=[png]", f"predict.precision={precision}", "predict.backend=openvino")
        done = predict(f"model={path}", f"input.dir={root / 'images'}", f"output.dir={out}", *asked)
        assert done.returncode == 0, done.stderr
        assert json.loads((out / "summary.json").read_text())["backend"] == f"openvino/cpu/{precision}"
        masks[name] = {row["path"]: read_mask(out, "disc", row) for row in rows(out)}
    for path, mask in masks["float"].items():
        assert (masks["int8"][path] == mask).mean() > 0.9


def test_a_loss_above_the_limit_leaves_no_model(scene: tuple[Path, Path], tmp_path: Path) -> None:
    root, model = scene
    limits = ("quantize.max_dice_loss=0", "quantize.max_case_loss=0")
    done = quantize(f"model={model}", f"data.root={root}", f"output.dir={tmp_path}", *limits)
    assert done.returncode == 1
    assert "error: int8 loses too much on 4 cases: " in done.stderr
    assert not (tmp_path / "int8.pt").exists()
    assert json.loads((tmp_path / "quantization.json").read_text())["cases"] == 4


def test_it_wants_the_data_of_the_training(scene: tuple[Path, Path], tmp_path: Path) -> None:
    root, _ = scene
    stranger = write_shapes_model(tmp_path / "stranger.pt")
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "int8.pt").write_text("of an earlier run")
    done = quantize(f"model={stranger}", f"data.root={root}", f"output.dir={tmp_path / 'q'}")
    assert done.returncode == 2
    assert (tmp_path / "q" / "int8.pt").exists()
    assert "holds none of the radiographs that the model was trained on" in done.stderr
