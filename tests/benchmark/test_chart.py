"""The chart shows every row, and no words lie on others."""

from itertools import combinations

import pytest

from medseg.benchmark.chart import draw_chart
from medseg.benchmark.contest import UNSAVED, Contest, Contestant
from medseg.benchmark.training import SHARES

LIMIT = [Contestant("bf16 product", 137.0, turns=(0.16,))]
SHARED = dict(zip(SHARES, (0.01, 0.06, 0.3, 0.5, 0.1, 0.03), strict=True))


def build_prediction(width: int, size: int) -> Contest:
    gflop = 404 * (width / 64) ** 2 * (size / 512) ** 2
    rates = {
        "article": 200,
        "torch/cpu/fp32": 260,
        "torch/cpu/bf16": 560,
        "openvino/cpu/fp32": 450,
        "openvino/cpu/bf16": 860,
    }
    rows = [Contestant(name, gflop, turns=(gflop / rate,)) for name, rate in rates.items()]
    rows.append(Contestant("openvino/cpu/int8", note="nncf not installed: pip install 'medseg[openvino]'"))
    return Contest("prediction", f"width {width}, {size} x {size}", rows, products=LIMIT)


def build_training(width: int) -> Contest:
    rows = [Contestant(name, 300.0, turns=(1.2,)) for name in ("article", UNSAVED)]
    rows += [
        Contestant(f"medseg, {mode} padding", 300.0, turns=(0.5,), details={"shares": SHARED})
        for mode in ("reflect", "zero")
    ]
    return Contest("training", f"width {width}, 256 x 256", rows, products=LIMIT)


FOLDER = (
    Contestant("network alone", 404.0, turns=(0.5,)),
    Contestant("DICOM to PNG", 404.0, turns=(0.55,)),
    Contestant("JPEG 2000 to PNG", 404.0, turns=(0.9,)),
    Contestant("DICOM to SEG", 404.0, turns=(0.7,)),
)
RACE = (Contestant("article", at_least=90.0, note="not reached in 1.5 minutes"), Contestant("medseg", turns=(31.0,)))
ALL = [
    Contest(
        "limit",
        "matrix product",
        (Contestant("fp32", 137.0, turns=(0.4,)), Contestant("bf16", 137.0, turns=(0.16,))),
        "fp32",
        LIMIT,
    ),
    *(build_prediction(width, size) for width in (16, 64) for size in (256, 512)),
    *(build_training(width) for width in (16, 64)),
    Contest("folder", "width 64, 512 x 512, 40 files of 2000 rows", FOLDER, "network alone"),
    Contest("time_to_dice", "validation Dice 0.95 (mean over classes)", RACE),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "contests", [ALL, ALL[:1], ALL[1:2], ALL[5:6], ALL[-2:]], ids=lambda c: f"{len(c)}-{c[0].part}"
)
def test_words_do_not_overlap_nor_leave_the_picture(contests):
    machine = "AMD EPYC; 2 of 2 cores; avx2, avx512_f, avx512_bf16; 23.5 GiB; torch 2.13.0+cpu; openvino 2026.4.1"
    figure = draw_chart(contests, machine)
    figure.draw_without_rendering()
    boxes = [(figure.get_suptitle(), figure._suptitle.get_window_extent())]
    for axes in figure.axes:
        legend = axes.get_legend()
        ticks = [tick for tick in axes.get_xticklabels() if tick.get_position()[0] <= axes.get_xlim()[1]]
        words = [*axes.texts, *axes.get_yticklabels(), *ticks, axes.xaxis.label, axes._left_title]
        words += legend.get_texts() if legend else []
        boxes += [(text.get_text(), text.get_window_extent()) for text in words if text.get_text()]
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height, text
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), f"{one!r} on {other!r}"


def test_every_row_is_named_with_its_ratio():
    figure = draw_chart(ALL, "AMD EPYC")
    names = {label.get_text() for axes in figure.axes for label in axes.get_yticklabels()}
    assert {who.name for contest in ALL for who in contest.contestants} <= names
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert "4.30 times, 2.13 images/s" in words  # openvino/cpu/bf16 at width 64, 512 x 512
    assert "91%, 1.82 images/s" in words
    assert "31 s, more than 2.9 times as fast" in words
    assert "nncf not installed: pip install 'medseg[openvino]'" in words
    assert "50%" in words


def test_parts_that_were_not_measured_are_left_out():
    titles = [axes.get_title("left") for axes in draw_chart(ALL[:1], "AMD EPYC").axes]
    assert titles == ["The limit"]
