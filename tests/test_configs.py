"""Every recipe loads, and what it promises of the article holds."""

from pathlib import Path

import pytest

from medseg.commands.train_xray import TrainXrayConfig
from medseg.config import parse_args

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipe_loads(path: Path) -> None:
    assert parse_args(TrainXrayConfig, [str(path)]).model_dump()


def test_default_recipe_only_sets_the_network_and_the_number_of_epochs() -> None:
    recipe = parse_args(TrainXrayConfig, [str(next(p for p in CONFIGS if p.stem == "train_xray"))])
    bare = parse_args(TrainXrayConfig, ["train.epochs=80", "model.patch=2", "model.dropout=0"])
    assert recipe == bare


def test_article_recipe_is_the_articles() -> None:
    config = parse_args(TrainXrayConfig, [str(next(p for p in CONFIGS if p.stem == "article_xray"))])
    assert (config.model.width, config.model.depth, config.model.dropout) == (64, 4, 0.3)
    assert (config.model.padding_mode, config.preprocess.size, config.preprocess.fit) == (
        "reflect",
        (512, 512),
        "stretch",
    )
    assert (config.loss.name, config.optim.name, config.optim.learning_rate) == ("bce", "adam", 1e-3)
    assert (config.train.batch_size, config.augment.probability, config.predict.threshold) == (1, 0, 0.5)
    assert config.preprocess.restore == "nearest"


def test_the_recipe_for_chests_has_the_network_and_the_preprocessing_of_its_start_weights() -> None:
    chests, start = (
        parse_args(TrainXrayConfig, [str(path)]) for path in CONFIGS if path.stem in ("chest_xray", "start_weights")
    )
    assert chests.model == start.model
    assert chests.preprocess == start.preprocess.model_copy(update={"size": (320, 320)})
