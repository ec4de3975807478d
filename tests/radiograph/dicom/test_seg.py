import struct

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import SegmentationTypeValues, SegmentDescription
from pydicom.encaps import generate_fragments
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from medseg.errors import RadiographError
from medseg.radiograph import read_label_image
from medseg.radiograph.dicom.seg import is_segmentation, read_segmentation
from tests.support.dicom_files import phantom, write_dicom

MASKS = np.stack([phantom() > 1500, phantom() > 3000, np.zeros(phantom().shape, bool)], axis=2)
LABELS = ["lungs", "heart", "nothing"]


def describe(number, label):
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=Code("123037004", "SCT", "Anatomical Structure"),
        segmented_property_type=Code("39607008", "SCT", "Lung"),
        algorithm_type="MANUAL",
    )


def write_seg(folder, masks=MASKS, kind="BINARY", syntax=ExplicitVRLittleEndian, **tags):
    source = pydicom.dcmread(write_dicom(folder / "source.dcm", PatientOrientation=["L", "F"], **tags))
    seg = highdicom.seg.Segmentation(
        source_images=[source],
        pixel_array=masks[None],
        segmentation_type=SegmentationTypeValues[kind],
        segment_descriptions=[describe(i + 1, label) for i, label in enumerate(LABELS)],
        series_instance_uid="1.2.3.4",
        series_number=2,
        sop_instance_uid="1.2.3.4.5",
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        transfer_syntax_uid=syntax,
        **({"max_fractional_value": 200} if kind == "FRACTIONAL" else {}),
    )
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [
        ("BINARY", ExplicitVRLittleEndian),
        ("BINARY", JPEG2000Lossless),
        ("FRACTIONAL", ExplicitVRLittleEndian),
        ("FRACTIONAL", RLELossless),
    ],
)
def test_what_highdicom_writes_is_read(tmp_path, kind, syntax):
    masks = MASKS.astype(np.float32) * 0.7 if kind == "FRACTIONAL" else MASKS
    segmentation = read_segmentation(write_seg(tmp_path, masks, kind, syntax))
    assert list(segmentation.masks) == LABELS
    for index, label in enumerate(LABELS):
        np.testing.assert_array_equal(segmentation.masks[label], MASKS[:, :, index])
    assert segmentation.source_uids == {"1.2.826.0.1.3680043.8.498.1"}


def test_label_map(tmp_path):
    apart = MASKS.copy()
    apart[:, :, 0] &= ~apart[:, :, 1]
    segmentation = read_segmentation(write_seg(tmp_path, apart, "LABELMAP"))
    assert list(segmentation.masks) == LABELS  # highdicom describes the background as segment 0
    np.testing.assert_array_equal(np.stack([segmentation.masks[label] for label in LABELS], axis=2), apart)


def test_seg_that_highdicom_itself_cannot_read_back(tmp_path):
    path = write_seg(tmp_path, PixelSpacing=[0.2, 0.15])  # no SliceThickness comes of it
    np.testing.assert_array_equal(read_segmentation(path).masks["heart"], MASKS[:, :, 1])


def test_agrees_with_highdicom(tmp_path):
    path = write_seg(tmp_path)
    theirs = highdicom.seg.segread(path).get_pixels_by_source_instance(["1.2.826.0.1.3680043.8.498.1"])[0]
    ours = read_segmentation(path).masks
    np.testing.assert_array_equal(np.stack(list(ours.values()), axis=2), theirs.astype(bool))


def test_segmentations_are_recognized(tmp_path):
    assert is_segmentation(write_seg(tmp_path))
    assert not is_segmentation(tmp_path / "source.dcm")
    assert not is_segmentation(tmp_path / "missing.dcm")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not is_segmentation(tmp_path / "a.png")


def test_other_objects_are_refused(tmp_path):
    path = write_seg(tmp_path)
    with pytest.raises(RadiographError, match="is not a DICOM segmentation"):
        read_segmentation(tmp_path / "source.dcm")
    with pytest.raises(RadiographError, match="is a DICOM segmentation, not an image"):
        read_label_image(path)


def change(path, function):
    dataset = pydicom.dcmread(path)
    function(dataset)
    dataset.save_as(path)
    return path


def spoil(seg, table, split):
    """The fragments behind another offset table, in pieces if there is one frame only."""
    fragments = list(generate_fragments(seg.PixelData))[1:]
    pieces = [fragment[at : at + 50] for fragment in fragments for at in range(0, len(fragment), 50)]
    parts = [table, *(pieces if split else fragments)]
    seg.PixelData = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(part)) + part for part in parts)


def name_series(seg):
    """The series as some programs name it: all of its images, also those that no frame was drawn on."""
    lateral = pydicom.Dataset()
    lateral.ReferencedSOPInstanceUID = "1.2.3.9"
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence.append(lateral)
    seg.SourceImageSequence.append(lateral)


def forget_sources(seg):
    del seg.SourceImageSequence
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


def test_masks_belong_to_the_images_that_frames_name(tmp_path):
    path = change(write_seg(tmp_path), name_series)
    drawn_on = {"1.2.826.0.1.3680043.8.498.1"}
    assert read_segmentation(path).source_uids == drawn_on
    assert read_segmentation(change(path, forget_sources)).source_uids == drawn_on | {"1.2.3.9"}


@pytest.mark.slow
@pytest.mark.parametrize(("syntax", "kind"), [(JPEG2000Lossless, "BINARY"), (RLELossless, "FRACTIONAL")])
@pytest.mark.parametrize("table", [b"", struct.pack("<2I", 4, 999999), b"\xff" * 12])
@pytest.mark.parametrize("tail", [b"", bytes(99)])
@pytest.mark.parametrize("single", [False, True])
def test_frames_are_found_without_table_and_delimiter(tmp_path, syntax, kind, table, tail, single):
    masks = MASKS.copy()
    masks[:, :, 1] &= not single
    seg = write_seg(tmp_path, masks.astype(np.float32) if kind == "FRACTIONAL" else masks, kind, syntax)
    change(seg, lambda dataset: spoil(dataset, table, split=single))
    seg.write_bytes(seg.read_bytes()[:-8] + tail)
    np.testing.assert_array_equal(np.stack(list(read_segmentation(seg).masks.values()), axis=2), masks)


def test_segmentation_that_is_cut_short_is_refused(tmp_path):
    path = write_seg(tmp_path, syntax=JPEG2000Lossless)
    for cut in (20, 200):
        path.write_bytes(path.read_bytes()[:-cut])
        with pytest.raises(RadiographError, match=r"cut short|be separated"):
            read_segmentation(path)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda seg: delattr(seg, "SegmentSequence"), "SegmentSequence is missing"),
        (lambda seg: delattr(seg, "PixelData"), "without pixel data"),
        (lambda seg: delattr(seg, "SegmentationType"), "SegmentationType is not BINARY"),
        (lambda seg: delattr(seg, "PerFrameFunctionalGroupsSequence"), "has 2 frames, but names the segments of 0"),
        (lambda seg: setattr(seg.SegmentSequence[1], "SegmentLabel", "lungs"), "missing or duplicate"),
        (lambda seg: setattr(seg.SegmentSequence[1], "SegmentNumber", 9), "has frames of segment 2"),
        (lambda seg: setattr(seg, "NumberOfFrames", 1000), "cannot be decoded"),
        (lambda seg: setattr(seg, "NumberOfFrames", 1000000), "the limit is 100000000 pixels"),
        (
            lambda seg: setattr(
                seg.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence[0], "ReferencedSegmentNumber", 1
            ),
            "a segment of several frames",
        ),
    ],
)
def test_broken_segmentations_are_refused(tmp_path, function, reason):
    path = change(write_seg(tmp_path), function)
    with pytest.raises(RadiographError, match=reason):
        read_segmentation(path)
