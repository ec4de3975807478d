import numpy as np
import pytest

from medseg.annotations import FORMATS, draw_masks, read_annotations
from medseg.annotations.runs import encode
from medseg.errors import DataError
from tests.support.annotation_files import (
    LABELS,
    MODEL,
    SIZE,
    assert_same_masks,
    box,
    draw_only,
    list_reasons,
    make_images,
)


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return path


def test_starts_along_columns(tmp_path):
    """Pixels of 3 x 4: the second and third of the first column, then the last column."""
    path = write(tmp_path / "a.csv", "ImageId,EncodedPixels\na,2 2 10 3\n")
    found = read_annotations(path)
    assert (found.format, found.labels, found.images[0].size) == ("rle_csv", ("foreground",), None)
    expected = box(1, 0, 3, 1, (3, 4)) | box(0, 3, 3, 4, (3, 4))
    np.testing.assert_array_equal(draw_only(found, (3, 4))["foreground"], expected)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_siim_counts_from_the_end_of_the_run_before(tmp_path, encoding):
    """By `rle2mask` of SIIM-ACR: pixels 1 and 2, then 5 (2 after the end at 3) and 8 to 10."""
    text = "ImageId, EncodedPixels\r\n1.2.3, 1 2 2 1 2 3\r\n1.2.4, -1\r\n"
    found = read_annotations(write(tmp_path / "a.csv", text, encoding))
    assert [(image.name, len(image.shapes)) for image in found.images] == [("1.2.3", 1), ("1.2.4", 0)]
    flat = np.zeros(12, bool)
    flat[[1, 2, 5, 8, 9, 10]] = True
    np.testing.assert_array_equal(draw_masks(found.images[0], (3, 4))["foreground"], flat.reshape(4, 3).T)


def test_several_rows_of_an_image_and_classes(tmp_path):
    path = write(tmp_path / "a.csv", "ImageId;ClassId;EncodedPixels\na;1;1 1\na;1;3 1\na;2;\n")
    found = read_annotations(path)
    assert found.labels == ("1", "2")
    assert draw_only(found, (3, 4))["1"][:, 0].tolist() == [True, False, True]


def test_chexmask_counts_along_rows(tmp_path):
    text = "image_id,Dice RCA (Mean),Landmarks,Left Lung,Right Lung,Heart,Height,Width\na.png,0.9,x,2 2 9 1,1 1,,3,4\n"
    found = read_annotations(write(tmp_path / "a.csv", text))
    assert (found.format, found.labels, found.images[0].size) == (
        "chexmask",
        ("Left Lung", "Right Lung", "Heart"),
        (3, 4),
    )
    masks = draw_only(found, (3, 4))
    np.testing.assert_array_equal(masks["Left Lung"], box(0, 1, 1, 3, (3, 4)) | box(2, 0, 3, 1, (3, 4)))
    assert not masks["Heart"].any()


@pytest.mark.parametrize(
    ("row", "code", "reason"),
    [
        ("a,1 2 3", "shape", "has 3 run-length numbers"),
        ("a,1 x", "shape", "not written as usual"),
        ("a,-3 4", "shape", "none negative"),
        (",1 2", "name", "an image has no name"),
    ],
)
def test_problems(tmp_path, row, code, reason):
    ((_, _, found, text),) = list_reasons(write(tmp_path / "a.csv", f"ImageId,EncodedPixels\n{row}\n"))
    assert found == code
    assert reason in text


ORGANS = ("Left Lung", "Right Lung", "Heart")


def test_a_row_of_chexmask_without_size(tmp_path):
    path = write(tmp_path / "a.csv", "Path,Left Lung,Right Lung,Heart,Height,Width\na.png,,,1 1,,\n")
    assert set(list_reasons(path)) == {("a.png", organ, "size", "has no Height or Width") for organ in ORGANS}


def test_runs_beyond_the_image(tmp_path):
    (image,) = read_annotations(write(tmp_path / "a.csv", "ImageId,EncodedPixels\na,1 99\n")).images
    with pytest.raises(DataError, match=r"a\.csv: image a: label foreground: has run lengths beyond its 3 x 4 pixels"):
        draw_masks(image, (3, 4))


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined):
    images = make_images(outlined, MODEL)
    FORMATS["rle_csv"].write(tmp_path, images, LABELS)
    path = tmp_path / "rle.csv"
    found = read_annotations(path)
    assert (found.labels, found.problems) == (LABELS, ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.size, image.made_by) == (original.name, original.size, MODEL)
        assert_same_masks(image, original)
    first = " ".join(map(str, encode(draw_masks(images[0], SIZE)["heart"], "columns", whole=True).pairs[0] + (1, 0)))
    assert first in path.read_text()
    path.write_text(path.read_text().replace(first, "1 1 " + first))
    assert [image.made_by for image in read_annotations(path).images] == [None, MODEL]
