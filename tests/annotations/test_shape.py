import unicodedata
from pathlib import Path

import pytest

from medseg.annotations.shape import AnnotatedImage, Draft, Problem, Shape, clean_path, is_class_name, name_class
from medseg.errors import RadiographError


@pytest.mark.parametrize(
    ("written", "base", "stem"),
    [
        (r"C:\data\img 1.png", "img 1.png", "img 1"),
        ("/home/a/b.NII.GZ ", "b.NII.GZ", "b"),
        ("1.2.276.0.7230010.3.1.4", "1.2.276.0.7230010.3.1.4", "1.2.276.0.7230010.3.1.4"),
        (unicodedata.normalize("NFD", "é.jpg"), unicodedata.normalize("NFC", "é.jpg"), "é"),
    ],
)
def test_names_of_images(written, base, stem):
    image = AnnotatedImage(clean_path(written))
    assert (image.base, image.stem) == (base, unicodedata.normalize("NFC", stem))


def test_labels_become_class_names():
    assert [name_class(label) for label in ("Left Lung", " heart/apex ", "心臓")] == ["Left_Lung", "heart_apex", ""]
    assert [is_class_name(name) for name in ("a-1_B", "", "dice_ci95", "x" * 33)] == [True, False, False, False]


def test_a_shape_has_a_label():
    with pytest.raises(RadiographError, match="no label"):
        Shape("")


def test_a_problem_names_file_image_and_label():
    assert str(Problem(Path("a.json"), "1.png", "heart", "no.", "shape")) == "a.json: image 1.png: label heart: no."
    assert str(Problem(Path("a.json"), "", "", "no.", "file")) == "a.json: no."


def test_a_draft_goes_on_after_an_error():
    draft = Draft(Path("a.json"))
    with draft.reading("1.png", "heart"):
        raise RadiographError("is a point", "no_area")
    with draft.reading("2.png", "heart"):
        raise KeyError("points")
    assert [(problem.image, problem.code) for problem in draft.problems] == [("1.png", "no_area"), ("2.png", "shape")]
    assert draft.problems[1].reason == "lacks 'points'"
