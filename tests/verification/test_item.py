from collections.abc import Callable

import pytest

from medseg.errors import ArchiveError, ConfigError, DataError, RadiographError
from medseg.verification.item import Item, Missing, check_differences, check_digest


def fail(error: Exception) -> Callable[[], str]:
    def find() -> str:
        raise error

    return find


@pytest.mark.parametrize(
    ("find", "item"),
    [
        (lambda: "a", Item("data", "same")),
        (lambda: "b", Item("data", "changed")),
        (fail(DataError("masks\n  without images")), Item("data", "changed", "masks without images")),
        (fail(RadiographError("bad", "damaged")), Item("data", "changed", "bad")),
        (fail(RadiographError("denied", "unreadable")), Item("data", "cannot be checked", "denied")),
        (fail(ArchiveError("cut")), Item("data", "cannot be checked", "cut")),
        (fail(Missing("gone")), Item("data", "cannot be checked", "gone")),
        (fail(ConfigError("unknown key")), Item("data", "cannot be checked", "unknown key")),
        (fail(PermissionError("denied")), Item("data", "cannot be checked", "denied")),
    ],
)
def test_an_item_is_same_changed_or_not_to_be_checked(find: Callable[[], str], item: Item) -> None:
    assert check_digest("data", "a", find) == [item]


def test_an_item_that_the_receipt_does_not_have_is_left_out() -> None:
    assert check_digest("data", None, fail(AssertionError())) == []


def test_a_line_names_item_verdict_and_reason() -> None:
    assert check_differences("code", []).describe() == "code           same"
    assert check_differences("code", ["a", "b"]).describe() == "code           changed: a; b"
