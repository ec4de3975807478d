import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import medseg
from medseg.config import build_config
from medseg.data.loaders import CachedCases
from medseg.errors import CheckpointError, ConfigError, DataError
from medseg.inference.models import load_models
from medseg.model.checkpoint import Reading, load_checkpoint
from medseg.model.config import ModelConfig
from medseg.model.unet import build_unet
from medseg.tracking.config import StoreConfig
from medseg.training.config import TrainingConfig
from medseg.training.recipe import Recipe
from medseg.training.start import copy_weights, find_start, find_unseen, join_cards, ship, take_over
from tests.support.model_files import write_model
from tests.support.shape_images import write_png_folder

SMALL = {
    "model.width": 4,
    "model.depth": 2,
    "model.dropout": 0.0,
    "preprocess.size": [64, 64],
    "train.batch_size": 4,
    "train.epochs": 1,
    "tracking.system_metrics": False,
}


def build_cases(facts) -> CachedCases:
    return CachedCases(facts, *(torch.empty(len(facts), 0) for _ in range(3)))


def load(path: Path):
    return load_models((str(path),), StoreConfig())


def test_weights_are_taken_over_class_by_class(tmp_path):
    start = load(write_model(tmp_path / "a.pt", ("heart", "lungs")))
    network = build_unet(ModelConfig(width=4, depth=2, dropout=0.0), 1, 3)
    fresh = network.out.weight.clone()
    copy_weights(network, ("clavicles", "lungs", "heart"), start)
    own, other = network.state_dict(), start.networks[0].state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own if not name.startswith("out."))
    assert torch.equal(own["out.weight"][[2, 1]], other["out.weight"])
    assert torch.equal(own["out.bias"][[2, 1]], other["out.bias"])
    assert torch.equal(own["out.weight"][0], fresh[0])


def test_with_the_same_classes_the_network_is_the_same(tmp_path):
    start = load(write_model(tmp_path / "a.pt"))
    network = build_unet(ModelConfig(width=4, depth=2, dropout=0.0), 1, 2)
    copy_weights(network, start.card.classes, start)
    assert all(torch.equal(value, start.networks[0].state_dict()[name]) for name, value in network.state_dict().items())


def test_the_card_names_its_origin_whose_cases_count_as_seen(tmp_path):
    start = load(write_model(tmp_path / "a.pt", train_digests=("1", "2"), validation_digests=("3", "4")))
    card = start.card.model_copy(update={"train_digests": ("5",), "validation_digests": ("4",)})
    joined = join_cards(card, start, "a.pt")
    assert (joined.origin, joined.origin_digests) == (start.digest, ("1", "2", "3", "4"))
    assert joined.train_digests == ("1", "2", "3", "5")
    assert joined.validation_digests == ("4",)
    assert "origin" not in card.model_dump(mode="json")


def test_test_cases_that_the_start_model_has_seen_are_not_scored(tmp_path, caplog):
    facts = tuple(SimpleNamespace(digest=digest) for digest in "6217")
    card = load(write_model(tmp_path / "a.pt")).card.model_copy(update={"origin_digests": ("1", "2", "3")})
    with caplog.at_level("WARNING", "medseg"):
        assert find_unseen(build_cases(facts), card) == [0, 3]
    assert caplog.messages == [
        "2 of 4 test cases are left out of the test scores: the model of train.init has seen them"
    ]
    assert find_unseen(build_cases(facts[::3]), card) == [0, 1]
    assert find_unseen(build_cases(()), card) == []  # a trial of a sweep
    with pytest.raises(DataError, match="has seen all test cases"):
        find_unseen(build_cases(facts[1:3]), card)


def test_another_architecture_is_refused_with_the_difference(tmp_path):
    start = load(write_model(tmp_path / "a.pt"))
    other = ModelConfig(width=8, depth=2, dropout=0.3)
    said = r"^train\.init: .*a\.pt: .*: model\.width is 4 there, but 8 here$"
    with pytest.raises(CheckpointError, match=said):  # before any case is read
        find_start(Recipe(train=TrainingConfig(init=str(tmp_path / "a.pt")), model=other))
    with pytest.raises(CheckpointError, match=said):
        join_cards(start.card.model_copy(update={"model": other}), start, "a.pt")
    voi = start.card.model_copy(update={"reading": Reading(presentation="voi")})
    with pytest.raises(CheckpointError, match=r"data\.presentation is stored there, but voi here$"):
        join_cards(voi, start, "a.pt")


def test_the_preprocessing_is_taken_over(tmp_path, caplog):
    start = load(write_model(tmp_path / "a.pt"))
    with caplog.at_level("INFO", "medseg"):
        recipe = take_over(Recipe(train=TrainingConfig(init="a.pt")), start)
    assert recipe.preprocess == start.card.preprocess
    assert caplog.messages == ["preprocess.size: [32, 32], as in the model of train.init"]
    assert take_over(recipe, start) is recipe
    assert take_over(recipe, None) is recipe


def test_what_cannot_be_a_start_is_refused(tmp_path):
    for name in ("fold0", "fold1"):
        write_model(tmp_path / name / "best.pt", seed=int(name[-1]))
    for address, said in (
        (tmp_path, "is an ensemble"),
        (tmp_path / "none.pt", "no such file or folder"),
    ):
        with pytest.raises(CheckpointError, match=rf"^train\.init: .*{said}"):
            find_start(Recipe(train=TrainingConfig(init=str(address))))
    with pytest.raises(ConfigError, match=r"train\.init: that model may have seen the test cases"):
        medseg.cross_validate({"train.init": str(tmp_path / "fold0" / "best.pt")})


@pytest.mark.slow
def test_a_training_goes_on_from_a_model_and_resumes(tmp_path, tracking):
    store = {"tracking.uri": tracking.uri}
    first = medseg.train(
        SMALL, store, {"data.root": write_png_folder(tmp_path / "a", 12), "output.dir": tmp_path / "1"}
    )
    data = write_png_folder(tmp_path / "b", 16)  # the first dozen are those of before
    init = {"train.init": str(first.model), "data.root": data, "data.classes": ["disc"], "preprocess.size": [32, 32]}
    init["split.seed"] = 1
    second = medseg.train(SMALL, store, init, {"output.dir": tmp_path / "2", "optim.learning_rate": 1e-9})
    before, after = (load_checkpoint(path)[1]["weights"] for path in (first.model, second.model))
    for name, value in after.items():
        if name.endswith("weight") and not name.startswith("out."):
            torch.testing.assert_close(value, before[name], rtol=0, atol=1e-3)
    card, _ = load_checkpoint(second.model)
    assert card.origin == load(first.model).digest
    known = json.loads((tmp_path / "1" / "summary.json").read_text())["cases"]
    assert len(card.origin_digests) == known["train"] + known["validation"]
    assert (second.summary["cases"]["test"], second.summary["left_out"]) == (1, 1)  # one was in the first training
    assert "train.init has seen do not count: 1." in (tmp_path / "2" / "card.md").read_text()
    assert card.preprocess.size == (64, 64)
    first.model.unlink()  # to resume needs nothing but the checkpoint
    again = {"train.resume": True, "train.epochs": 2, "output.dir": tmp_path / "2", "predict.fill_holes": True}
    resumed = medseg.train(SMALL, store, init, again)
    assert resumed.summary["epochs"] == 2
    assert load_checkpoint(resumed.model)[0].inference.fill_holes
    result = {"model": str(second.model), "data.root": data, "output.dir": tmp_path / "r", **store}
    evaluated = medseg.evaluate(result)
    known = json.loads((tmp_path / "1" / "summary.json").read_text())["cases"]
    assert evaluated.evaluation.left_out >= known["train"] + known["validation"]


def test_the_start_weights_fit_the_recipe_for_chests() -> None:
    recipe = build_config(Recipe, ["chest_xray"])
    assert recipe.train.init == "auto"
    start = find_start(recipe)
    assert start is not None
    assert start.card.preprocess.model_copy(update={"size": (320, 320)}) == recipe.preprocess
    assert {"lungs", "heart", "clavicles"} <= set(start.card.classes)
    assert not start.card.train_digests
    assert start.card.run_id is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model.width": 32}, r"model\.width is 16 there, but 32 here"),
        ({"model.patch": 1}, r"model\.patch is 2 there, but 1 here"),
        (
            {"data.color": "rgb", "preprocess.intensity": "fixed"},
            "they are for gray images, but data.color is rgb here",
        ),
    ],
)
def test_start_weights_that_do_not_fit_leave_random_ones(settings, said, caplog):
    recipe = build_config(Recipe, ["chest_xray", settings])
    with caplog.at_level("INFO", "medseg"):
        assert find_start(recipe) is None
    assert re.search(said, caplog.text)


def test_the_own_preprocessing_stays_with_the_start_weights():
    recipe = build_config(Recipe, ["chest_xray", {"preprocess.size": [384, 384], "data.presentation": "voi"}])
    start = find_start(recipe)
    assert take_over(recipe, start) is recipe
    card = start.card.model_copy(update={"preprocess": recipe.preprocess, "train_digests": ("5",)})
    card = card.model_copy(update={"reading": card.reading.model_copy(update={"presentation": "voi"})})
    joined = join_cards(card, start, "auto")
    assert (joined.origin, joined.train_digests) == (start.digest, ("5",))


def test_a_model_is_shipped_small_and_without_its_cases(tmp_path, monkeypatch):
    monkeypatch.setattr("medseg.training.start._SHIPPED", tmp_path / "start.pt")
    path = write_model(tmp_path / "a.pt", train_digests=("1",), validation_digests=("2",), origin_digests=("3",))
    for _ in range(2):
        ship(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.pt", "start.pt"]
    before, after = load(path), load(tmp_path / "start.pt")
    assert not after.card.train_digests
    assert not after.card.origin_digests
    assert not after.card.validation_digests
    for name, value in after.networks[0].state_dict().items():
        torch.testing.assert_close(value, before.networks[0].state_dict()[name], rtol=0.01, atol=0.01)
    assert after.networks[0].out.weight.dtype == torch.float32
