from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.evaluation.files import format_per_case
from medseg.hardware.device import find_hardware
from medseg.model.checkpoint import load_checkpoint, load_model, save_checkpoint
from medseg.receipt.receipt import build_receipt
from medseg.training.config import TrainingConfig
from medseg.verification.item import Missing
from medseg.verification.rerun import (
    Likeness,
    check_budget,
    compare_files,
    compare_tables,
    compare_trainings,
    judge,
    list_departures,
    list_unequal,
)
from tests.support.evaluated_models import write_shapes_model
from tests.support.sample_evaluation import draw_evaluation
from tests.support.shape_images import write_png_folder


def test_a_training_that_the_clock_ended_is_not_repeated() -> None:
    hardware = replace(find_hardware("cpu", "fp32"), has_bf16=False)
    with pytest.raises(Missing, match=r"train.minutes=1.5: the clock ended this training.*train.epochs or train.tflop"):
        check_budget(TrainingConfig(minutes=1.5, epochs=3), hardware)
    check_budget(TrainingConfig(epochs=3), hardware)
    check_budget(TrainingConfig(tflop=3), hardware)
    with pytest.raises(Missing, match="bfloat16"):
        check_budget(TrainingConfig(epochs=3), replace(hardware, precision="bf16"))


def test_bytes_must_be_equal_unless_code_or_machine_differ() -> None:
    receipt = build_receipt("training", configuration="c", backend="torch/cpu/fp32")
    assert list_departures(receipt) == []
    other = replace(receipt, environment=replace(receipt.environment, processor="Z80"))
    (departure,) = list_departures(other)
    assert departure.startswith("processor Z80 then")
    gpu = replace(receipt, environment=replace(receipt.environment, device="H200"))
    assert "a GPU adds numbers in another order each time" in list_departures(gpu)


@pytest.mark.parametrize(
    ("equal", "departures", "likeness", "verdict"),
    [
        (True, [], None, "same"),
        (True, ["processor"], None, "same"),
        (False, [], Likeness(0.9999, 0.001), "changed"),
        (False, ["processor"], Likeness(0.9999, 0.001), "same"),
        (False, ["processor"], Likeness(0.89, 0.001), "changed"),
        (False, ["processor"], Likeness(0.95, 0.1), "same"),
        (False, ["processor"], Likeness(0.95), "changed"),
        (False, ["processor"], Likeness(0.9999, 1.1), "changed"),
        (False, ["processor"], Likeness(difference=0.5), "changed"),
        (False, ["processor"], Likeness(difference=0.001), "same"),
        (False, ["processor"], None, "changed"),
    ],
)
def test_another_machine_has_tolerances(
    equal: bool, departures: list[str], likeness: Likeness | None, verdict: str
) -> None:
    item = judge(equal, "weights", departures, likeness)
    assert item.verdict == verdict
    assert ("equal, byte for byte" in item.reason) == equal
    assert likeness is None or "tolerance" in item.reason


@pytest.mark.slow
def test_models_are_compared_by_weights_and_masks(tmp_path: Path) -> None:
    data = DataConfig(root=write_png_folder(tmp_path / "data", 3))
    found = find_cases(data)
    first = write_shapes_model(tmp_path / "a.pt", preprocess=PreprocessConfig(size=(32, 32)))
    card, content = load_checkpoint(first)
    scaled = {name: value * 1.1 if name == "out.bias" else value for name, value in content["weights"].items()}
    save_checkpoint(tmp_path / "b.pt", card, scaled)
    hardware = find_hardware("cpu", "fp32")
    same = compare_trainings(first, first, found, found.cases, data, hardware)
    assert (same.dice, same.weights) == (1, 0)
    other = compare_trainings(first, tmp_path / "b.pt", found, found.cases, data, hardware)
    bias = content["weights"]["out.bias"].double()
    norm = torch.cat([each.detach().double().reshape(-1) for each in load_model(first)[1].parameters()]).norm()
    assert other.weights == pytest.approx(float(0.1 * bias.norm() / norm), rel=1e-4)
    assert other.dice is not None
    assert 0.5 < other.dice < 1


def test_files_are_compared_by_bytes_and_masks_by_dice(tmp_path: Path) -> None:
    names = [f"png/heart/{n}.png" for n in "ab"] + ["seg/a.dcm"]
    for folder, columns in (("one", 4), ("two", 2)):
        for name, width in zip(names, (4, columns, 0), strict=True):
            mask = np.zeros((8, 8), np.uint8)
            mask[:, :width] = 255
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(tmp_path / folder / name, "PNG")
    one, two = tmp_path / "one", tmp_path / "two"
    assert list_unequal(one, two, names) == ["png/heart/b.png"]
    likeness = compare_files(one, two, names)
    assert likeness is not None
    assert likeness.dice == pytest.approx((1 + 2 * 16 / (32 + 16)) / 2)
    (two / names[0]).unlink()
    assert list_unequal(one, two, names) == names[:2]
    gone = compare_files(one, two, names)
    assert gone is not None
    assert gone.dice == pytest.approx((0 + 2 / 3) / 2)
    assert compare_files(one, two, ["seg/a.dcm"]) is None


@pytest.mark.slow
def test_tables_are_compared_by_their_dice(tmp_path: Path) -> None:
    drawn = draw_evaluation(4, 64, 0)
    cases = [replace(case, scores={**case.scores, "ctr_prediction": 0.5}) for case in drawn.cases]
    evaluation = replace(drawn, cases=cases)
    first = evaluation.cases[0]
    changed = replace(first, scores={**first.scores, "dice_lungs": first.scores["dice_lungs"] - 0.125})
    for name, cases in (("a", evaluation.cases), ("b", [changed, *evaluation.cases[1:]]), ("c", evaluation.cases[1:])):
        (tmp_path / name).write_text(format_per_case(replace(evaluation, cases=cases)))
    likeness = compare_tables(tmp_path / "a", tmp_path / "b")
    assert likeness is not None
    assert likeness.difference == pytest.approx(0.125)
    assert compare_tables(tmp_path / "a", tmp_path / "c") is None
