import numpy as np
import pytest
from PIL import Image

from medseg.checks.run import check_set
from medseg.checks.survey import survey_cases
from medseg.data.cases import list_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.errors import DataError
from tests.support.data_layouts import assert_same_masks, save, write_set

COLORS = {"heart": ["#00ff00", "#ffff00"], "lungs": ["#FF0000", "#ffff00"]}
RED, GREEN, YELLOW = (255, 0, 0), (0, 255, 0), (255, 255, 0)


def paint(masks):
    heart, lungs = masks["heart"], masks["lungs"]
    painted = np.zeros((*heart.shape, 3), np.uint8)
    painted[heart], painted[lungs], painted[heart & lungs] = GREEN, RED, YELLOW
    return painted


def write(change=lambda image: image, suffix=".png", **options):
    def write_case(root, name, image, masks):
        save(root / "images" / f"{name}.png", image)
        (root / "masks").mkdir(exist_ok=True)
        change(Image.fromarray(paint(masks))).save(root / "masks" / f"{name}{suffix}", **options)

    return write_case


def to_palette(image):
    return image.quantize(8, dither=Image.Dither.NONE)


def with_clear_background(image):
    clear = image.convert("RGBA")
    pixels = np.array(clear)
    black = ~pixels[:, :, :3].any(axis=2)
    pixels[black] = (90, 80, 70, 0)
    return Image.fromarray(pixels)


def with_smooth_borders(image):
    return image.resize((image.width * 3 // 2, image.height * 3 // 2)).resize(image.size)


def errors(root, **settings):
    """The errors that a look at every case finds, by code."""
    config, findings = DataConfig.model_validate({"root": root, **settings}), Findings()
    found = list_cases(config, findings)
    surveys = survey_cases(found.cases, found.classes, config, PreprocessConfig(size=(32, 32)), findings)
    check_set(surveys, found.classes, findings)
    return {finding.code: finding for finding in findings.listed() if finding.severity == "error"}


@pytest.mark.parametrize(
    ("change", "suffix"),
    [
        (lambda image: image, ".png"),
        (lambda image: image, ".tif"),
        (lambda image: image, ".bmp"),
        (to_palette, ".png"),
        (to_palette, ".gif"),
        (to_palette, ".bmp"),
        (with_clear_background, ".png"),
    ],
)
def test_colored_masks_are_those_in_folders(tmp_path, change, suffix):
    root = write_set(tmp_path / "colors", write(change, suffix))
    assert_same_masks(root, tmp_path, colors=COLORS)
    assert errors(root, colors=COLORS) == {}


def test_colors_in_folders_and_manifests(tmp_path):
    write_set(tmp_path / "set", write())
    lines = [f"images/p{i}.png,masks/p{i}.png" for i in range(3)]
    (tmp_path / "set" / "cases.csv").write_text("\n".join(["image,mask", *lines]))
    assert_same_masks(tmp_path / "set" / "cases.csv", tmp_path, colors=COLORS)
    (tmp_path / "set" / "masks").rename(tmp_path / "heart")
    (tmp_path / "set" / "masks").mkdir()
    (tmp_path / "heart").rename(tmp_path / "set" / "masks" / "heart")
    assert errors(tmp_path / "set", colors=COLORS, classes=["heart"]) == {}


def test_colors_without_the_setting_are_one_error_that_shows_it(tmp_path):
    ((code, finding),) = errors(write_set(tmp_path, write())).items()
    assert (code, finding.cases) == ("label_values", ("p0", "p1", "p2"))
    assert len(set(finding.reasons.values())) == 1
    counts = count_colors(tmp_path)
    for color, name in ((RED, "#ff0000"), (GREEN, "#00ff00"), (YELLOW, "#ffff00"), ((0, 0, 0), "#000000")):
        assert f"{name} ({counts[color]} pixels)" in finding.reasons["p0"]
    assert '\'data.colors={class_1: "#ff0000", class_2: "#00ff00", class_3: "#ffff00"}\'' in finding.remedy


def count_colors(root):
    pixels = [
        tuple(color) for i in range(3) for color in np.asarray(Image.open(root / f"masks/p{i}.png")).reshape(-1, 3)
    ]
    return {color: pixels.count(color) for color in set(pixels)}


def test_names_of_classes_are_in_the_suggested_setting(tmp_path):
    finding = errors(write_set(tmp_path, write(), 1), classes=["lungs", "heart"])["label_values"]
    assert '\'data.colors={lungs: "#ff0000", heart: "#00ff00", class_3: "#ffff00"}\'' in finding.remedy


def test_a_color_that_is_not_listed_is_one_error(tmp_path):
    finding = errors(write_set(tmp_path, write()), colors={"lungs": "#ff0000", "heart": "#00ff00"})["unknown_label"]
    assert finding.cases == ("p0", "p1", "p2")
    assert f"#ffff00 ({count_colors(tmp_path)[YELLOW]} pixels)" in finding.reasons["p0"]
    assert finding.remedy == 'Correct the masks, or add to data.colors: class_3: "#ffff00".'


@pytest.mark.parametrize("settings", [{}, {"colors": COLORS}])
def test_smoothed_colors_are_refused_with_the_reason(tmp_path, settings):
    (finding,) = errors(write_set(tmp_path, write(with_smooth_borders), 2), **settings).values()
    assert "of them lie between others, as smoothing makes them" in finding.reasons["p0"]
    assert finding.remedy.startswith("Export the masks again without smoothing (anti-aliasing)")
    assert ('data.colors={class_1: "#ff0000", class_2: "#00ff00"' in finding.remedy) == (not settings)


@pytest.mark.parametrize("settings", [{}, {"colors": COLORS}])
def test_colors_in_jpeg_are_refused_with_the_reason(tmp_path, settings):
    (finding,) = errors(write_set(tmp_path, write(suffix=".jpg"), 2), **settings).values()
    assert finding.remedy.startswith("Lossy compression changes colors. Export the masks as PNG")


def test_background_and_ignored_colors(tmp_path):
    def white_and_gray(image):
        pixels = np.array(image)
        pixels[~pixels.any(axis=2)] = 255
        pixels[:5] = 128
        return Image.fromarray(pixels)

    root = write_set(tmp_path, write(white_and_gray), 1)
    colors = COLORS | {"background": "#ffffff"}
    assert set(errors(root, colors=colors)) == {"unknown_label"}
    assert errors(root, colors=colors | {"ignore": "#808080"}) == {}


def test_black_may_be_a_class_on_a_transparent_background(tmp_path):
    def clear(root, name, image, masks):
        save(root / "images" / f"{name}.png", image)
        strokes = np.zeros((*image.shape, 4), np.uint8)
        strokes[masks["heart"], 3] = 255
        strokes[masks["lungs"]] = (255, 0, 0, 255)
        save(root / "masks" / f"{name}.png", strokes)

    root = write_set(tmp_path, clear, 1)
    assert errors(root, colors={"heart": "#000000", "lungs": "#ff0000"}) == {}


def test_colors_without_a_class_are_listed_first(tmp_path):
    def write_stripes(root, name, image, masks):
        save(root / "images" / f"{name}.png", image)
        painted = np.zeros((*image.shape, 3), np.uint8)
        for row in range(30):
            painted[2 * row : 2 * row + 2] = (7 * row, 255 - 8 * row, 200)
        painted[-1, -1] = RED
        save(root / "masks" / f"{name}.png", painted)

    colors = {f"c{row}": f"#{7 * row:02x}{255 - 8 * row:02x}c8" for row in range(30)}
    finding = errors(write_set(tmp_path, write_stripes, 1), colors=colors)["unknown_label"]
    assert "the colors of 1 mask are #ff0000 (1 pixels), #" in finding.reasons["p0"]
    assert finding.reasons["p0"].endswith(", and 20 more")


def test_a_folder_of_a_class_that_the_setting_does_not_list(tmp_path):
    write_set(tmp_path, write(), 2)
    (tmp_path / "masks").rename(tmp_path / "liver")
    (tmp_path / "masks").mkdir()
    (tmp_path / "liver").rename(tmp_path / "masks" / "liver")
    with pytest.raises(DataError, match=r"masks/liver/p0\.png: is in color, but data\.colors has no color of liver"):
        errors(tmp_path, colors=COLORS, classes=["liver"])
