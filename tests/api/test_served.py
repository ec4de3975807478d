import base64
import io
import logging

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

import medseg
from medseg.api import served
from medseg.api.served import ServedModel
from medseg.errors import StorageError
from tests.support.dicom_files import SPACING, phantom, write_dicom
from tests.support.model_files import write_model

TORCH = {"predict": {"backend": "torch"}}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "best.pt")


@pytest.fixture(scope="module")
def served_model(path):
    return ServedModel(str(path), TORCH)


@pytest.fixture(scope="module")
def model(path):
    return medseg.load_model(path, TORCH)


def encode(content):
    return base64.b64encode(content).decode()


def ask(served_model, *rows, **params):
    return served_model.predict(pd.DataFrame(list(rows)), params)


def draw(counts, size):
    """The mask of COCO's run lengths, by their definition: down the columns, background first."""
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(size[1], size[0]).T


def pack(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.slow
def test_an_answer_has_the_masks_and_measures_of_the_model(served_model, model, tmp_path):
    image = write_dicom(tmp_path / "image.dcm")
    (answer,) = ask(served_model, {"image": encode(image.read_bytes())})
    result = model.predict(image)
    for name, mask in result.masks.items():
        assert answer["masks"][name]["size"] == answer["size"] == list(mask.shape)
        assert np.array_equal(draw(answer["masks"][name]["counts"], mask.shape), mask)
    assert (answer["error"], answer["seg"], answer["model"]) == (None, None, model.digest)
    assert answer["areas_px"] == result.areas_px
    assert answer["areas_mm2"] == result.areas_mm2
    assert (answer["area_plane"], answer["warnings"]) == ("detector", list(result.warnings))
    assert answer["cardiothoracic_ratio"] == result.cardiothoracic_ratio


def test_masks_may_be_png_files(served_model, model, tmp_path):
    image = write_dicom(tmp_path / "image.dcm")
    (answer,) = ask(served_model, {"image": encode(image.read_bytes())}, masks="png")
    for name, mask in model.predict(image).masks.items():
        shown = Image.open(io.BytesIO(base64.b64decode(answer["masks"][name]["png"])))
        assert np.array_equal(np.asarray(shown), mask * np.uint8(255))


@pytest.mark.slow
def test_a_seg_is_the_file_that_the_model_writes(served_model, model, tmp_path):
    image = write_dicom(tmp_path / "image.dcm", PatientBirthDate="no date")
    (answer,) = ask(served_model, {"image": encode(image.read_bytes())}, seg=True)
    (expected,) = model.predict(image).write(tmp_path / "out", ["seg"])
    seg = pydicom.dcmread(io.BytesIO(base64.b64decode(answer["seg"])))
    assert seg.SOPInstanceUID == pydicom.dcmread(expected).SOPInstanceUID
    assert answer["warnings"] == ["PatientBirthDate is not valid and was left empty in the SEG"]


def test_an_image_without_a_seg_has_its_masks_and_a_warning(served_model, tmp_path):
    Image.fromarray(phantom().astype(np.uint16)).save(tmp_path / "image.png")
    (answer,) = ask(served_model, {"image": encode((tmp_path / "image.png").read_bytes())}, seg=True)
    assert (answer["error"], answer["seg"]) == (None, None)
    assert "no SEG: the source is not a DICOM file" in answer["warnings"]
    assert set(answer["masks"]) == {"heart", "lungs"}


def test_an_array_is_a_file_of_numpy_with_a_spacing_and_a_view(served_model, model):
    pixels = phantom().astype(np.float32)
    row = {"image": encode(pack(pixels)), "row_mm": SPACING[0], "column_mm": SPACING[1], "view": "PA"}
    answer, plain = ask(served_model, row, {"image": encode(pack(pixels))})  # whose other cells pandas makes NaN
    result = model.predict(pixels, spacing_mm=SPACING, view="PA")
    assert np.array_equal(draw(answer["masks"]["heart"]["counts"], pixels.shape), result.masks["heart"])
    assert answer["areas_mm2"] == result.areas_mm2
    assert answer["cardiothoracic_ratio"] == result.cardiothoracic_ratio
    assert (plain["masks"], plain["areas_mm2"]) == (answer["masks"], None)


def test_each_bad_row_says_why_and_the_others_are_answered(served_model, tmp_path):
    good = encode(write_dicom(tmp_path / "image.dcm").read_bytes())
    photo = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(photo, "PNG")
    bad = {
        "%%%": "image: is not base64 text",
        None: "image: is missing or not text. Give a file as base64 text",
        7: "image: is missing or not text. Give a file as base64 text",
        "": "image: is empty",
        encode(b"Dear colleague"): "image: is not in a supported format: DICOM, NIfTI",
        encode(photo.getvalue()): "image: is a color image",
        encode(pack(np.array([{}]))): "image: holds Python objects (a pickle)",
        encode(pack(phantom())[:-1]): "image: is cut short",
        encode(pack(np.zeros((40, 40)))): "image: every pixel is 0; nothing to segment",
        good[: len(good) // 8 * 4]: "image: PixelData is cut short",
    }
    images = [image for one in bad for image in (one, good)]
    answers = ask(served_model, *({"image": image} for image in images))
    for answer, text in zip(answers[::2], bad.values(), strict=True):
        assert answer["error"].startswith(text)
        assert {answer[name] for name in ("masks", "areas_px", "size", "warnings", "seg")} == {None}
    assert all(answer["error"] is None for answer in answers[1::2])


def test_a_spacing_that_contradicts_the_image_or_is_half_given_is_refused(served_model, tmp_path):
    image = encode(write_dicom(tmp_path / "image.dcm").read_bytes())
    twice, half = ask(served_model, {"image": image, "row_mm": 1.0, "column_mm": 1.0}, {"image": image, "row_mm": 1.0})
    assert twice["error"].startswith("spacing_mm: the image already states its spacing")
    assert half["error"] == "row_mm, column_mm: only one is given. Give both, or none"


def test_an_unknown_form_of_masks_is_refused(served_model):
    assert ask(served_model, {"image": ""}, masks="jpeg")[0]["error"] == (
        "masks: 'jpeg' is unknown; the forms are rle, png"
    )


def test_what_is_too_much_is_refused(served_model, monkeypatch):
    monkeypatch.setattr(served, "MAX_BYTES", 30)
    monkeypatch.setattr(served, "MAX_ROWS", 2)
    answers = ask(served_model, *({"image": encode(bytes(size))} for size in (30, 34, 3)))
    assert [answer["error"].partition(":")[2][:40] for answer in answers] == [
        " is not in a supported format: DICOM, NI",
        " has about 36 bytes; the limit is 30 byt",
        " the request has more than 2 rows. Send ",
    ]


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (StorageError("/srv/secret: could not be written"), "seg: the server could not write a temporary file"),
        (ZeroDivisionError("Doe^Jane"), "image: could not be processed (ZeroDivisionError)"),
    ],
)
def test_a_failure_of_the_server_names_neither_its_paths_nor_values(
    served_model, tmp_path, monkeypatch, caplog, raised, text
):
    def fail(*_):
        raise raised

    monkeypatch.setattr(medseg.Result, "write", fail)
    image = encode(write_dicom(tmp_path / "image.dcm").read_bytes())
    with caplog.at_level(logging.ERROR, "medseg"):
        (answer,) = ask(served_model, {"image": image}, seg=True)
    assert answer["error"].startswith(text)
    assert answer["masks"] is None
    assert "in fail" in caplog.text
    assert str(raised) not in answer["error"] + caplog.text
