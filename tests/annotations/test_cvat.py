import numpy as np
import pytest

from medseg.annotations import FORMATS, read_annotations
from medseg.errors import RadiographError
from tests.support.annotation_files import LABELS, MODEL, assert_same_masks, box, draw_only, list_reasons, make_images

SIZE = (20, 30)
LABEL_LIST = """<label><name>heart</name><type>any</type></label><label><name>unused</name></label>
<label><name>spine</name><type>skeleton</type></label><label><name>1</name><type>points</type><parent>spine</parent></label>"""


def write(path, figures, image='name="a.png" width="30" height="20"', root="task"):
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><{root}><labels>{LABEL_LIST}'
        f'</labels></{root}></meta><image id="0" {image}>{figures}</image></annotations>'
    )
    return path


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ('<polygon label="heart" points="2.00,1.00;6.00,1.00;6.00,4.00;2.00,4.00"/>', box(1, 2, 4, 6, SIZE)),
        ('<box label="heart" xtl="2" ytl="1" xbr="6" ybr="4"/>', box(1, 2, 4, 6, SIZE)),
        ('<box label="heart" xtl="10" ytl="10" xbr="20" ybr="14" rotation="90.00"/>', box(7, 13, 17, 17, SIZE)),
        ('<mask label="heart" rle="2, 3, 1" left="5" top="7" width="3" height="2"/>', None),
        ('<tag label="good"/><box label="heart" xtl="2" ytl="1" xbr="6" ybr="4"/>', box(1, 2, 4, 6, SIZE)),
    ],
)
def test_figures(tmp_path, figure, expected):
    if expected is None:
        expected = box(7, 7, 8, 8, SIZE) | box(8, 5, 9, 7, SIZE)
    found = read_annotations(write(tmp_path / "a.xml", figure))
    assert (found.format, found.labels, found.images[0].size) == ("cvat", ("heart", "unused"), SIZE)
    np.testing.assert_array_equal(draw_only(found, SIZE)["heart"], expected)


def test_a_turned_ellipse(tmp_path):
    figure = '<ellipse label="heart" cx="15" cy="10" rx="8" ry="2" rotation="45"/>'
    mask = draw_only(read_annotations(write(tmp_path / "a.xml", figure)), SIZE)["heart"]
    assert mask[14, 19]
    assert not mask[5, 19]
    assert mask.sum() == pytest.approx(np.pi * 16, abs=4)


def test_the_split_of_a_project(tmp_path):
    path = write(tmp_path / "a.xml", "", 'name="a.png" subset="Validation" width="30" height="20"', "project")
    found = read_annotations(path)
    assert (found.images[0].split, found.labels) == ("validation", ("heart", "unused"))


@pytest.mark.parametrize(
    ("figure", "code", "reason"),
    [
        ('<polyline label="heart" points="1,1;2,2;3,1"/>', "no_area", "<polyline> covers no area"),
        ('<points label="heart" points="1,1"/>', "no_area", "<points> covers no area"),
        ('<mask label="heart" rle="2, 3" left="5" top="7" width="3" height="2"/>', "size", "its box has 2 x 3"),
        ('<polygon label="heart" points="1,1;2,x;3,1"/>', "shape", "not written as usual"),
        ('<box label="heart" xtl="2"/>', "shape", "lacks 'ytl'"),
    ],
)
def test_problems(tmp_path, figure, code, reason):
    ((image, label, found, text),) = list_reasons(write(tmp_path / "a.xml", figure))
    assert (image, label, found) == ("a.png", "heart", code)
    assert reason in text


def test_videos_are_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<annotations><track id='0' label='a'/></annotations>")
    with pytest.raises(RadiographError, match=r"a\.xml: is CVAT for videos"):
        read_annotations(path)


@pytest.mark.parametrize("outlined", [True, False])
def test_what_is_written_is_read_back(tmp_path, outlined):
    images = make_images(outlined, MODEL)
    FORMATS["cvat"].write(tmp_path, images, LABELS)
    path = tmp_path / "annotations.xml"
    found = read_annotations(path)
    assert (found.labels, found.problems) == (LABELS, ())
    for image, original in zip(found.images, images, strict=True):
        assert (image.name, image.size, image.made_by) == (original.name, original.size, MODEL)
        assert_same_masks(image, original)
    assert 'source="auto"' in path.read_text()
    path.write_text(path.read_text().replace('label="heart"', 'label="unused"', 1))
    assert [image.made_by for image in read_annotations(path).images] == [None, MODEL]
