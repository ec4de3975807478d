import inspect
import json
import re
import textwrap

import numpy as np
import pytest
from PIL import Image

import medseg
from medseg.errors import ConfigError, DataError
from tests.support.dicom_files import write_dicom
from tests.support.model_files import write_model
from tests.support.shape_images import write_png_folder

SMALL = {
    "model.width": 4,
    "model.depth": 2,
    "preprocess.size": [32, 32],
    "train.batch_size": 4,
    "train.epochs": 1,
    "tracking.system_metrics": False,
}


@pytest.mark.slow
def test_a_training_an_evaluation_and_a_check_give_what_their_files_hold(tmp_path, tracking):
    data, store = write_png_folder(tmp_path / "data", 12), {"tracking.uri": tracking.uri}
    trained = medseg.train(SMALL, store, {"data": {"root": data}, "output.dir": tmp_path / "out"})
    assert trained.summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert trained.model == tmp_path / "out" / "best.pt"
    given = {"model": trained.model, "data.root": data, "data.subset": "all", "output.dir": tmp_path / "results"}
    evaluated = medseg.evaluate({**given, "model": str(trained.model)}, store)
    assert evaluated.metrics == json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert len(evaluated.evaluation.cases) == 12
    assert evaluated.report.is_file()
    checked = medseg.check_data({"data.root": data, "output.dir": tmp_path / "check"})
    kept = json.loads((tmp_path / "check" / "check.json").read_text())["findings"]
    assert [finding.code for finding in checked.findings] == [finding["code"] for finding in kept]
    assert not checked.has_errors
    assert checked.report.is_file()


def test_mistakes_raise_what_the_commands_report(tmp_path):
    with pytest.raises(ConfigError, match="2 problems") as raised:
        medseg.train("chest_xray", {"train.epoch": 3, "data.root": "/no/such"})
    assert "did you mean 'train.epochs'" in str(raised.value)
    with pytest.raises(ConfigError, match="did you mean the recipe 'chest_xray'"):
        medseg.train("chest_xry")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError):
        medseg.evaluate({"model": str(write_model(tmp_path / "best.pt")), "data.root": tmp_path})


def list_examples():
    """The indented code of each docstring of the face."""
    for name in medseg.__all__:
        found = getattr(medseg, name)
        members = [found, *(vars(found).values() if inspect.isclass(found) else ())]
        for member in members:
            text = textwrap.dedent(f"    {inspect.cleandoc(member.__doc__ or '')}") if callable(member) else ""
            for code in re.findall(r"^\n((?:    .*\n?)+)", text, re.MULTILINE):
                yield pytest.param(textwrap.dedent(code), id=f"{name}.{getattr(member, '__name__', '')}")
    yield pytest.param(textwrap.dedent(re.search(r"\n\n((?:    .*\n|\n)+)\n", medseg.__doc__)[1]), id="medseg")


EXAMPLES = list(list_examples())


def test_each_function_of_the_face_has_an_example():
    shown = "\n".join(example.values[0] for example in EXAMPLES)
    for name in ("load_model", "read_radiograph", "train", "evaluate", "check_data", "cross_validate"):
        assert f"medseg.{name}(" in shown
    for name in ("predict", "predict_folder", "overlay", "write"):
        assert f".{name}(" in shown


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code, tmp_path, monkeypatch, tracking):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
    write_png_folder(tmp_path / "DATA", 12)
    for path in (tmp_path / "OUT" / "best.pt", tmp_path / "best.pt"):
        path.parent.mkdir(exist_ok=True)
        write_model(path, ("box", "disc", "lungs", "heart"))
    for path in (tmp_path / "INPUT" / "image.dcm", tmp_path / "image.dcm"):
        path.parent.mkdir(exist_ok=True)
        write_dicom(path)
    if "train(" in code or "cross_validate(" in code:  # as written, but small
        (tmp_path / "OUT" / "best.pt").unlink()
        (tmp_path / "OUT").rmdir()
        code = code.replace('"train.minutes": 10', f"**{SMALL}").replace(
            '"split.folds": 5', f'"split.folds": 2, **{SMALL}'
        )
        code = code.replace('"chest_xray", ', "").replace("lungs", "box")
    code = code.replace("dice_lungs", "dice_box")
    names = {"medseg": medseg}
    if "model." in code and "load_model" not in code:
        names["model"] = medseg.load_model("best.pt", {"predict.backend": "torch"})
    exec(code, names)


def test_reading_gives_the_pixels_of_the_file(tmp_path):
    gray = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(gray).save(tmp_path / "image.png")
    assert np.array_equal(medseg.read_radiograph(tmp_path / "image.png").pixels, gray)
