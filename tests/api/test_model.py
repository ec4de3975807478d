import csv
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

import medseg
from medseg.errors import CheckpointError, ConfigError, RadiographError
from tests.support.dicom_files import SPACING, make_dataset, phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.prediction_command import predict, read_mask, rows

TORCH = {"predict.backend": "torch"}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "best.pt")


@pytest.fixture(scope="module")
def model(path):
    return medseg.load_model(path, TORCH)


@pytest.fixture
def image(tmp_path):
    return write_dicom(tmp_path / "image.dcm")


def same(result, other):
    assert list(result.masks) == list(other.masks)
    assert all(np.array_equal(result.masks[name], other.masks[name]) for name in other.masks)
    return True


def test_a_model_tells_what_it_is(model):
    assert model.classes == ("heart", "lungs")
    assert model.card.preprocess.size == (32, 32)
    assert model.backend.startswith("torch/cpu/")
    assert "heart, lungs" in repr(model)


def test_masks_are_those_of_the_predict_command(model, path, image, tmp_path):
    predict(f"model={path}", f"input.dir={tmp_path}", f"output.dir={tmp_path / 'out'}", "output.formats=[png,seg]")
    (row,) = [row for row in rows(tmp_path / "out") if row["status"] == "done"]
    result = model.predict(image)
    for name in model.classes:
        assert np.array_equal(result.masks[name] * 255, read_mask(tmp_path / "out", name, row))
        assert result.areas_px[name] == int(row[f"area_px_{name}"])
        assert f"{result.areas_mm2[name]:.10g}" == row[f"area_mm2_{name}"]
    assert result.area_plane == row["spacing_source"] == "detector"
    assert ";".join(result.warnings) == row["warnings"]
    (seg,) = result.write(tmp_path / "own", ["seg"])
    theirs = pydicom.dcmread(tmp_path / "out" / "seg" / f"{row['id']}.dcm")
    assert pydicom.dcmread(seg).SOPInstanceUID == theirs.SOPInstanceUID  # made of file, model and settings


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_dataset_an_array_and_a_radiograph_give_the_masks_of_the_file(model, tmp_path, photometric):
    image = write_dicom(
        tmp_path / "image.dcm", PhotometricInterpretation=photometric, RescaleSlope=2, RescaleIntercept=-9
    )
    radiograph, expected = medseg.read_radiograph(image), model.predict(image)
    assert same(model.predict(str(image)), expected)
    assert same(model.predict(image.read_bytes()), expected)
    assert same(model.predict(pydicom.dcmread(image)), expected)
    assert same(model.predict(radiograph), expected)
    assert same(model.predict(radiograph.pixels), expected)
    assert same(model.predict(radiograph.pixels.astype(np.float64).tolist()), expected)


def test_a_radiograph_has_the_warnings_of_its_file(model, tmp_path):
    doubtful = {"Modality": "MG", "PatientOrientation": ["R", "F"], "BurnedInAnnotation": "YES", "ViewPosition": None}
    image = write_dicom(tmp_path / "image.dcm", **doubtful)
    expected = model.predict(image).warnings
    assert len(expected) >= 4
    assert model.predict(medseg.read_radiograph(image)).warnings == expected


def test_a_dataset_made_in_memory_needs_no_transfer_syntax_and_is_left_alone(model, image):
    dataset = make_dataset()
    dataset.PixelData = phantom().tobytes()
    dataset["PixelData"].VR = "OW"
    before = dataset.to_json()
    assert same(model.predict(dataset), model.predict(image))
    assert dataset.to_json() == before
    assert not hasattr(dataset, "file_meta")


def test_a_dataset_is_refused_as_its_file_is(model, tmp_path):
    with pytest.raises(RadiographError, match=r"^dataset: ") as raised:
        model.predict(make_dataset())
    assert "Secret" not in str(raised.value)
    broken = write_dicom(tmp_path / "image.dcm", syntax=JPEGBaseline8Bit, frame=b"\xff\xd8broken")
    with pytest.raises(RadiographError, match=r"^dataset: "):
        model.predict(pydicom.dcmread(broken))


def test_an_array_has_millimeters_only_if_it_is_given_them(model):
    plain, scaled = model.predict(phantom()), model.predict(phantom(), spacing_mm=SPACING)
    assert (plain.areas_mm2, plain.area_plane) == (None, None)
    assert scaled.areas_mm2["heart"] == pytest.approx(plain.areas_px["heart"] * SPACING[0] * SPACING[1])
    assert scaled.area_plane == "unspecified"


def test_later_changes_of_an_array_do_not_reach_the_result(model):
    array = phantom().astype(np.float32)
    result = model.predict(array)
    array[:] = 0
    assert result.radiograph.pixels.any()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((5, 5)), "every pixel is 0"),
        (np.full((5, 5), np.nan), "NaN or infinite"),
        (np.zeros(5), r"has shape 5; \(rows, columns\)"),
        (np.zeros((5, 5, 2)), "has shape 5 x 5 x 2"),
        (np.zeros((0, 5)), "has 0 rows"),
        (np.zeros((5, 5), complex), "has values of type complex128"),
        (np.array([["a"]]), "has values of type"),
        (phantom()[:, :, None].repeat(3, axis=2), "has three channels, but the model reads grayscale images"),
    ],
)
def test_an_array_that_is_no_image_is_refused(model, array, said):
    with pytest.raises(RadiographError, match=f"^array: .*{said}"):
        model.predict(array)


@pytest.mark.parametrize("spacing", [(0, 1), (1,), "no", (1, float("nan")), (-1, 1)])
def test_a_spacing_that_is_none_is_refused(model, spacing):
    with pytest.raises(RadiographError, match="spacing_mm is "):
        model.predict(phantom(), spacing_mm=spacing)


def test_what_an_image_states_itself_cannot_be_given(model, image):
    with pytest.raises(ConfigError, match="spacing_mm: the image already states its spacing"):
        model.predict(image, spacing_mm=(1, 1))
    with pytest.raises(ConfigError, match=r"view: the image already states its view \(PA\)"):
        model.predict(image, view="AP")
    assert same(model.predict(image, view="PA"), model.predict(image))


def test_another_image_than_the_model_is_for_is_a_warning(model, tmp_path):
    result = model.predict(write_dicom(tmp_path / "image.dcm", Modality="MG", PatientOrientation=["F", "L"]))
    assert "modality: MG is not accepted (CR, DX)" in result.warnings
    assert any(warning.startswith("orientation F\\L") for warning in result.warnings)


def test_a_file_without_an_image_is_refused(model, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    for name, said in (("note.txt", "note.txt"), ("none.png", "none.png: cannot be read"), (".", "is a folder")):
        with pytest.raises(RadiographError, match=said):
            model.predict(tmp_path / name)


def test_settings_are_those_of_the_predict_command(path):
    model = medseg.load_model([path], {"predict": {"threshold": 0.7}}, "predict.tta=[mirror]", TORCH)
    probabilities = model.predict(phantom()).probabilities["heart"]
    assert np.array_equal(probabilities >= 0.7, model.predict(phantom()).masks["heart"])
    assert model.card.inference.tta == ("mirror",)
    with pytest.raises(ConfigError, match=r"did you mean 'predict\.threshold'"):
        medseg.load_model(path, {"predict.treshold": 0.7})
    with pytest.raises(CheckpointError, match="no such file or folder"):
        medseg.load_model("none.pt")
    with pytest.raises(ConfigError, match="at least one model"):
        medseg.load_model([])


def test_inverted_images_are_read_as_the_settings_say(path, tmp_path):
    gray = (phantom() / 16).astype(np.uint8)
    Image.fromarray(255 - gray).save(tmp_path / "negative.png")
    inverted = medseg.load_model(path, TORCH, {"input.invert": True})
    assert same(inverted.predict(tmp_path / "negative.png"), medseg.load_model(path, TORCH).predict(gray))


@pytest.mark.slow
def test_a_folder_gives_the_rows_of_the_report(model, image, tmp_path):
    (tmp_path / "image.txt").write_text("no image")
    for _ in range(2):  # the second time from the journal
        found = list(model.predict_folder(tmp_path, tmp_path / "out", {"output.formats": ["png"]}))
        with (tmp_path / "out" / "report.csv").open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.DictReader(file))
        assert [row["path"] for row in found] == ["image.dcm", "image.txt"] == [row["path"] for row in table]
        assert [row["status"] for row in found] == ["done", "skipped"]
        assert list(found[0]) == list(table[0])


SCRIPT = """
import sys, medseg
model = medseg.load_model(sys.argv[1], {"predict.backend": "torch"})
print([row["status"] for row in model.predict_folder(sys.argv[2], sys.argv[3])])
"""


@pytest.mark.slow
def test_a_script_needs_no_guard_around_it(path, image, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [tmp_path / "script.py", path, tmp_path / "in", tmp_path / "out"]
    (tmp_path / "in").mkdir()
    image.rename(tmp_path / "in" / "image.dcm")
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (0, "['done']\n"), done.stderr
