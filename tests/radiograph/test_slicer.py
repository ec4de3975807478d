import gzip
import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medseg.errors import RadiographError
from medseg.radiograph import read_label_image
from medseg.radiograph.slicer import read_segment_names, read_slicer
from tests.support.dicom_files import write_dicom
from tests.support.slicer_files import REFERENCE, name_segments, write_slicer

ROWS, COLUMNS = 20, 16
LABELS = np.zeros((ROWS, COLUMNS), np.uint8)
LABELS[3:12, 2:7], LABELS[8:15, 5:13] = 1, 2
CROP = (slice(3, 15), slice(2, 13))
BOTH = name_segments("lungs", "heart")
FULL = "0;15;0;19;0;0"
MATRIX = "-1;0;0;0;0;-1;0;0;0;0;1;0;0;0;0;1"


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)).save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.seg.nrrd"


def check(path, image, labels=LABELS):
    masks = read_slicer(path, image)
    np.testing.assert_array_equal(masks["lungs"], labels == 1)
    np.testing.assert_array_equal(masks["heart"], labels == 2)


@pytest.mark.parametrize("encoding", ["gzip", "raw"])
@pytest.mark.parametrize("order", [("lungs", "heart"), ("heart", "lungs")])
def test_names_decide(path, image, encoding, order):
    labels = LABELS if order[0] == "lungs" else np.where(LABELS, 3 - LABELS, 0)
    write_slicer(path, labels, name_segments(*order), encoding=encoding)
    assert read_segment_names(path) == order
    check(path, image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path))[0], labels)


def test_names_are_trimmed_and_may_be_of_any_script(path, image):
    write_slicer(path, LABELS, name_segments(" Schlüsselbein ", "心臓"))
    assert read_segment_names(path) == ("Schlüsselbein", "心臓")
    assert list(read_slicer(path, image)) == ["Schlüsselbein", "心臓"]


def test_overlapping_segments_in_layers(path, image):
    layers = np.stack([np.where(LABELS == 1, 4, 0), np.where(LABELS == 2, 4, 0) | (LABELS == 1)])[:, None]
    segments = name_segments("lungs", "heart", "thorax", layers=(0, 1, 1), values=(4, 4, 1))
    masks = read_slicer(write_slicer(path, layers, segments), image)
    np.testing.assert_array_equal(masks["thorax"], LABELS == 1)
    check(path, image)


def test_old_versions_name_neither_layer_nor_value(path, image):
    layers = np.stack([LABELS == 1, (LABELS == 2) * 255])[:, None]
    write_slicer(path, layers, [{"ID": "lungs"}, {"ID": "Segment_2", "Name": "heart", "Extent": "5 12 8 14 0 0"}])
    check(path, image)


def test_one_segment_without_value_is_all_but_0(path, image):
    masks = read_slicer(write_slicer(path, LABELS, [{"Name": "chest"}]), image)
    np.testing.assert_array_equal(masks["chest"], LABELS > 0)


@pytest.mark.parametrize(
    ("origin", "more"),
    [
        ((2, 3, 0), ["Segmentation_ReferenceImageExtentOffset:=2 3 0"]),
        ((2, 3, 0), []),
        ((2, 3, 0), [REFERENCE.format(f"{MATRIX};{FULL};")]),
        ((2, 3, 0), ["Segmentation_ReferenceImageExtentOffset:=2 3 0", REFERENCE.format(f"{MATRIX};{FULL};")]),
        ((-6.5, 40, 7), ["Segmentation_ReferenceImageExtentOffset:=2 3 0"]),  # a volume that was centered in Slicer
    ],
)
def test_cropped_segmentation_of_a_png(path, image, origin, more):
    check(write_slicer(path, LABELS[CROP], BOTH, origin=origin, more=more), image)


def test_cropped_segmentation_whose_pixels_have_a_size(path, image):
    steps = ((0.5, 0, 0), (0, 0.7, 0), (0, 0, 1))
    check(write_slicer(path, LABELS[CROP], BOTH, origin=(1, 2.1, 0), steps=steps), image)


def test_cropped_segmentation_whose_axes_are_turned(path, image):
    turned = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
    offset = "Segmentation_ReferenceImageExtentOffset:=3 5 0"
    check(write_slicer(path, LABELS[CROP][::-1, ::-1], BOTH, steps=turned, more=[offset]), image)
    check(write_slicer(path, LABELS[CROP][::-1, ::-1], BOTH, origin=(12, 14, 0), steps=turned), image)
    check(write_slicer(path, LABELS[::-1, ::-1], BOTH, space="right-anterior-superior"), image)


def test_larger_than_its_image_with_nothing_beside_it(path, image):
    offset = "Segmentation_ReferenceImageExtentOffset:=-1 -2 -1"
    padded = np.pad(LABELS, ((2, 1), (1, 3)))
    check(write_slicer(path, np.stack([0 * padded, padded]), BOTH, origin=(-1, -2, -1), more=[offset]), image)


def test_nothing_drawn_is_one_pixel_for_slicer(path, image):
    masks = read_slicer(write_slicer(path, np.zeros((1, 1)), BOTH, origin=(7.7, 0, 0)), image)
    assert [mask.shape for mask in masks.values()] == [(ROWS, COLUMNS)] * 2
    assert not any(mask.any() for mask in masks.values())


def test_dicom_is_the_grid_whatever_its_orientation(tmp_path, path):
    labels = np.zeros((96, 80), np.uint8)
    labels[10:40, 5:20], labels[50:60, 5:20] = 1, 2
    offset = "Segmentation_ReferenceImageExtentOffset:=5 10 0"
    plain = write_dicom(tmp_path / "a.dcm")
    check(write_slicer(path, labels[10:60, 5:20], BOTH, more=[offset]), plain, labels)
    upright = write_dicom(tmp_path / "b.dcm", ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    steps = ((0.15, 0, 0), (0, 0, -0.2), (0, 1, 0))
    check(write_slicer(path, labels[10:60, 5:20], BOTH, steps=steps, more=[offset]), upright, labels)
    check(write_slicer(path, labels, BOTH, origin=(5, 6, 7), steps=steps), upright, labels)


def place(segmentation, image):
    """The labels on the pixels of `image`, by ITK's own transforms; None where one lies outside."""
    placed = np.zeros(image.GetSize()[:2], np.uint8)
    for index in itertools.product(*map(range, segmentation.GetSize())):
        if value := segmentation.GetPixel(*index):
            at = image.TransformPhysicalPointToIndex(segmentation.TransformIndexToPhysicalPoint(index))
            placed[at[0], at[1]] = value
    return placed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("image_axes", ["LPS", "RAS", "PLS"])
@pytest.mark.parametrize("axes", ["LPS", "RPS", "ALS"])
def test_geometry_of_the_image_decides(tmp_path, path, name, image_axes, axes):
    canonical = sitk.GetImageFromArray(LABELS[None])
    canonical.SetSpacing((0.5, 0.7, 2))
    canonical.SetOrigin((-31.25, 12, 5))
    image = sitk.DICOMOrient(canonical, image_axes)
    sitk.WriteImage(image, tmp_path / name)
    cropped = sitk.DICOMOrient(canonical[2:13, 3:15], axes)
    for number, segment in enumerate(name_segments("lungs", "heart")):
        for key, value in segment.items():
            cropped.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(cropped, path)
    expected = sitk.GetImageFromArray(place(cropped, image).T[None])
    expected.CopyInformation(image)
    sitk.WriteImage(expected, tmp_path / f"expected{name[1:]}")
    check(path, tmp_path / name, read_label_image(tmp_path / f"expected{name[1:]}").values)


def test_nifti_that_is_read_as_it_lies(tmp_path, path):
    nibabel.save(nibabel.Nifti1Image(LABELS.T.copy(), np.eye(4)), tmp_path / "a.nii")
    image = sitk.ReadImage(tmp_path / "a.nii")
    steps = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))  # as ITK, so Slicer, sees it
    assert image.GetDirection() == (-1, 0, 0, -1)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.nii").values, LABELS)
    check(write_slicer(path, LABELS[CROP], BOTH, origin=(-2, -3, 0), steps=steps), tmp_path / "a.nii")


def test_nifti_without_orientation_lies_nowhere(tmp_path, path):
    nibabel.save(nibabel.Nifti1Image(LABELS.T.copy(), None), tmp_path / "a.nii")
    with pytest.raises(RadiographError, match=r"a\.nii: has no orientation in its NIfTI header"):
        read_slicer(write_slicer(path, LABELS, BOTH), tmp_path / "a.nii")


OFFSET = "Segmentation_ReferenceImageExtentOffset:={}"


@pytest.mark.parametrize(("labels", "options", "reason"), [
    (LABELS[::2, ::2], {}, "no position in its header"),
    (LABELS[::2, ::2], {"more": [OFFSET.format("0 0 0")]}, "no position in its header"),
    (LABELS.repeat(2, 0).repeat(2, 1), {}, "no position in its header"),
    (LABELS[CROP], {"more": [OFFSET.format("9 3 0")]}, "outside its image"),
    (LABELS[CROP], {"more": [OFFSET.format("2 3 1")]}, "outside its image"),
    (LABELS[CROP], {"origin": (2.5, 3, 0)}, "between the pixels"),
    (LABELS, {"steps": ((0.9, 0.1, 0), (-0.1, 0.9, 0), (0, 0, 1))}, "is rotated relative to"),
    (LABELS, {"steps": ((0, 0, 0), (0, 1, 0), (0, 0, 1))}, "spacing of zero|not a readable NRRD"),
    (np.stack([LABELS, LABELS]), {}, "outside its image"),
    (LABELS, {"more": [REFERENCE.format(f"{MATRIX};0;31;0;39;0;0;")]}, r"was drawn on 32 x 40 pixels .* has 16 x 20"),
    (LABELS[::2, ::2], {"steps": ((2, 0, 0), (0, 2, 0), (0, 0, 1)), "more": [REFERENCE.format(f"{MATRIX};{FULL};")]},
     "pixels of 2 x 2 mm, but its image has 1 x 1 mm"),
])  # fmt: skip
def test_geometry_that_does_not_fit(path, image, labels, options, reason):
    write_slicer(path, labels, BOTH, **options)
    with pytest.raises(RadiographError, match=rf"a\.seg\.nrrd: .*({reason})"):
        read_slicer(path, image)


@pytest.mark.parametrize(
    ("origin", "spacing", "reason"),
    [((0, 0, 0), (2, 2, 1), "2 x 2 mm, but its image has 1 x 1 mm"), ((3, 0, 0), (1, 1, 1), "outside its image"),
     ((0, 0, 4), (1, 1, 1), "outside its image"), ((0.5, 0, 0), (1, 1, 1), "between the pixels")],
)  # fmt: skip
def test_geometry_that_does_not_fit_that_of_the_image(tmp_path, path, origin, spacing, reason):
    sitk.WriteImage(sitk.GetImageFromArray(LABELS[None]), tmp_path / "image.mha")
    steps = [tuple(step) for step in np.diag(spacing).tolist()]
    labels = np.full((ROWS, COLUMNS), 1)
    with pytest.raises(RadiographError, match=reason):
        read_slicer(write_slicer(path, labels, BOTH, origin=origin, steps=steps), tmp_path / "image.mha")


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        ([{"Name": "a"}, {"Name": "b"}], "two segments with the same layer and the same label value"),
        (name_segments("a", "b", values=(1, 1)), "two segments with the same layer and the same label value"),
        (name_segments("a", "A "), "two segments named a"),
        (name_segments("a"), r"label values \[2\] belong to no segment"),
        (name_segments("a", "b", layers=(0, 1)), "has 1 layers, but segment b is in layer 1"),
        ([{"LabelValue": 1}], "Segment0_Name is missing"),
        ([{"Name": "a", "LabelValue": "1.5"}], "Segment0_LabelValue must be a single whole number"),
        ([{"Name": "a", "Layer": "-1"}], "Segment0_Layer must be a single whole number"),
    ],
)
def test_segments_that_cannot_be_told_apart(path, image, segments, reason):
    write_slicer(path, LABELS, segments)
    with pytest.raises(RadiographError, match=reason):
        read_slicer(path, image)


def test_unsafe_files_are_refused(path, image):
    head = "NRRD0004\ntype: unsigned char\ndimension: 3\nSegment0_Name:=lungs\n"
    for rest, reason in {
        "encoding: raw\nsizes: 4 4 1\ndata file: /etc/passwd\n": "another file",
        "encoding: bzip2\nsizes: 4 4 1\n": "only raw and gzip are supported",
        "encoding: gzip\nsizes: 60000 60000 1\n": "claims",
        "encoding: raw\ndimension: 4\nsizes: 9000 200 200 1\n": "claims",
    }.items():
        path.write_bytes(f"{head}{rest}\n".encode() + gzip.compress(b""))
        with pytest.raises(RadiographError, match=reason):
            read_slicer(path, image)


def test_other_files_name_no_segments(tmp_path, path, image):
    assert read_segment_names(image) is None
    sitk.WriteImage(sitk.GetImageFromArray(LABELS), path)
    assert read_segment_names(path) is None
    write_slicer(path, np.zeros((1, 1)), [], more=["Segmentation_ContainedRepresentationNames:=Binary labelmap|"])
    assert read_segment_names(path) == ()
    with pytest.raises(RadiographError, match="is not a NRRD file"):
        read_slicer(image, image)
