import math

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medseg.annotations import draw_masks, read_annotations
from medseg.errors import RadiographError
from tests.support.annotation_files import box, draw_only

SIZE = (20, 30)
IMAGE, OTHER = "1.2.3.1", "1.2.3.2"
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4, 2, 1]


def item(**tags):
    dataset = Dataset()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def write(path, sop_class, **tags):
    dataset = item(SOPClassUID=sop_class, SOPInstanceUID="1.2.3.9", PatientName="Secret^Name", **tags)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = sop_class, "1.2.3.9"
    dataset.save_as(path, enforce_file_format=True)
    return path


def reference(uid):
    return item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.1.1", ReferencedSOPInstanceUID=uid)


def graphic(kind, data, filled="N", units="PIXEL", **more):
    stated = {"GraphicDimensions": 2, "NumberOfGraphicPoints": len(data) // 2, "GraphicAnnotationUnits": units, **more}
    return item(GraphicType=kind, GraphicData=[float(x) for x in data], GraphicFilled=filled, **stated)


def write_state(path, *graphics, images=(IMAGE,), **tags):
    annotation = item(GraphicLayer="HEART", GraphicObjectSequence=list(graphics))
    if images:
        annotation.ReferencedImageSequence = list(map(reference, images))
    return write(path, "1.2.840.10008.5.1.4.1.1.11.1", GraphicAnnotationSequence=[annotation], **tags)


DISK = np.hypot(*(np.mgrid[:20, :30] + 0.5 - np.array([10, 15])[:, None, None])) < 5


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (graphic("POLYLINE", SQUARE), box(1, 2, 4, 6, SIZE)),
        (graphic("POLYLINE", SQUARE[:-2], "Y"), box(1, 2, 4, 6, SIZE)),
        (graphic("CIRCLE", [15, 10, 18, 14]), DISK),
        (graphic("ELLIPSE", [10, 10, 20, 10, 15, 5, 15, 15]), DISK),
    ],
)
def test_graphics_of_a_presentation_state(tmp_path, drawn, expected):
    found = read_annotations(write_state(tmp_path / "a", drawn))
    assert (found.format, found.labels, found.images[0].uid) == ("dicom", ("HEART",), IMAGE)
    np.testing.assert_array_equal(draw_only(found, SIZE)["HEART"], expected)


def test_groups_name_graphics_and_all_images_of_the_state_are_meant(tmp_path):
    path = write_state(
        tmp_path / "a.dcm",
        graphic("POLYLINE", SQUARE, GraphicGroupID=2),
        images=(),
        GraphicGroupSequence=[item(GraphicGroupID=2, GraphicGroupLabel="left lung")],
        ReferencedSeriesSequence=[item(ReferencedImageSequence=[reference(IMAGE), reference(OTHER)])],
    )
    found = read_annotations(path)
    assert found.labels == ("left lung",)
    assert [image.uid for image in found.images] == [IMAGE, OTHER]


def test_objects_of_one_image_are_joined(tmp_path):
    paths = [write_state(tmp_path / name, graphic("POLYLINE", SQUARE)) for name in ("a", "b")]
    (image,) = read_annotations(*paths).images
    assert (image.uid, len(image.shapes)) == (IMAGE, 2)


@pytest.mark.parametrize(
    ("drawn", "code", "reason"),
    [
        (graphic("POLYLINE", SQUARE[:-2]), "no_area", "an open POLYLINE covers no area"),
        (graphic("POINT", [1, 1]), "no_area", "an open POINT covers no area"),
        (graphic("POLYLINE", SQUARE, units="DISPLAY"), "shape", "drawn in units DISPLAY"),
        (graphic("POLYLINE", [1, 1, 2, math.nan, 3, 3, 1, 1]), "shape", "not a number"),
        (graphic("ELLIPSE", [1, 1]), "shape", "not written as usual"),
    ],
)
def test_problems_of_graphics(tmp_path, drawn, code, reason):
    (problem,) = read_annotations(write_state(tmp_path / "a", drawn)).problems
    assert (problem.label, problem.code) == ("HEART", code)
    assert reason in problem.reason


def code(value, meaning, scheme="SCT"):
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def region(data=SQUARE, kind="POLYLINE", images=(IMAGE,)):
    found = [item(ValueType="IMAGE", ReferencedSOPSequence=[reference(image)]) for image in images]
    stated = {"ConceptNameCodeSequence": code("111030", "Image Region", "DCM"), "ContentSequence": found}
    return item(ValueType="SCOORD", GraphicType=kind, GraphicData=[float(x) for x in data], **stated)


def naming(value, meaning):
    names = {"121071": "Finding", "363698007": "Finding Site", "112039": "Tracking Identifier"}
    return item(
        ValueType="CODE", ConceptNameCodeSequence=code(value, names[value]), ConceptCodeSequence=code("1", meaning)
    )


def write_report(path, *content):
    group = item(ValueType="CONTAINER", ContentSequence=list(content))
    measurements = item(ValueType="CONTAINER", ContentSequence=[group])
    return write(path, "1.2.840.10008.5.1.4.1.1.88.33", ValueType="CONTAINER", ContentSequence=[measurements])


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ([naming("363698007", "Lung"), region()], "Lung"),
        ([naming("363698007", "Lung"), naming("121071", "Nodule"), region()], "Nodule"),
        (
            [item(ValueType="TEXT", ConceptNameCodeSequence=code("112039", "x", "DCM"), TextValue="heart"), region()],
            "heart",
        ),
        ([region()], "Image Region"),
    ],
)
def test_coordinates_of_a_report(tmp_path, content, label):
    found = read_annotations(write_report(tmp_path / "a.dcm", *content))
    assert (found.labels, found.images[0].uid) == ((label,), IMAGE)
    np.testing.assert_array_equal(draw_masks(found.images[0], SIZE)[label], box(1, 2, 4, 6, SIZE))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (region(images=()), "refers to no image"),
        (item(ValueType="SCOORD3D", GraphicType="POLYGON"), "patient coordinates"),
        (region(SQUARE[:-2]), "an open POLYLINE"),
        (region([1, 1, 2, 2], "MULTIPOINT"), "an open MULTIPOINT"),
    ],
)
def test_problems_of_coordinates(tmp_path, content, reason):
    (problem,) = read_annotations(write_report(tmp_path / "a.dcm", naming("363698007", "Lung"), content)).problems
    assert reason in str(problem)


def test_structure_sets_are_refused(tmp_path):
    path = write(tmp_path / "a.dcm", "1.2.840.10008.5.1.4.1.1.481.3")
    with pytest.raises(RadiographError, match=r"a\.dcm: is a radiotherapy structure set .* patient coordinates"):
        read_annotations(path)
