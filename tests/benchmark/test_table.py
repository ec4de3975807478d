from medseg.benchmark.contest import Contest, Contestant
from medseg.benchmark.table import format_table


def test_the_limit_is_named_by_its_precision():
    rows, limit = (
        (Contestant("article", turns=(2.0,), gflop=72.0),),
        Contestant("fp32 product", turns=(0.5,), gflop=36.0),
    )
    lines = format_table(Contest("prediction", "width 64", rows, products=[limit])).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["s/image", "images/s", "GFLOP/s", "of", "fp32", "ratio"],
        ["article", "2", "0.5", "36", "0.50", "1.00"],
    ]


def test_lines_are_aligned_and_say_what_is_missing():
    rows = (
        Contestant("article", turns=(2.0, 2.0, 4.0), gflop=400.0, details={"loop_seconds": 2.5}),
        Contestant("openvino/cpu/bf16", turns=(0.5, 0.5, 0.5), gflop=400.0, details={"dice": {"lungs": 0.99871}}),
        Contestant("openvino/cpu/int8", note="nncf not installed"),
    )
    limit = Contestant("bf16 product", turns=(0.5,), gflop=500.0)
    lines = format_table(Contest("prediction", "width 64, 512 x 512", rows, products=[limit])).splitlines()
    assert lines[0] == "Prediction: the network alone, width 64, 512 x 512"
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "s/image quartiles images/s GFLOP/s of bf16 ratio",
        "article 2 2 .. 3 0.5 200 0.20 1.00 whole loop 2.5 s",
        "openvino/cpu/bf16 0.5 0.5 .. 0.5 2 800 0.80 4.00 Dice with fp32: lungs 0.9987",
        "openvino/cpu/int8 - nncf not installed",
    ]
    end = lines[1].index("ratio") + len("ratio")
    assert (lines[2][:end][-4:], lines[3][:end][-4:]) == ("1.00", "4.00")


def test_a_lower_bound_is_said():
    rows = (
        Contestant("article", at_least=90.0, note="not reached in 1.5 minutes"),
        Contestant("medseg", turns=(30.0,)),
    )
    text = format_table(Contest("time_to_dice", "Dice 0.95", rows, unit="training"))
    assert "not reached in 1.5 minutes" in text
    assert "more than 3.00" in text


def test_shares_that_are_sums_over_processes_are_marked():
    details = {"shares": {"predict": 0.9, "decode": 1.3}}
    rows = (Contestant("network alone", turns=(1.0,)), Contestant("DICOM to PNG", turns=(1.1,), details=details))
    text = format_table(Contest("folder", "width 64", rows, "network alone"))
    assert "predict 90%, decode 130% (sum of processes)" in text
