import pytest

from medseg.sweep.space import Choices, Range, parse_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log 1e-4..1e-2", Range(1e-4, 1e-2, is_log=True)),
        ("0.1..0.6", Range(0.1, 0.6)),
        ("2..6", Range(2, 6)),
        ("2.0..6", Range(2.0, 6.0)),
        ("log 8..64", Range(8, 64, is_log=True)),
        ("log   .5 .. 5e+1", Range(0.5, 50.0, is_log=True)),
        ("-3..-1", Range(-3, -1)),
        ("1...5e1", Range(1.0, 50.0)),
        (" 0..1 ", Range(0, 1)),
        ([16, 24, 32], Choices(("16", "24", "32"))),
        ([[64, 64], [128, 96]], Choices(("[64, 64]", "[128, 96]"))),
        ([True, False], Choices(("true", "false"))),
        ([None, 0.5], Choices(("null", "0.5"))),
        (("adam", "sgd"), Choices(('"adam"', '"sgd"'))),
    ],
)
def test_values_are_read_as_they_are_written(text: object, expected: Range | Choices) -> None:
    assert parse_values(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.6..0.1", "Write 0.1..0.6"),
        ("2..2", "equal"),
        ("log 0..1", "above 0"),
        ("log -2..1", "above 0"),
        ("1e400..1e401", "finite"),
        ("1..", "a range such as"),
        ("ln 1..2", "a range such as"),
        ("1-2", "a range such as"),
        ("1..2..3", "a range such as"),
        ("", "a range such as"),
        (16, "a range such as"),
        (None, "a range such as"),
        ({"low": 1}, "a range such as"),
        ([], "0 choices"),
        ([16], "1 choices"),
        (["bce", "bce"], 'the choice "bce" is given twice'),
    ],
)
def test_a_mistake_is_named(text: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        parse_values(text)


def test_samples_are_the_ends_and_a_number_between_them() -> None:
    assert parse_values("2..6").samples == [2, 4, 6]
    assert parse_values("2..3").samples == [2, 3]
    low, between, high = parse_values("2.0..6.0").samples
    assert (low, high) == (2, 6)
    assert low < between < high
    assert between != round(between)  # so that a whole number is missed where one is needed
    assert parse_values([[1, 2], None]).samples == [[1, 2], None]


def test_a_value_is_in_the_space_or_not() -> None:
    assert parse_values("2..6").holds(6)
    assert not parse_values("2..6").holds(2.5)
    assert parse_values("5..20").holds(15.0)
    assert repr(parse_values("5..20").encode(15.0)) == "15"
    assert not parse_values("0..1").holds(True)
    assert parse_values("0.0..1.0").holds(1)
    assert not parse_values("0.0..1.0").holds(1.1)
    assert parse_values([0, 0.3]).holds(0.0)
    assert not parse_values([0, 0.3]).holds("0")
