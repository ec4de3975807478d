"""Each format: what is written, what it says of itself, and that its masks are those of medseg."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from PIL import Image

import medseg
import medseg.commands.verify
from medseg import commands
from medseg.commands.export import ExportModelConfig, run
from medseg.config import build_config
from medseg.data.config import PreprocessConfig
from medseg.errors import ConfigError, ExportError
from medseg.export import export
from medseg.export.formats import FORMATS, Format
from medseg.model.config import InferenceConfig
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_color_model, write_model

CARD = {"components": {"heart": 1}, "fill_holes": True}
SCHEMA = json.loads(Path(__file__).with_name("bundle_schema.json").read_text())


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    preprocess = PreprocessConfig(size=(32, 32), crop="field", equalize=True)
    path = tmp_path_factory.mktemp("model") / "best.pt"
    digests = {"train_digests": ("a" * 64,), "validation_digests": ("b" * 64,)}
    return write_model(path, preprocess=preprocess, inference=InferenceConfig(**CARD), **digests)


@pytest.fixture(scope="module")
def image_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pixels = np.pad(phantom(90, 80), ((20, 0), (0, 30)))
    return write_dicom(folder / "image.dcm", pixels, PhotometricInterpretation="MONOCHROME1", PatientName="Secret")


@pytest.fixture(scope="module")
def expected(model_file, image_file):
    model = medseg.load_model(model_file, {"predict.backend": "torch", "predict.precision": "fp32"})
    return model.predict(image_file).masks


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """The model is traced and translated to ONNX once for all tests of this file, since both take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "trace", keep_first(export.trace))
        patch.setattr(torch.onnx, "export", keep_first(torch.onnx.export))
        yield


def keep_first(function):
    """The function, with its first result as the result of every call."""
    made = []

    def call(*given, **named):
        if not made:
            made.append(function(*given, **named))
        return made[0]

    return call


def export_to(folder, model_file, form):
    return run(
        build_config(ExportModelConfig, [{"model": str(model_file), "export.format": form, "output.dir": folder}])
    )


def verify(folder):
    items = commands.verify.run(build_config(commands.verify.VerifyConfig, [{"receipt": folder, "rerun": True}]))
    assert items.pop().reason.endswith("run medseg export again")
    return {item.name: item.verdict for item in items}


def read_everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["onnx", "openvino", "torch"])
def test_a_program_and_the_file_that_runs_it(tmp_path, model_file, image_file, expected, form):
    exported = export_to(tmp_path / "out", model_file, form)
    assert exported.dice > 0.999
    assert exported.path == tmp_path / "out" / FORMATS[form].file
    command = [sys.executable, tmp_path / "out/radiograph.py", image_file, tmp_path / "masks"]
    subprocess.run(command, check=True, env=hide_medseg(tmp_path))
    for name, mask in expected.items():
        with Image.open(tmp_path / f"masks/{name}.png") as image:
            assert (np.asarray(image.convert("1")) != mask).mean() < 1e-3
    run_program = FORMATS[form].load(exported.path)
    assert run_program(torch.rand(3, 1, 50, 70)).shape == (3, 2, 50, 70)  # any batch size, any size
    written = read_everything(tmp_path / "out")
    assert b"a" * 64 not in written
    assert b"b" * 64 not in written
    assert str(Path(medseg.__file__).parent).encode() not in written  # no paths of this machine
    card = (tmp_path / "out/card.md").read_text()
    assert "The largest are to be kept: heart 1." in card
    assert "thresholds (heart 0.5, lungs 0.5)" in card
    assert verify(tmp_path / "out") == {"files": "same", "code": "same", "environment": "same"}
    (tmp_path / "out/card.md").write_text(f"{card}\n")
    assert verify(tmp_path / "out")["files"] == "changed"


def test_a_bundle_runs_without_medseg(tmp_path, model_file, image_file, expected):
    export_to(tmp_path / "bundle", model_file, "bundle")
    metadata = json.loads((tmp_path / "bundle/configs/metadata.json").read_text())
    Draft202012Validator(SCHEMA).validate(metadata)
    broken = image_file.with_name("broken.dcm")
    broken.write_bytes(image_file.read_bytes()[:-2000])
    bare = image_file.with_name("no preamble")
    bare.write_bytes(image_file.read_bytes()[132:])
    named = [image_file.with_name(name) for name in ("1.2.3.7", "1.2.3.8")]  # as PACS name files
    for other in named:
        shutil.copy(image_file, other)
    words = ["run", "--config_file", "configs/inference.json", "--dataset_dir", str(image_file.parent)]
    finished = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words, "--output_dir", str(tmp_path / "masks")],
        cwd=tmp_path / "bundle",
        env=hide_medseg(tmp_path),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert f"{broken}: skipped" in finished.stderr
    assert f"{bare}: skipped: not a DICOM file with a preamble" in finished.stderr
    assert "Secret" not in finished.stdout + finished.stderr
    written = {path.name: path for path in (tmp_path / "masks").rglob("*.nii.gz")}
    assert set(written) == {f"{name}_masks.nii.gz" for name in (image_file.stem, "1.2.3.7", "1.2.3.8")}
    masks = np.asarray(nibabel.load(written[f"{image_file.stem}_masks.nii.gz"]).dataobj).squeeze()
    for index, name in enumerate(metadata["medseg"]["classes"]):
        assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"][str(index)] == name
        assert (masks[..., index].T.astype(bool) != expected[name]).mean() < 1e-3
    assert b"Secret" not in read_everything(tmp_path / "masks")


def hide_medseg(folder):
    """An environment in which `import medseg` fails."""
    hidden = folder / "hidden/medseg"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('medseg is hidden')\n")
    return {**os.environ, "PYTHONPATH": str(hidden.parent)}


def replace_torch(monkeypatch, share):
    """Let the format torch be a file of text, whose masks cover a share of the image."""

    def write(traced, facts, path):
        path.write_text("a program")

    def run_it(images):
        masks = torch.zeros(len(images), 2, *images.shape[2:], dtype=torch.bool)
        masks[:, :, : int(share * images.shape[2])] = True
        return masks

    monkeypatch.setitem(export.FORMATS, "torch", Format("model.pt2", write, lambda path: run_it))


def test_a_program_with_other_masks_is_not_kept(tmp_path, model_file, monkeypatch):
    replace_torch(monkeypatch, 0)
    with pytest.raises(ExportError, match=r"the lowest Dice is 0\.0000"):
        export_to(tmp_path / "out", model_file, "torch")
    assert not [path for path in (tmp_path / "out").iterdir() if path.name != ".lock"]


def test_earlier_results_are_set_aside(tmp_path, model_file, monkeypatch):
    replace_torch(monkeypatch, 1)
    monkeypatch.setattr(export, "_LEAST", 0)
    for _ in range(2):
        export_to(tmp_path / "out", model_file, "torch")
    assert (tmp_path / "out/earlier/1/model.pt2").exists()
    assert (tmp_path / "out/model.pt2").exists()


def test_a_color_model_is_no_bundle(tmp_path):
    path = write_color_model(tmp_path / "best.pt")
    with pytest.raises(ConfigError, match="the model takes color images"):
        export_to(tmp_path / "out", path, "bundle")


def test_a_missing_package_is_named(tmp_path, model_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(
        ConfigError, match=r"needs the package onnxscript. Install it with pip install 'medseg\[onnx\]'"
    ):
        export_to(tmp_path / "out", model_file, "onnx")
