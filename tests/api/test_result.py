import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

import medseg
from medseg.annotations import draw_masks, read_annotations
from medseg.errors import ConfigError, RadiographError, StorageError
from tests.support.dicom_files import COLUMNS, ROWS, phantom, write_dicom
from tests.support.model_files import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return medseg.load_model(write_model(tmp_path_factory.mktemp("model") / "best.pt"), {"predict.backend": "torch"})


@pytest.fixture
def result(model, tmp_path):
    return model.predict(write_dicom(tmp_path / "image.dcm"))


def test_masks_and_probabilities_have_the_original_size(result):
    for name in ("heart", "lungs"):
        assert (result.masks[name].dtype, result.masks[name].shape) == (bool, (ROWS, COLUMNS))
        assert (result.probabilities[name].dtype, result.probabilities[name].shape) == (np.float32, (ROWS, COLUMNS))
        assert np.array_equal(result.probabilities[name] >= 0.5, result.masks[name])
        assert result.areas_px[name] == result.masks[name].sum()
    assert f"{ROWS} x {COLUMNS}" in repr(result)


def test_a_class_that_the_model_lacks_is_named_with_those_it_has(result):
    with pytest.raises(KeyError, match="clavicles is not a class of the model; it has heart, lungs"):
        result.masks["clavicles"]


def test_the_overlay_shows_the_image_in_color_with_a_legend(result):
    overlay = result.overlay()
    assert isinstance(overlay, Image.Image)
    assert overlay.mode == "RGB"
    assert overlay.height > ROWS
    assert np.ptp(np.asarray(overlay).astype(int), axis=2).any()


def test_an_array_has_an_overlay_too(model):
    assert model.predict(phantom()).overlay().mode == "RGB"


def test_burned_in_text_is_drawn_only_on_demand(model, tmp_path):
    result = model.predict(write_dicom(tmp_path / "image.dcm", BurnedInAnnotation="YES"))
    with pytest.raises(RadiographError, match=r"BurnedInAnnotation is YES; overlay\(burned_in=True\)"):
        result.overlay()
    assert result.overlay(burned_in=True).height > ROWS


def test_every_format_is_written_where_the_predict_command_writes_it(result, tmp_path):
    paths = result.write(tmp_path / "out", ["seg", "png", "nifti", "overlay"], name="case-1")
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == [
        "seg/case-1.dcm",
        "png/heart/case-1.png",
        "png/lungs/case-1.png",
        "nifti/heart/case-1.nii.gz",
        "nifti/lungs/case-1.nii.gz",
        "overlay/case-1.png",
    ]
    assert dcmread(paths[0]).Modality == "SEG"
    assert np.array_equal(np.asarray(Image.open(paths[1])), result.masks["heart"] * 255)
    assert np.array_equal(np.asarray(nibabel.load(paths[3]).dataobj).squeeze().T, result.masks["heart"])


@pytest.mark.parametrize("format", ["coco", "labelme", "cvat", "via", "label_studio"])
def test_outlines_can_be_corrected_in_other_programs(result, model, tmp_path, format):
    (path,) = result.write(tmp_path, [format], name="case-1")
    assert path.parent == tmp_path / format
    read = read_annotations(path)
    (image,) = read.images
    assert (image.name, image.made_by, read.problems) == ("image.dcm", model._loaded.digest, ())
    drawn = draw_masks(image, result.masks["heart"].shape)
    for name, mask in result.masks.items():
        assert np.array_equal(drawn.get(name, np.zeros_like(mask)), mask)
    assert b"SECRET" not in path.read_bytes()


def test_a_file_that_changed_later_is_written_as_it_was_predicted(result, tmp_path):
    write_dicom(tmp_path / "image.dcm", PatientName="Other^Name", PatientID="OTHER")
    (path,) = result.write(tmp_path / "out", ["seg"])
    assert dcmread(path).PatientID == "SECRET-ID"


def test_names_tell_nothing_unless_they_are_given(result, tmp_path):
    (path, _) = result.write(tmp_path / "out")
    assert len(path.stem) == 16
    assert set(path.stem) <= set("0123456789abcdef")


def test_what_cannot_be_written_is_said(model, result, tmp_path):
    array = model.predict(phantom())
    with pytest.raises(RadiographError, match="no SEG: "):
        array.write(tmp_path, ["seg", "png"])
    with pytest.raises(ConfigError, match="'jpg' is unknown; the formats are seg, png, nifti, overlay, coco"):
        array.write(tmp_path, ["jpg"])
    for name in ("../up", "..", "a/b"):
        with pytest.raises(ConfigError, match="cannot be a file name"):
            array.write(tmp_path, name=name)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        array.write(tmp_path / "file")
    assert not list(tmp_path.rglob("*.png"))
