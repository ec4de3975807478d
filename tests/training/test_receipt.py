from dataclasses import replace
from pathlib import Path

from medseg.data.case import Case
from medseg.data.frame import whole
from medseg.data.loaders import CaseFacts
from medseg.data.splits import Splits
from medseg.training.receipt import digest_cases, digest_recipe, digest_split
from medseg.training.recipe import Recipe

FACTS = [CaseFacts(str(n), f"{n}" * 64, "f" * 64, None, None, None, None, None, whole((8, 8))) for n in range(3)]


def test_settings_that_decide_the_result_count_and_places_do_not(tmp_path: Path) -> None:
    plain = Recipe()

    def change(section: str, **values: object) -> Recipe:
        return plain.model_copy(update={section: getattr(plain, section).model_copy(update=values)})

    same = [
        change("output", dir=tmp_path),
        change("data", root=tmp_path),
        change("train", device="cpu"),
        change("tracking", uri="sqlite:///x"),
    ]
    assert {digest_recipe(recipe) for recipe in same} == {digest_recipe(plain)}
    others = [change("train", epochs=3), change("optim", momentum=0.5), change("data", invert=True)]
    assert digest_recipe(plain) not in {digest_recipe(recipe) for recipe in others}


def test_cases_count_in_any_order_with_their_masks_and_classes() -> None:
    digest = digest_cases(FACTS, ["a", "b"])
    assert digest_cases(FACTS[::-1], ["a", "b"]) == digest
    changed = [replace(FACTS[0], label_digest="0" * 64), *FACTS[1:]]
    others = [(changed, ["a", "b"]), (FACTS, ["b", "a"]), (FACTS[1:], ["a", "b"])]
    assert digest not in {digest_cases(*other) for other in others}


def test_a_case_in_another_set_is_another_split() -> None:
    cases = tuple(Case(name, Path(name), {}) for name in "abcd")
    first = digest_split(Splits(cases[:2], cases[2:3], cases[3:], ()))
    assert digest_split(Splits(cases[1::-1], cases[2:3], cases[3:], ())) == first
    assert digest_split(Splits(cases[:1], cases[1:3], cases[3:], ())) != first
