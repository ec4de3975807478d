import logging
import sys
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.sweep.config import SweepConfig
from medseg.sweep.study import Trial, import_optuna, open_study

pytestmark = pytest.mark.slow
SPACE = {
    "optim.learning_rate": "log 1e-4..1e-2",
    "model.depth": "2..4",
    "preprocess.size": [[64, 64], [96, 96]],
    "train.init": [None, "auto"],
}
OWN = {"optim.learning_rate": 2e-3, "model.depth": 3, "preprocess.size": [64, 64], "train.init": None}


def run_trials(folder: Path, count: int, seed: int = 0) -> list[Trial]:
    """As many trials as asked for, each with a Dice that grows with the depth, in a study that is opened anew."""
    with open_study(folder, SweepConfig(space=SPACE, startup_trials=3), seed) as study:
        study.enqueue(OWN)
        for _ in range(count):
            trial = study.begin_trial()
            study.end_trial(trial.number, "complete", [trial.settings["model.depth"] / 10])
        return study.list_trials()


def test_the_first_trial_has_the_values_of_the_recipe_and_all_are_in_the_space(tmp_path: Path) -> None:
    first, *others = run_trials(tmp_path, 8)
    assert first.settings == OWN
    for trial in others:
        assert 1e-4 <= trial.settings["optim.learning_rate"] <= 1e-2
        assert trial.settings["model.depth"] in (2, 3, 4)
        assert trial.settings["preprocess.size"] in SPACE["preprocess.size"]
        assert trial.settings["train.init"] in (None, "auto")
    assert len({trial.settings["optim.learning_rate"] for trial in (first, *others)}) == 8


def test_a_study_that_is_opened_anew_chooses_as_without_a_break(tmp_path: Path) -> None:
    for name in ("whole", "broken", "other"):
        (tmp_path / name).mkdir()
    whole = run_trials(tmp_path / "whole", 7)
    for count in (2, 1, 4):
        broken = run_trials(tmp_path / "broken", count)
    assert broken == whole
    assert run_trials(tmp_path / "other", 2, seed=1)[1] != whole[1]


def test_values_outside_of_the_space_are_not_tried_first(tmp_path: Path) -> None:
    with open_study(tmp_path, SweepConfig(space=SPACE), 0) as study:
        study.enqueue(OWN | {"model.depth": 5})
        assert study.begin_trial().settings["model.depth"] in (2, 3, 4)


def test_a_trial_is_pruned_below_the_median_of_the_others(tmp_path: Path) -> None:
    with open_study(tmp_path, SweepConfig(space=SPACE, startup_trials=2, startup_epochs=1), 0) as study:
        for dice in (0.6, 0.7):
            trial = study.begin_trial()
            assert [study.report(trial.number, epoch, dice) for epoch in (1, 2)] == [False, False]
            study.end_trial(trial.number, "complete", [dice])
        trial = study.resume_trial(study.begin_trial())
        assert not study.report(trial.number, 1, 0.1)  # one of the first epochs
        assert study.report(trial.number, 2, 0.1)
        assert not study.report(trial.number, 1, 0.1)  # the resumed trial repeats an epoch
        assert study.report(trial.number, 2, 0.9)  # the first score of an epoch stays
        study.note(trial.number, pruned_at=2)
        study.end_trial(trial.number, "pruned")
        assert study.read(2) == Trial(2, "pruned", trial.settings, {}, {"pruned_at": 2})


def test_with_two_objectives_the_front_is_best_and_nothing_is_pruned(tmp_path: Path) -> None:
    config = SweepConfig(space=SPACE, objectives=("dice", "tflop"), startup_trials=1, startup_epochs=0)
    with open_study(tmp_path, config, 0) as study:
        for dice, tflop in ((0.7, 3.0), (0.9, 5.0), (0.6, 4.0), (0.8, 1.0)):
            trial = study.begin_trial()
            assert not study.report(trial.number, 1, 0.0)
            study.end_trial(trial.number, "complete", [dice, tflop])
        assert [trial.number for trial in study.list_best()] == [1, 3]
        assert study.read(1).objectives == {"dice": 0.9, "tflop": 5.0}


def test_optuna_logs_nothing_and_its_level_is_as_before(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("optuna").level
    run_trials(tmp_path, 1)
    assert logging.getLogger("optuna").level == before
    assert capfd.readouterr().err == ""


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r'pip install "medseg\[optuna\]"'):
        import_optuna()
