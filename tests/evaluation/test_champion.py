import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from medseg.errors import ConfigError
from medseg.evaluation.champion import Champion, decide, find_champion_address, promote_model
from medseg.evaluation.compare import compare_cases
from medseg.evaluation.result import CaseResult, Comparison, Evaluation
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import load_models
from medseg.metrics.statistics import LEVEL, Paired
from medseg.tracking import TrackingConfig, download_model_checkpoint, start_run
from tests.support.model_files import write_model

CHAMPION = Champion("3", "c" * 16, ("heart", "lungs"), frozenset({"9" * 64, "8" * 64}))
Scores = dict[str, tuple[float, float]]


def compare(other: str, scores: Scores, patients: int) -> Comparison:
    """By metric: the other's mean Dice minus this model's, and the adjusted p-value."""
    known = {
        name: Paired(difference, difference - 0.1, difference + 0.1, p) for name, (difference, p) in scores.items()
    }
    return Comparison(other, known, {name: p for name, (_, p) in scores.items()}, (), patients, patients)


def evaluate(scores: Scores | None, **changes: Any) -> Evaluation:
    other = changes.pop("other", CHAMPION.model)
    digests = changes.pop("digests", [f"{n}" * 16 for n in range(7)])
    given: dict[str, Any] = {
        "model": "a" * 16,
        "data": "chest",
        "subset": "unseen",
        "left_out": 0,
        "classes": ("lungs", "heart"),
        "cases": [CaseResult(f"case{n}", f"p{n}", "px", {}, digest=digest) for n, digest in enumerate(digests)],
        "summaries": [],
        "comparison": None if scores is None else compare(other, scores, len(digests)),
        "test_set": "7" * 32,
    }
    return Evaluation(**(given | changes))


BETTER: Scores = {"dice_lungs": (-0.02, 0.01), "dice_heart": (0.001, 0.9), "dice": (-0.01, 0.02)}


@pytest.mark.parametrize(
    ("lungs", "heart", "mean", "promoted", "reason"),
    [
        ((-0.02, 0.01), (0.001, 0.9), -0.01, True, "better than version 3 in lungs (Dice +0.0200, p 0.01)"),
        ((-0.02, 0.01), (-0.01, 0.04), -0.015, True, "in lungs (Dice +0.0200, p 0.01), heart (Dice +0.0100, p 0.04)"),
        ((-0.02, 0.05), (0.0, 1.0), -0.01, False, "not significantly better than version 3"),
        ((-0.02, 0.01), (0.01, 0.04), -0.005, False, "significantly worse than version 3 in heart (Dice -0.0100"),
        ((0.02, 0.01), (0.01, 0.4), 0.015, False, "significantly worse than version 3 in lungs"),
        ((-0.02, 0.01), (0.06, 0.2), 0.02, False, "but worse on average over classes"),
        ((-0.02, 0.01), (0.02, 0.2), 0.0, True, "better than version 3 in lungs"),
    ],
)
def test_the_paired_test_decides(
    lungs: tuple[float, float], heart: tuple[float, float], mean: float, promoted: bool, reason: str
) -> None:
    verdict = decide(evaluate({"dice_lungs": lungs, "dice_heart": heart, "dice": (mean, 0.5)}), CHAMPION)
    assert (verdict.promoted, verdict.tested) == (promoted, True)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        (evaluate(None), "not compared with version 3"),
        (evaluate(BETTER, other="d" * 16), "not compared with version 3"),
        (evaluate(BETTER, digests=["9" * 16, "8" * 16, "7" * 16]), "trained or validated on 2 of the 3 cases"),
        (evaluate(None, digests=["9" * 16]), "trained or validated on 1 of the 1 cases"),
        (evaluate({"dice_lungs": (-0.1, 0.01), "dice": (-0.1, 0.01)}), "does not segment heart"),
        (
            evaluate({"dice_lungs": (-0.1, 0.01), "dice": (-0.1, 0.01)}, classes=("lungs",)),
            "the champion also segments heart, which was not tested",
        ),
        (
            evaluate(BETTER | {"dice_heart": (math.nan, math.nan)}),
            "the champion also segments heart, which was not tested",
        ),
        (
            evaluate(BETTER, digests=[f"{n}" * 16 for n in range(6)]),
            "too small to decide: 6 patients, the test needs at least 7",
        ),
    ],
)
def test_cases_that_cannot_decide_do_not(evaluation: Evaluation, reason: str) -> None:
    verdict = decide(evaluation, CHAMPION)
    assert (verdict.promoted, verdict.tested) == (False, False)
    assert reason in verdict.reason


@pytest.mark.parametrize(("num_classes", "fewest"), [(1, 6), (2, 7), (3, 7), (4, 8)])
def test_too_small_is_a_test_set_on_which_even_the_clearest_gain_is_not_significant(
    num_classes: int, fewest: int
) -> None:
    classes = [f"c{n}" for n in range(num_classes)]
    for number in (fewest - 1, fewest):
        cases = [
            CaseResult(f"{n}", f"p{n}", "px", dict.fromkeys((f"dice_{name}" for name in classes), n / 100))
            for n in range(number)
        ]
        other = [
            dataclasses.replace(case, scores={name: value - 0.5 for name, value in case.scores.items()})
            for case in cases
        ]
        comparison = compare_cases(list(zip(cases, other, strict=True)), classes, "px", CHAMPION.model, 0)
        champion = dataclasses.replace(CHAMPION, classes=tuple(classes))
        found = decide(evaluate(None, cases=cases, classes=classes, comparison=comparison), champion)
        assert found.promoted == (comparison.adjusted["dice_c0"] < LEVEL) == (number == fewest)
        assert ("too small" in found.reason) == (number < fewest)
        assert found.tested == found.promoted


def test_the_first_needs_no_comparison() -> None:
    assert decide(evaluate(None), None).promoted
    assert not decide(evaluate(None), None).tested


def register(tracking: TrackingConfig, folder: Path, seed: int, times: int = 1, **card: Any) -> tuple[str, str]:
    """A run with a model that is registered so many times; its id, and the 16 digits of the model."""
    with start_run(tracking, parameters={}) as run:
        path = write_model(folder / f"{seed}" / "best.pt", seed=seed, run_id=run.id, **card)
        model = load_models((str(path),), tracking, ModelPredictConfig())
        for _ in range(times):
            run.log_model(model.networks[0], np.zeros((2, 1, 32, 32), np.float32), path, {}, "chest")
    return run.id, model.digest


@pytest.mark.slow
def test_champions_follow_one_another_and_decisions_are_counted(tracking: TrackingConfig, tmp_path: Path) -> None:
    first_run, first = register(tracking, tmp_path, 0, train_digests=("9" * 64,))
    second_run, second = register(tracking, tmp_path, 1)
    assert find_champion_address(tracking, "chest", first_run, first) is None
    one = evaluate(None, model=first)
    assert (
        promote_model(one, first_run, tracking, "chest")
        == "version 1 of 'chest' is now the champion: there was no champion before"
    )
    assert find_champion_address(tracking, "chest", second_run, second) == "models:/chest@champion"
    assert promote_model(one, first_run, tracking, "chest") == "version 1 of 'chest' is already the champion"
    lost = evaluate(BETTER | {"dice_heart": (0.05, 0.01)}, model=second, other=first, classes=("heart", "lungs"))
    said = promote_model(lost, second_run, tracking, "chest")
    assert said.startswith("version 2 of 'chest' is not the champion: significantly worse than version 1 in heart")
    assert "This test set has now decided once" in said
    seen = evaluate(BETTER, model=second, other=first, digests=["9" * 16, "1" * 16])
    assert "trained or validated on 1 of the 2 cases" in promote_model(seen, second_run, tracking, "chest")
    fewer = [f"{n}" * 16 for n in range(1, 9)]  # another case is left out, of the same data set
    won = promote_model(evaluate(BETTER, model=second, other=first, digests=fewer), second_run, tracking, "chest")
    assert won.startswith("version 2 of 'chest' is now the champion: better than version 1 in lungs")
    assert "has now decided 2 times" in won
    model = MlflowClient(tracking.uri).get_registered_model("chest")
    assert {alias: str(version) for alias, version in model.aliases.items()} == {"champion": "2"}
    assert {tag.rpartition(".")[0] for tag in model.tags} == {"medseg.decisions." + "7" * 32}
    assert sorted(words.partition(":")[0] for words in model.tags.values()) == [
        "version 2 of 'chest' is not the champion",
        "version 2 of 'chest' is now the champion",
    ]


@pytest.mark.slow
def test_what_is_not_registered_is_said_before_and_after(tracking: TrackingConfig, tmp_path: Path) -> None:
    run, model = register(tracking, tmp_path, 0)
    for evaluation, run_id in ((evaluate(None), run), (evaluate(None, model=model), None)):
        with pytest.raises(ConfigError, match=r"not a version of 'chest'\. .* medseg train tracking\.register=chest"):
            promote_model(evaluation, run_id, tracking, "chest")
        with pytest.raises(ConfigError, match=r"not a version of 'chest'\. .* medseg train tracking\.register=chest"):
            find_champion_address(tracking, "chest", run_id, evaluation.model)
    with pytest.raises(ConfigError, match="no registered model 'hcest'"):
        promote_model(evaluate(None), run, tracking, "hcest")


@pytest.mark.slow
def test_a_model_that_is_registered_twice_does_not_replace_itself(tracking: TrackingConfig, tmp_path: Path) -> None:
    run, model = register(tracking, tmp_path, 0, times=2)
    client = MlflowClient(tracking.uri)
    client.set_registered_model_alias("chest", "champion", "1")
    said = promote_model(evaluate(None, model=model), run, tracking, "chest")
    assert said == "version 2 of 'chest' is the same model as version 1, the champion"
    assert str(client.get_model_version_by_alias("chest", "champion").version) == "1"


@pytest.mark.slow
def test_a_champion_whose_file_is_gone_stays(tracking: TrackingConfig, tmp_path: Path) -> None:
    run, model = register(tracking, tmp_path, 0)
    register(tracking, tmp_path, 1)
    client = MlflowClient(tracking.uri)
    client.set_registered_model_alias("chest", "champion", "2")
    download_model_checkpoint("models:/chest/2", tracking).unlink()
    said = promote_model(evaluate(None, model=model), run, tracking, "chest")
    assert said.startswith("version 1 of 'chest' is not the champion: version 2, the champion, cannot be read (")
    assert str(client.get_model_version_by_alias("chest", "champion").version) == "2"
