import pytest
from pydantic import ValidationError

from medseg.data.config import DataConfig
from medseg.data.layouts.mask_colors import list_colors, name_color
from medseg.errors import DataError
from medseg.radiograph.channels import TRANSPARENT


def colors_of(colors, **settings):
    return list_colors(DataConfig.model_validate({"colors": colors, **settings}))


def test_one_color_or_several_in_upper_or_lower_case():
    found = colors_of(
        {"lungs": "#ff0000", "heart": ["#00FF00", "#00aa00"], "background": "#FFFFFF", "ignore": "#808080"}
    )
    assert found.classes == {"lungs": (0xFF0000,), "heart": (0x00FF00, 0x00AA00)}
    assert found.known == (0x00AA00, 0x00FF00, 0xFF0000, 0xFFFFFF)
    assert found.ignored == 0x808080


def test_without_the_setting_there_are_no_colors():
    assert list_colors(DataConfig()) is None


def test_classes_may_share_a_color():
    assert colors_of({"lungs": "#ff0000", "chest": ["#ff0000", "#0000ff"]}).known == (0x0000FF, 0xFF0000)


@pytest.mark.parametrize("given", ["red", "#f00", "#ff00000", "ff0000", 255, None, [], ["#ff0000", 1]])
def test_what_is_no_color_is_refused(given):
    with pytest.raises(ValidationError, match=r'needs colors in quotes, such as \{lungs: "#ff0000", heart'):
        colors_of({"lungs": given})


@pytest.mark.parametrize(
    ("colors", "settings", "reason"),
    [
        ({"lungs": "#ff0000"}, {"label_values": {"lungs": [1]}}, "cannot be combined with data.label_values"),
        ({"lungs": "#ff0000"}, {"ignore_value": 9}, "its name 'ignore' lists the color of ignored pixels"),
        ({"background": "#ff0000"}, {}, "data.colors has no class"),
        ({"lungs": "#ff0000", "ignore": ["#00ff00", "#0000ff"]}, {}, "lists 2 colors as 'ignore'"),
        ({"lungs": "#ff0000", "background": "#ff0000"}, {}, "data.colors gives #ff0000 two meanings"),
        ({"lungs": "#ff0000", "background": "#0000ff", "ignore": "#0000ff"}, {}, "gives #0000ff two meanings"),
    ],
)
def test_settings_that_contradict_each_other(colors, settings, reason):
    with pytest.raises(DataError, match=reason):
        colors_of(colors, **settings)


def test_names_of_colors():
    assert [name_color(number) for number in (0, 0xFF, TRANSPARENT)] == ["#000000", "#0000ff", "transparent"]
