from dataclasses import replace
from pathlib import Path

import pytest

from medseg.evaluation.card import complete_card, describe_evaluation
from medseg.inference.models import load_models
from medseg.output.card import CARD, format_card
from medseg.tracking.config import StoreConfig
from tests.output.test_card import TRAINING
from tests.support.model_files import write_model
from tests.support.sample_evaluation import HOSTILE, draw_evaluation


@pytest.mark.slow
def test_an_evaluation_is_told_without_any_case() -> None:
    evaluation = draw_evaluation(num_cases=40, size=64, number=0)
    facts = describe_evaluation(evaluation)
    assert (facts.scored.cases, facts.missing["hd95_clavicles"] > 0) == (40, True)
    assert facts.groups["view"]["PA"].cases + facts.groups["view"]["AP"].cases == 40
    rotation = next(row for row in facts.stress if row.name == "rotation")
    assert rotation.worst["lungs"][2] == 30
    assert rotation.worst["lungs"][1] < rotation.worst["lungs"][0]
    assert "247 were left out" in facts.which
    assert "Cardiothoracic ratio" in facts.notes[-1]
    shown = repr(facts)
    assert not any(case.case in shown for case in evaluation.cases)
    assert HOSTILE not in shown
    seen = describe_evaluation(replace(evaluation, subset="all"))
    assert "the model was trained or validated on 20 of them" in seen.which


@pytest.mark.slow
def test_the_card_beside_the_model_is_completed_and_stays_as_it_is(tmp_path: Path) -> None:
    path, other = write_model(tmp_path / "best.pt"), write_model(tmp_path / "elsewhere" / "best.pt")
    model, evaluation = load_models((str(path),), StoreConfig()), draw_evaluation(4, 64, 0)
    (tmp_path / CARD).write_text(format_card(model.card, model.digest, 1, TRAINING))
    before = (tmp_path / CARD).read_bytes()
    for address in (str(path), str(tmp_path)):
        text = complete_card(evaluation, (address,), model, StoreConfig())
        assert "- Layout: CSV manifest" in text
        assert text.index("### On `phantoms &  friends`") < text.index("## Limitations")
    assert (tmp_path / CARD).read_bytes() == before
    alone = complete_card(evaluation, (str(other),), model, StoreConfig())
    assert "The card of the training was not found." in alone
    (tmp_path / CARD).write_text(before.decode().replace(model.digest, "f" * 16))  # the card of another model
    assert "The card of the training was not found." in complete_card(evaluation, (str(path),), model, StoreConfig())
