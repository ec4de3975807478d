import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_iou
from pydicom import dcmread
from sklearn.metrics import jaccard_score

from medseg.commands.evaluate_xray import EvaluateXrayConfig
from medseg.config import leaf_fields
from medseg.data.config import EvaluateDataConfig
from medseg.data.rules import RULES
from medseg.errors import ConfigError, DataError, IncomparableError
from medseg.evaluation.config import EvaluationConfig
from medseg.evaluation.evaluate import Earlier, evaluate_model
from medseg.evaluation.files import format_per_case, read_per_case
from medseg.evaluation.result import Evaluation
from medseg.phantom.dicom import write_phantoms
from tests.support.evaluated_models import CLASSES, digest, empty_mask, place, write_manifest, write_shapes_model
from tests.support.shape_images import write_png_folder

QUICK = EvaluationConfig(shown=1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_png_folder(tmp_path_factory.mktemp("data"), 6)
    empty_mask(root, "case02", "disc")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes_model(tmp_path_factory.mktemp("model") / "a.pt", thresholds={"box": 0.3, "disc": 0.6})


def run(model: Path, data: EvaluateDataConfig, config: EvaluationConfig = QUICK, **predict: object) -> Evaluation:
    candidate, found = place(model, data, **predict)
    return evaluate_model(candidate, found, data, config)


def test_masks_that_a_model_drew_are_no_reference(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    cases = tuple(replace(case, made_by="1a2b" if case.id < "case05" else None) for case in found.cases)
    with pytest.raises(DataError, match=r"a model drew, and that nobody has corrected \(5\):\n +case00\n"):
        evaluate_model(candidate, replace(found, cases=cases), data, QUICK)


def means(evaluation: Evaluation) -> dict[str, float]:
    return {summary.name: summary.mean for summary in evaluation.summaries}


def predict_all(model: Path, data: EvaluateDataConfig, threshold: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks and references `(case, class, rows, columns)`, straight from the predictor."""
    candidate, found = place(model, data, threshold=threshold)
    reads = [candidate.read(case) for case in found.cases]
    masks = [candidate.predictor.masks(candidate.predict([r.shown])[0][1], r.frame) for r in reads]
    return torch.stack(masks), torch.stack([r.reference for r in reads])


def test_overlap_is_monais_and_miou_that_of_scikit_learn(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    masks, references = predict_all(model, data)
    dice = compute_dice(masks.float(), references.float(), ignore_empty=False)
    iou = compute_iou(masks.float(), references.float(), ignore_empty=False)
    found = means(run(model, data))
    assert [found[f"dice_{c}"] for c in CLASSES] == pytest.approx(dice.mean(dim=0).tolist(), abs=1e-6)
    assert [found[f"iou_{c}"] for c in CLASSES] == pytest.approx(iou.mean(dim=0).tolist(), abs=1e-6)
    assert found["dice"] == pytest.approx(float(dice.mean()), abs=1e-6)
    per_class = [
        np.mean([jaccard_score(references[:, i].flatten(), masks[:, i].flatten(), pos_label=label) for label in (0, 1)])
        for i in range(2)
    ]
    assert found["miou"] == pytest.approx(np.mean(per_class), abs=1e-6)


def test_empty_reference_counts_in_overlap_and_is_missing_in_distances(model: Path, root: Path) -> None:
    evaluation = run(model, EvaluateDataConfig(root=root))
    case = next(case for case in evaluation.cases if case.case == "case02")
    assert case.scores["dice_disc"] == 0
    assert all(np.isnan(case.scores[f"{metric}_disc"]) for metric in ("hd95", "assd", "nsd", "area_error"))
    missing = {summary.name: summary.missing for summary in evaluation.summaries}
    assert (missing["dice_disc"], missing["hd95_disc"], missing["hd95_box"]) == (0, 1, 0)
    assert evaluation.warnings == [
        "no surface distances of disc: its reference or its prediction is empty (1 case)",
        f"masks without foreground (1): case02. {RULES['empty_mask'].remedy}",
    ]
    assert ("empty_mask", ("case02",)) in [(found.code, found.cases) for found in evaluation.findings or ()]


def test_area_error_is_relative(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    masks, references = predict_all(model, data)
    areas = [maps[0, 0].sum().item() for maps in (masks, references)]
    assert run(model, data).cases[0].scores["area_error_box"] == pytest.approx((areas[0] - areas[1]) / areas[1])


@pytest.mark.slow
def test_thresholds_are_reported_and_not_applied(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    evaluation = run(model, data)
    at_best = [means(run(model, data, threshold=t))[f"dice_{c}"] for c, t in zip(CLASSES, (0.3, 0.6), strict=True)]
    assert evaluation.cut == {"box": 0.5, "disc": 0.5}
    for index, (name, best) in enumerate((("box", 0.3), ("disc", 0.6))):
        expected = (best, at_best[index], means(evaluation)[f"dice_{name}"])
        assert evaluation.thresholds[name] == pytest.approx(expected, abs=1e-6)
    assert run(model, data, threshold="best").cut == {"box": 0.3, "disc": 0.6}


@pytest.mark.slow
def test_seen_cases_are_left_out_unless_all_are_asked_for(model: Path, root: Path, tmp_path: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    seen = {
        "train_digests": digest(candidate, found, "case00", "case03"),
        "validation_digests": digest(candidate, found, "case05"),
    }
    other = write_shapes_model(tmp_path / "b.pt", **seen)
    evaluation = run(other, data)
    assert [case.case for case in evaluation.cases] == ["case01", "case02", "case04"]
    assert (evaluation.subset, evaluation.left_out) == ("unseen", 3)
    everything = run(other, data.model_copy(update={"subset": "all"}))
    assert (everything.subset, everything.left_out, len(everything.cases)) == ("all", 0, 6)
    assert "scored although the model was trained or validated on these (3 cases)" in everything.warnings
    assert [case.seen for case in everything.cases] == ["training", "", "", "training", "", "validation"]
    names = [case.id for case in found.cases]
    all_seen = write_shapes_model(tmp_path / "c.pt", train_digests=digest(candidate, found, *names))
    with pytest.raises(DataError, match=r"on all 6 cases\. To evaluate on them anyway, set data\.subset=all"):
        run(all_seen, data)


def test_only_common_classes_are_scored(root: Path, tmp_path: Path) -> None:
    data = EvaluateDataConfig(root=root)
    evaluation = run(write_shapes_model(tmp_path / "a.pt", classes=("arm", "disc")), data)
    assert evaluation.classes == ("disc",)
    assert evaluation.warnings[:2] == [
        "class arm of the model is not in the data",
        "class box of the data is not in the model",
    ]
    with pytest.raises(DataError, match="no class in common"):
        run(write_shapes_model(tmp_path / "b.pt", classes=("arm",)), data)


def test_results_by_a_column_and_patients_as_numbers(model: Path, root: Path) -> None:
    columns = {"site": ["A", "B", "A", "B", "", "A"], "patient": ["k", "k", "l", "m", "l", "n"]}
    data = EvaluateDataConfig(root=write_manifest(root, columns))
    evaluation = run(model, data, EvaluationConfig(by=("site",), shown=0))
    assert [case.patient for case in evaluation.cases] == ["p001", "p001", "p002", "p003", "p002", "p004"]
    assert {value: found[0].count for value, found in evaluation.by["site"].items()} == {"(empty)": 1, "A": 3, "B": 2}
    of_b = [case.scores["dice_box"] for case in evaluation.cases if case.groups["site"] == "B"]
    assert {s.name: s.mean for s in evaluation.by["site"]["B"]}["dice_box"] == pytest.approx(np.mean(of_b))
    with pytest.raises(ConfigError, match=r"no column sight in .*; its columns are: site"):
        run(model, data, EvaluationConfig(by=("sight",)))


@pytest.mark.slow
@pytest.mark.parametrize("shared", ["", "Anonymous"])
def test_a_placeholder_that_images_share_is_no_patient(shared: str, tmp_path: Path) -> None:
    root = write_phantoms(tmp_path / "data", 5, 64, seed=5)
    for index, path in enumerate(sorted((root / "images").iterdir())):
        dataset = dcmread(path)
        dataset.PatientID = shared if index < 3 else "real"
        dataset.save_as(path)
    model = write_shapes_model(tmp_path / "a.pt", classes=("heart", "lungs"))
    evaluation = run(model, EvaluateDataConfig(root=root))
    assert [case.patient for case in evaluation.cases] == ["p001", "p002", "p003", "p004", "p004"]
    (warning,) = (text for text in evaluation.warnings if "placeholder" in text)
    assert "each image counts as a different patient" in warning
    assert warning.endswith("(3 cases)")
    assert all(math.isfinite(s.interval.low) for s in evaluation.summaries if s.name == "dice_heart")


def test_one_patient_alone_has_no_intervals_and_it_is_said(model: Path, root: Path) -> None:
    columns = {"patient": ["k"] * 6}
    said = "no intervals: all cases are of one patient"
    assert said in run(model, EvaluateDataConfig(root=write_manifest(root, columns))).warnings
    columns["patient"][0] = "l"
    assert said not in run(model, EvaluateDataConfig(root=write_manifest(root, columns))).warnings


def test_the_split_is_a_column_too(model: Path, root: Path) -> None:
    splits = ["train", "test", "test", "train", "validation", "test"]
    data = EvaluateDataConfig(root=write_manifest(root, {"split": splits, "patient": list("abcdef")}))
    evaluation = run(model, data, EvaluationConfig(by=("split",), shown=0))
    assert {value: found[0].count for value, found in evaluation.by["split"].items()} == {
        "test": 3,
        "train": 2,
        "validation": 1,
    }
    with pytest.raises(ConfigError, match=r"no column patient in .*; its columns are: split"):
        run(model, data, EvaluationConfig(by=("patient",)))


def test_only_the_shown_cases_keep_their_pictures(model: Path, root: Path) -> None:
    evaluation = run(model, EvaluateDataConfig(root=root))
    ranked = sorted(evaluation.cases, key=lambda case: (case.scores["dice_box"] + case.scores["dice_disc"], case.case))
    shown = [case for case in evaluation.cases if case.picture is not None]
    assert {case.case for case in shown} == {ranked[i].case for i in (0, 2, 5)}
    assert evaluation.shown == 1
    masks, references = predict_all(model, EvaluateDataConfig(root=root))
    index = evaluation.cases.index(shown[0])
    assert np.array_equal(shown[0].reference, references[index])
    assert np.array_equal(shown[0].prediction, masks[index])
    assert shown[0].picture is not None
    assert shown[0].picture.shape == (48, 40)


@pytest.mark.slow
def test_a_model_compared_with_itself_differs_in_nothing(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    comparison = evaluate_model(candidate, found, data, QUICK, candidate).comparison
    assert comparison is not None
    assert (comparison.cases, comparison.moved, comparison.other) == (6, [], candidate.digest)
    assert comparison.differences["dice_box"].difference == 0
    assert comparison.adjusted["dice_box"] == 1


@pytest.mark.slow
def test_compared_are_cases_that_neither_has_seen(model: Path, root: Path, tmp_path: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    seen = write_shapes_model(tmp_path / "b.pt", seed=1, train_digests=digest(candidate, found, "case01"))
    other, _ = place(seen, data)
    evaluation = evaluate_model(candidate, found, data, QUICK, other)
    assert evaluation.comparison is not None
    assert (evaluation.left_out, len(evaluation.cases), evaluation.comparison.cases) == (1, 5, 5)
    ours, theirs = run(model, data), run(seen, data)
    kept = [case.scores["dice_box"] for case in ours.cases if case.case != "case01"]
    expected = np.mean([case.scores["dice_box"] for case in theirs.cases]) - np.mean(kept)
    assert evaluation.comparison.differences["dice_box"].difference == pytest.approx(expected)


@pytest.mark.slow
def test_an_earlier_evaluation_is_paired_by_case_and_pixels(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    cases = [
        replace(case, scores={**case.scores, "dice_box": case.scores["dice_box"] - 0.1})
        for case in run(model, data).cases[2:]
    ]
    changed = (replace(cases[0], digest="changed"), *cases[1:])
    evaluation = evaluate_model(candidate, found, data, QUICK, Earlier("before", changed))
    assert evaluation.comparison is not None
    assert evaluation.comparison.cases == 3
    assert evaluation.comparison.differences["dice_box"].difference == pytest.approx(-0.1)
    assert any("before has different pixels under the same case name" in warning for warning in evaluation.warnings)
    with pytest.raises(IncomparableError, match="compare: empty has no case in common"):
        evaluate_model(candidate, found, data, QUICK, Earlier("empty", ()))


@pytest.mark.slow
def test_that_the_other_model_has_seen_cases_which_are_compared_is_said(
    model: Path, root: Path, tmp_path: Path
) -> None:
    data = EvaluateDataConfig(root=root, subset="all")
    candidate, found = place(model, data)
    other, _ = place(write_shapes_model(tmp_path / "b.pt", train_digests=digest(candidate, found, "case01")), data)
    evaluation = evaluate_model(candidate, found, data, QUICK, other)
    said = f"compared: {other.digest} was trained or validated on these (1 case)"
    assert said in evaluation.warnings


@pytest.mark.slow
def test_the_test_set_is_the_same_whatever_was_left_out(model: Path, root: Path, tmp_path: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    other = write_shapes_model(tmp_path / "b.pt", train_digests=digest(candidate, found, "case01"))
    ours, theirs = run(model, data), run(other, data)
    assert len(ours.test_set) == 32
    assert ours.test_set == theirs.test_set
    assert ours.digest != theirs.digest
    fewer = write_png_folder(tmp_path / "data", 5)
    assert run(model, EvaluateDataConfig(root=fewer)).test_set != ours.test_set


def test_a_model_that_cannot_be_measured_is_incomparable(model: Path, tmp_path: Path) -> None:
    """It has classes that the evaluated model has not: a mask that cannot be read, or cases that it has seen."""
    root = write_png_folder(tmp_path / "data", 4)
    data = EvaluateDataConfig(root=root)
    boxes, found = place(write_shapes_model(tmp_path / "a.pt", classes=("box",)), data)
    other, _ = place(model, data)
    (root / "masks" / "disc" / "case02.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(IncomparableError, match=r"case02\.png"):
        evaluate_model(boxes, found, data, QUICK, other)


def test_a_model_compared_with_its_own_table_differs_in_nothing(model: Path, root: Path, tmp_path: Path) -> None:
    data = EvaluateDataConfig(root=root)
    candidate, found = place(model, data)
    table = tmp_path / "per_case.csv"
    table.write_text(format_per_case(evaluate_model(candidate, found, data, QUICK)), encoding="utf-8")
    evaluation = evaluate_model(candidate, found, data, QUICK, Earlier("before", tuple(read_per_case(table))))
    assert evaluation.comparison is not None
    assert {paired.difference for paired in evaluation.comparison.differences.values()} == {0.0}
    assert evaluation.comparison.moved == []
    assert [text for text in evaluation.warnings if "comparison" in text] == [
        "6 patients are too few for the comparison: with fewer than 7, no p-value over 2 classes can fall below 0.05"
    ]


def test_every_case_that_cannot_be_read_is_listed(model: Path, tmp_path: Path) -> None:
    root = write_png_folder(tmp_path / "data", 4)
    for name in ("case01", "case03"):
        (root / "images" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DataError, match=r"(?s)case01\.png.*case03\.png"):
        run(model, EvaluateDataConfig(root=root))


@pytest.mark.slow
def test_stress_starts_from_the_main_pass_and_is_the_same_each_time(model: Path, root: Path) -> None:
    data = EvaluateDataConfig(root=root)
    config = EvaluationConfig(stress=True, stress_cases=6, shown=0)
    first, second = (run(model, data, config) for _ in range(2))
    assert first.stress == second.stress
    assert len(first.stress) == 14
    for curve in first.stress:
        assert curve.levels[0] == 0
        assert len(curve.levels) == 6
        assert curve.dice["box"][0] == pytest.approx(means(first)["dice_box"], abs=1e-6)
        assert all(len(values) == 6 for values in curve.dice.values())
    assert any(curve.dice["box"][5] != curve.dice["box"][0] for curve in first.stress)


def test_radiographs_are_read_as_the_model_was_trained(root: Path, tmp_path: Path) -> None:
    model = write_shapes_model(tmp_path / "a.pt", reading={"presentation": "voi"})
    assert place(model, EvaluateDataConfig(root=root))[0].data.presentation == "voi"
    assert not {"data.presentation", "data.presentation_intent", "data.color"} & {
        key for key, *_ in leaf_fields(EvaluateXrayConfig)
    }
