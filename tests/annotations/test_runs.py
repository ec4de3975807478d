import numpy as np
import pytest

from medseg.annotations.runs import decode, encode, from_counts, pack_brush, parse_coco, to_counts, unpack_brush
from medseg.annotations.shape import Runs
from medseg.errors import RadiographError
from tests.support.annotation_files import MASK, SIZE, box

SMALL = box(1, 2, 4, 5, (6, 9))
SMALL[2, 3], SMALL[5, 8] = False, True
COCO = "=33NN022f0N"
"""`SMALL`, compressed by pycocotools 2.0.11."""
BRUSHED = box(1, 2, 3, 5, (4, 6))
BRUSH = [0, 0, 0, 96, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 27, 0]
"""`BRUSHED`, packed by `mask2rle` of label_studio_converter 0.0.59, without the empty byte that it appends."""


@pytest.mark.parametrize("order", ["rows", "columns"])
@pytest.mark.parametrize("whole", [True, False])
def test_runs_hold_a_mask(order, whole):
    runs = encode(MASK, order, whole)
    top, left, rows, columns = runs.box
    assert (rows, columns) == (SIZE if whole else (22, 27))
    np.testing.assert_array_equal(decode(runs, SIZE), MASK[top : top + rows, left : left + columns])
    again = from_counts(to_counts(runs), order, runs.box)
    np.testing.assert_array_equal(again.pairs, runs.pairs)


def test_counts_by_hand():
    assert to_counts(encode(np.array([[0, 0, 1], [1, 1, 0]], bool), whole=True)) == [2, 3, 1]
    assert to_counts(encode(np.array([[0, 0, 1], [1, 1, 0]], bool), "columns", whole=True)) == [1, 1, 1, 2, 1]
    assert to_counts(encode(np.ones((2, 2), bool))) == [0, 4]
    assert to_counts(encode(np.zeros((2, 2), bool))) == [4]


def test_the_compressed_text_of_coco():
    assert parse_coco(COCO) == to_counts(encode(SMALL, "columns", whole=True))
    assert parse_coco("09") == [0, 9]
    with pytest.raises(RadiographError, match="damaged run-length text"):
        parse_coco("o" * 50)


def test_the_brush_of_label_studio():
    assert pack_brush(BRUSHED) == BRUSH
    runs = unpack_brush(BRUSH, 4, 6)
    assert runs.box == (1, 2, 2, 3)
    assert decode(runs, (4, 6)).all()


def test_a_brush_of_long_runs_and_single_values():
    large = box(3, 2, 200, 190, (300, 200))
    np.testing.assert_array_equal(decode(unpack_brush(pack_brush(large), 300, 200), (0, 0)), large[3:200, 2:190])
    bits = f"{4:032b}{7:05b}" + "0000" * 4 + "0" + "00" + "0" + f"{9:08b}" + "0000" + f"{9:08b}" + "1001" + f"{255:08b}"
    data = [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]
    assert decode(unpack_brush(data, 1, 1), (1, 1)).all()  # two single values of 9, then twice 255


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda: from_counts([3, 4], "rows", (0, 0, 2, 3)), "run lengths of 7 pixels in all, but its box has 2 x 3"),
        (lambda: from_counts([9, -3], "rows", (0, 0, 2, 3)), "run lengths of 6 pixels"),
        (lambda: from_counts([1 << 40], "rows", (0, 0, 1 << 20, 1 << 20)), "claims 1048576 x 1048576 pixels"),
        (lambda: decode(Runs(np.array([(4, 3)]), "rows", (0, 0, 2, 3)), (2, 3)), "beyond its 2 x 3 pixels"),
        (lambda: decode(Runs(np.array([(5, 2)]), "rows"), (2, 3)), "beyond its 2 x 3 pixels"),
        (lambda: unpack_brush(BRUSH, 5, 5), "96 brush values, but 5 x 5 pixels of 4 values"),
        (lambda: unpack_brush(BRUSH[:12], 4, 6), "cut short"),
    ],
)
def test_runs_that_do_not_fit(read, reason):
    with pytest.raises(RadiographError, match=reason):
        read()
