import pytest

from medseg.benchmark.contest import Contest, Contestant
from medseg.benchmark.record import name_figures, slug


def test_a_lower_bound_has_a_name_of_its_own():
    raced = Contestant("article", at_least=90.0), Contestant("medseg", turns=(30.0,))
    metrics = name_figures(Contest("time_to_dice", "Dice", raced, unit="training"))
    assert metrics["time_to_dice/Dice/medseg/ratio_at_least"] == 3
    assert "time_to_dice/Dice/medseg/ratio" not in metrics
    assert not any(name.startswith("time_to_dice/Dice/article/") for name in metrics)


@pytest.mark.parametrize(
    ("text", "expected"), [("width 64, 512 x 512", "width-64-512-x-512"), ("openvino/cpu/bf16", "openvino-cpu-bf16")]
)
def test_names_for_files_and_metrics(text, expected):
    assert slug(text) == expected
