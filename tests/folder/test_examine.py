import hashlib
import os

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.uid import JPEG2000Lossless

from medseg.data.config import PreprocessConfig
from medseg.data.preprocess import build_input, restore
from medseg.folder.examine import examine_file
from medseg.folder.walk import fingerprint
from medseg.inference.decision import Decision
from medseg.metrics.shape import find_box
from medseg.output.images import write_mask_nifti, write_mask_png
from medseg.radiograph import build_nifti, read_radiograph
from tests.support.dicom_files import phantom, write_dicom, write_uncoded
from tests.support.folder_jobs import build_job


@pytest.fixture
def examine(tmp_path):
    def run(name, known=None, lost=None, **changes):
        return examine_file(build_job(tmp_path, tmp_path / "out", **changes), os.fsencode(name), known, lost)

    return run


def test_an_image_becomes_the_networks_input_and_facts(tmp_path, examine):
    path = write_dicom(tmp_path / "x.dcm", PatientOrientation=["L", "F"])
    found = examine("x.dcm")
    picture = read_radiograph(path)
    job = build_job(tmp_path, tmp_path)
    expected, _ = build_input(picture.pixels, picture.padding, job.decision.preprocess)
    assert (found.status, found.reason, found.warnings) == ("", "", ())
    assert torch.equal(torch.from_numpy(found.image), expected)
    assert found.size == (96, 80)
    assert found.facts["spacing_source"] == "detector"
    assert found.facts["spacing_row_mm"] == pytest.approx(0.2)


def write_chest(path, rows, columns, border=0, **tags):
    """A JPEG 2000 of a bright rectangle in a smooth field, with a flat border on the left."""
    row, column = np.mgrid[:rows, :columns]
    pixels = 1000 + 300 * np.sin(row / 40) * np.cos(column / 50)
    pixels[rows // 3 : rows // 2 + 1, columns // 2 - 3 : columns // 2 + 50] = 3001
    pixels[:, :border] = 10
    options = {"syntax": JPEG2000Lossless, "compress": {"encoding_plugin": "pylibjpeg"}}
    return write_dicom(path, pixels.astype(np.uint16), **options, **tags)


def find_edges(found):
    """Top, bottom, left and right of the bright part, if the network's input were the probabilities."""
    config = PreprocessConfig(size=(32, 32), fit="stretch")
    mask = restore(torch.from_numpy(found.image), found.frame, 0.7, config)[0].numpy()
    return [edge for lines in find_box(mask) for edge in (lines.start, lines.stop)]


@pytest.mark.parametrize(("rows", "columns", "factor"), [(320, 256, 4), (301, 259, 4), (131, 260, 2), (70, 66, 1)])
def test_a_jpeg_2000_is_decoded_at_the_resolution_that_the_network_needs(rows, columns, factor, tmp_path, examine):
    write_chest(tmp_path / "x.dcm", rows, columns)
    whole, found = examine("x.dcm"), examine("x.dcm", reduce=True)
    assert {**whole.facts, "reduction": factor} == found.facts
    assert (found.size, found.spacing_mm, found.warnings) == (whole.size, whole.spacing_mm, whole.warnings)
    assert np.abs(found.image - whole.image).mean() < 0.01
    assert np.abs(np.subtract(*(find_edges(each) for each in (whole, found)))).max() <= 1


def test_a_small_field_is_read_again_in_more_detail(tmp_path, examine):
    decision = Decision(("a",), PreprocessConfig(size=(32, 32), fit="stretch", crop="field"), (0.5,), {}, False)
    write_chest(tmp_path / "x.dcm", 320, 300, border=200)
    whole, found = (examine("x.dcm", decision=decision, reduce=reduce) for reduce in (False, True))
    assert found.facts["reduction"] == 1
    assert found.frame == whole.frame
    assert torch.equal(torch.from_numpy(found.image), torch.from_numpy(whole.image))
    assert found.warnings == whole.warnings


def test_other_files_are_read_whole(tmp_path, examine):
    write_dicom(tmp_path / "x.dcm", phantom(320, 256))
    Image.fromarray((phantom(320, 256) // 16).astype(np.uint8)).save(tmp_path / "x.png")
    assert [examine(name, reduce=True).facts["reduction"] for name in ("x.dcm", "x.png")] == [1, 1]


def test_the_id_is_over_path_and_content(tmp_path, examine):
    content = write_dicom(tmp_path / "x.dcm").read_bytes()
    found = examine("x.dcm")
    assert found.id == hashlib.sha256(b"x.dcm\0" + content).hexdigest()[:16]
    assert found.content == ""
    seg = examine("x.dcm", formats=("seg",))
    assert (seg.id, seg.content) == (found.id, hashlib.sha256(content).hexdigest())
    (tmp_path / "y.dcm").write_bytes(content)
    assert examine("y.dcm").id != found.id


def test_known_content_is_not_read_again(tmp_path, examine):
    write_dicom(tmp_path / "x.dcm")
    found = examine("x.dcm", known=examine("x.dcm").id)
    assert (found.status, found.image) == ("known", None)


def test_a_file_that_ended_a_process_is_identified_only(tmp_path, examine):
    write_dicom(tmp_path / "x.dcm")
    found = examine("x.dcm", lost="timeout: took more than 3 s")
    assert (found.status, found.reason) == ("rejected", "timeout: took more than 3 s")
    assert found.id == examine("x.dcm").id


@pytest.mark.parametrize(
    ("name", "content", "status", "reason"),
    [
        ("x.dcm", b"", "rejected", "empty: is empty"),
        ("x.dcm", b"<html>", "rejected", "not-an-image: is not a DICOM file (no preamble and no SOPClassUID)"),
        ("x.png", b"no picture", "rejected", "damaged: is not a readable PNG file (UnidentifiedImageError)"),
        ("README.txt", b"text", "skipped", None),
        ("README", b"text", "skipped", None),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", "skipped", None),
        ("backup.tar.gz", b"\x1f\x8b\x08\0 and so on", "skipped", None),
        ("x.nii.gz", b"\x1f\x8b\x08\0 and so on", "rejected", None),
        ("picture", b"\x89PNG\r\n\x1a\n cut", "rejected", None),
    ],
)
def test_no_image_is_rejected_where_its_name_or_its_content_promises_one(
    name, content, status, reason, tmp_path, examine
):
    (tmp_path / name).write_bytes(content)
    found = examine(name)
    assert found.status == status
    assert found.reason == reason or reason is None
    assert found.image is None
    assert status == "rejected" or found.reason.startswith("not-an-image: ")


def test_dicom_is_recognized_by_content(tmp_path, examine):
    write_dicom(tmp_path / "x.dcm").rename(tmp_path / "no extension.txt")
    assert examine("no extension.txt").status == ""


def test_kinds_that_are_not_asked_for_are_skipped(tmp_path, examine):
    Image.fromarray(phantom().astype(np.int32)).save(tmp_path / "x.tif")
    Image.fromarray((phantom() // 16).astype(np.uint8)).save(tmp_path / "x.png")
    assert examine("x.tif").reason == "kind: tiff is not among input.kinds"
    assert examine("x.png", kinds=("dicom",)).reason == "kind: png is not among input.kinds"
    assert examine("x.png").status == ""


def test_own_results_are_skipped(tmp_path, examine):
    mask = phantom() > 1000
    write_mask_png(tmp_path / "m.png", mask)
    write_mask_nifti(tmp_path / "m.nii.gz", mask, None)
    for name in ("m.png", "m.nii.gz"):
        assert examine(name).reason == "own-result: a result of an earlier prediction"


@pytest.mark.parametrize(
    ("tags", "status", "reason"),
    [
        ({"NumberOfFrames": 2}, "skipped", "frames: has 2 frames, but a single frame is needed"),
        (
            {"NumberOfFrames": 2**31 - 1},
            "rejected",
            "damaged: the header states 2147483647 frames",
        ),
        ({"PresentationIntentType": "FOR PROCESSING"}, "skipped", "intent: "),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "skipped", "color: "),
        ({"Rows": 65535, "Columns": 65535}, "rejected", "size: claims 65535 x 65535 pixels"),
        (
            {"RescaleSlope": "NaN", "RescaleIntercept": 0},
            "rejected",
            "damaged: RescaleSlope must be a single finite",
        ),
        ({"Modality": "XA"}, "skipped", "modality: XA is not accepted (CR, DX)"),
    ],
)
def test_dicom_that_cannot_or_shall_not_be_read(tags, status, reason, tmp_path, examine):
    write_dicom(tmp_path / "x", **tags)
    found = examine("x")
    assert (found.status, found.reason[: len(reason)]) == (status, reason)


@pytest.mark.parametrize(("tint", "status"), [(0, ""), (9, ""), (90, "skipped")])
def test_color_dicom_is_taken_or_skipped_by_its_content(tint, status, tmp_path, examine):
    gray = (phantom() >> 5).astype(np.uint8)
    data = np.stack([gray, gray, gray + tint], axis=2).tobytes()
    rgb = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "RGB"}
    write_dicom(tmp_path / "x", gray, data=data, **rgb)
    found = examine("x")
    assert (found.status, found.reason[:7]) == (status, "color: " if status else "")
    assert any("nearly gray" in warning for warning in found.warnings) == (tint == 9)


def test_image_is_turned_by_its_exif_orientation(tmp_path, examine):
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray((phantom() // 16).astype(np.uint8)).save(tmp_path / "x.png", exif=exif)
    rows, columns = phantom().shape
    turned, stored = examine("x.png"), examine("x.png", exif="ignore")
    assert (turned.size, stored.size) == ((columns, rows), (rows, columns))
    assert turned.warnings == ("the image was turned by its EXIF orientation 8",)
    assert turned.pixels != stored.pixels


def test_sidecar_is_found_beside_the_file_in_a_folder(tmp_path, examine):
    (tmp_path / "sub").mkdir()
    write_uncoded(tmp_path / "sub" / "x.nii.gz", phantom())
    (tmp_path / "sub" / "x.json").write_text('{"ConversionSoftware": "dcm2niix"}')
    nibabel.save(build_nifti(phantom().astype(np.int16), (0.2, 0.15)), tmp_path / "x.nii")
    assert examine("sub/x.nii.gz").pixels == examine("x.nii").pixels
    assert examine("sub/x.nii.gz", nifti_rows="top").pixels != examine("x.nii").pixels


def test_a_volume_is_skipped(tmp_path, examine):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "x.nii.gz")
    assert examine("x.nii.gz").reason.startswith("frames: has 4 x 5 x 6 voxels")


def test_a_nifti_image_is_taken(tmp_path, examine):
    nibabel.save(build_nifti(phantom().astype(np.float32), (0.3, 0.2)), tmp_path / "x.nii")
    assert examine("x.nii").spacing_mm == pytest.approx((0.3, 0.2))


def test_uids_are_facts_only_where_they_are_asked_for(tmp_path, examine):
    write_dicom(tmp_path / "x")
    assert "study_instance_uid" not in examine("x").facts
    assert examine("x", uids=True).facts["series_instance_uid"] == "1.2.826.0.1.3680043.8.498.3"


def test_a_seg_that_cannot_be_made_is_a_warning(tmp_path, examine):
    write_dicom(tmp_path / "x", StudyInstanceUID=None)
    found = examine("x", formats=("seg", "png"))
    assert found.status == ""
    assert found.taken.keys() == {"png"}
    assert "no SEG: StudyInstanceUID is missing or not valid" in found.warnings


def test_no_overlay_where_the_pixels_may_show_a_name(tmp_path, examine):
    write_dicom(tmp_path / "x", BurnedInAnnotation="YES")
    assert examine("x", formats=("overlay",)).taken == {}
    assert examine("x", formats=("overlay",), burned_in=True).taken.keys() == {"overlay"}


def test_an_image_is_shown_through_its_window(tmp_path, examine):
    write_dicom(tmp_path / "x", WindowCenter=500, WindowWidth=2)
    shown = examine("x", formats=("overlay",)).taken["overlay"]
    assert set(np.unique(shown)) == {0, 255}


def test_a_file_that_changes_meanwhile_is_rejected(tmp_path, examine, monkeypatch):
    path = write_dicom(tmp_path / "x")
    read = read_radiograph

    def read_and_touch(*arguments, **settings):
        os.utime(path)
        return read(*arguments, **settings)

    monkeypatch.setattr("medseg.folder.examine.read_radiograph", read_and_touch)
    assert examine("x").reason == "changing: the file changed while it was read"


def test_what_is_no_regular_file_any_more_is_not_read(tmp_path, examine):
    os.mkfifo(tmp_path / "x.dcm")
    assert examine("x.dcm").reason == "not-regular: is not a regular file"


def test_an_error_nobody_thought_of_costs_one_file_and_tells_no_value(tmp_path, examine, monkeypatch):
    write_dicom(tmp_path / "x")

    def fail(*arguments, **settings):
        raise KeyError("Jones^Mary")

    monkeypatch.setattr("medseg.folder.examine.read_radiograph", fail)
    found = examine("x")
    assert found.status == "rejected"
    assert found.reason.startswith("unexpected: KeyError in test_examine.py:")


def test_a_file_that_is_gone_is_rejected_whatever_its_name(examine):
    found = examine("README.txt")
    assert (found.status, found.reason) == ("rejected", "unreadable: No such file or directory")


def test_an_overlay_is_drawn_though_the_window_leaves_nothing_to_be_seen(tmp_path, examine):
    write_dicom(tmp_path / "x", RescaleSlope=-1, RescaleIntercept=0, WindowCenter=2048, WindowWidth=4096)
    found = examine("x", formats=("overlay",))
    assert "overlay" in found.taken
    assert any(
        w.startswith("the overlay was drawn without the VOI transformation: with it, every pixel")
        for w in found.warnings
    )


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_an_image_that_needs_too_much_memory_is_said_to(error, tmp_path, examine, monkeypatch):
    write_dicom(tmp_path / "x")

    def fail(*arguments):
        raise error

    monkeypatch.setattr("medseg.folder.examine.build_input", fail)
    found = examine("x")
    assert (found.status, found.reason) == ("rejected", "memory: needs more than input.memory_gib")


def test_a_file_whose_digest_fails_keeps_its_fingerprint(tmp_path, examine, monkeypatch):
    write_dicom(tmp_path / "x.dcm")

    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("medseg.folder.examine.digest_input", fail)
    found = examine("x.dcm")
    assert found.reason == "memory: needs more than input.memory_gib"
    assert found.stat == fingerprint((tmp_path / "x.dcm").stat())
