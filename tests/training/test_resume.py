from pathlib import Path

import pytest

from medseg.data.config import PreprocessConfig
from medseg.errors import CheckpointError
from medseg.model.checkpoint import ModelCard, load_checkpoint, previous_path, save_checkpoint
from medseg.model.config import ModelConfig
from medseg.training.config import TrainingConfig
from medseg.training.resume import find_resumed, take_up

CARD = ModelCard(
    classes=("lungs", "heart"),
    model=ModelConfig(width=2, depth=1),
    preprocess=PreprocessConfig(size=(16, 16)),
    train_digests=("a", "b"),
    run_id="run",
)
HERE = TrainingConfig(resume=True)


def save(path: Path, card: ModelCard = CARD, iteration: int = 5, best: dict[str, float] | None = None) -> None:
    save_checkpoint(path, card, card.build_network().state_dict(), {"iteration": iteration, "best": best or {}})


def resume(folder: Path, wanted: ModelCard, train: TrainingConfig = HERE, init: str | None = None) -> ModelCard:
    found = find_resumed(train, folder)
    assert found is not None
    return take_up(found, wanted, folder, init)


def test_fresh_start_is_asked_for_not_fallen_into(tmp_path: Path) -> None:
    save(tmp_path / "last.pt")
    assert find_resumed(TrainingConfig(), tmp_path) is None
    with pytest.raises(CheckpointError, match=r"no such file.*nothing to resume"):
        find_resumed(HERE, tmp_path / "elsewhere")


def test_resume_takes_the_folders_last_or_the_given_file(tmp_path: Path) -> None:
    for path in (tmp_path / "last.pt", tmp_path / "other.pt"):
        save(path)
        found = find_resumed(TrainingConfig(resume=True if path.name == "last.pt" else path), tmp_path)
        assert found is not None
        assert (found.path, found.training["iteration"], found.card) == (path, 5, CARD)


def test_damaged_last_falls_back_on_the_previous(tmp_path: Path, shown: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "last.pt"
    for iteration in (1, 2):
        save(path, iteration=iteration)
    path.write_bytes(path.read_bytes()[:-50])
    found = find_resumed(HERE, tmp_path)
    assert found is not None
    assert (found.path, found.training["iteration"]) == (previous_path(path), 1)
    assert f"{path}: damaged" in shown.readouterr().err


def test_model_without_training_state_is_not_resumed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", CARD, CARD.build_network().state_dict())
    with pytest.raises(CheckpointError, match="no training state"):
        find_resumed(TrainingConfig(resume=tmp_path / "best.pt"), tmp_path)


def test_results_of_another_run_are_not_overwritten_by_a_resume(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "last.pt")
    with pytest.raises(CheckpointError, match="another run"):
        find_resumed(TrainingConfig(resume=tmp_path / "a" / "last.pt"), tmp_path / "b")


def test_a_checkpoint_elsewhere_brings_its_best_model(tmp_path: Path) -> None:
    save(tmp_path / "a" / "last.pt", best={"dice": 0.5})
    save(tmp_path / "a" / "best.pt")
    train = TrainingConfig(resume=tmp_path / "a" / "last.pt")
    assert resume(tmp_path / "b", CARD, train) == CARD
    assert load_checkpoint(tmp_path / "b" / "best.pt")[0] == CARD
    save(tmp_path / "a" / "best.pt", CARD.model_copy(update={"run_id": "other"}))
    with pytest.raises(CheckpointError, match="belong to different runs"):
        resume(tmp_path / "c", CARD, train)


def test_differences_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "last.pt")
    changes = {"classes": ("lungs",), "model": ModelConfig(width=8, depth=1, patch=2), "run_id": "other"}
    wanted = CARD.model_copy(update=changes)
    with pytest.raises(CheckpointError) as caught:
        resume(tmp_path, wanted)
    assert "classes is [lungs, heart] in the checkpoint, but [lungs] now" in str(caught.value)
    assert "model.width is 2 in the checkpoint, but 8 now" in str(caught.value)
    assert "model.patch is 1 in the checkpoint, but 2 now" in str(caught.value)
    assert "run_id" not in str(caught.value)


@pytest.mark.parametrize(
    ("before", "now", "digest", "said"),
    [
        (None, "blocks", "c", True),
        (None, "blocks", "b", False),  # the same cases
        (None, None, "c", False),  # a manifest gave other splits
        ("blocks", "blocks", "c", False),
    ],
)
def test_splits_of_an_earlier_rule_are_told(
    tmp_path: Path, before: str | None, now: str | None, digest: str, said: bool
) -> None:
    save(tmp_path / "last.pt", CARD.model_copy(update={"split": before}))
    wanted = CARD.model_copy(update={"split": now, "train_digests": ("a", digest)})
    if digest == "b":
        assert resume(tmp_path, wanted)
        return
    with pytest.raises(CheckpointError, match="2 training cases are only in") as caught:
        resume(tmp_path, wanted)
    assert said == ("hash order" in str(caught.value))


def test_the_cases_of_the_start_model_are_known_without_it(tmp_path: Path) -> None:
    begun = {"origin": "0123", "origin_digests": ("x", "v"), "train_digests": ("a", "b", "x"), "run_id": "run"}
    save(tmp_path / "last.pt", CARD.model_copy(update={**begun, "validation_digests": ("v",)}))
    now = CARD.model_copy(update={"validation_digests": ("v",), "run_id": None})
    found = resume(tmp_path, now, init="gone.pt")
    assert (found.origin, found.origin_digests, found.train_digests) == ("0123", ("x", "v"), ("a", "b", "x"))
    with pytest.raises(CheckpointError, match="1 training cases are only in"):
        resume(tmp_path, now.model_copy(update={"train_digests": ("a",)}), init="gone.pt")
    with pytest.raises(CheckpointError, match=r"train\.init is null now, but .* began with the weights of model 0123"):
        resume(tmp_path, now)


def test_an_image_of_both_splits_does_not_forbid_to_resume(tmp_path: Path) -> None:
    card = CARD.model_copy(update={"validation_digests": ("b", "c")})  # split.allow_duplicates
    save(tmp_path / "last.pt", card)
    assert resume(tmp_path, card).train_digests == ("a", "b")


def test_a_checkpoint_of_an_earlier_version_that_began_from_a_model_is_resumed(tmp_path: Path) -> None:
    save(tmp_path / "last.pt", CARD.model_copy(update={"origin": "0123", "train_digests": ("a", "b", "x")}))
    assert resume(tmp_path, CARD, init="a.pt").origin_digests == ("x",)


def test_a_training_from_random_weights_does_not_go_on_as_one_from_a_model(tmp_path: Path) -> None:
    save(tmp_path / "last.pt")
    assert resume(tmp_path, CARD, init="auto") == CARD
    with pytest.raises(CheckpointError, match=r"train\.init is a\.pt now, but .* began with random weights"):
        resume(tmp_path, CARD, init="a.pt")
