"""report.html: what stands in it, that nothing in it reaches out, and that it works in a browser."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import StorageError
from medseg.evaluation.result import Comparison, Evaluation
from medseg.metrics.statistics import Paired
from medseg.notice import RESEARCH_USE
from medseg.output.drawing import COLORS
from medseg.report.page import make_legible, write_page
from tests.support.sample_evaluation import CLASSES, HOSTILE, draw_evaluation

VOID = {"meta", "link", "img", "input", "br", "hr"}
CASES = 14
INCLUDED = "Includes cases the model was trained on."


class Page(HTMLParser):
    """Elements as `(tag, attributes, text)`; complains about tags that are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[int] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {[self.elements[place][0] for place in self.open]}"

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self.elements[self.open[-1]][0] == tag, f"</{tag}> closes <{self.elements[self.open[-1]][0]}>"
        self.open.pop()

    def handle_data(self, data):
        for place in self.open:
            self.elements[place][2].append(data)

    def find(self, tag: str, **attributes: str) -> list[str]:
        """The texts of the elements with a tag and attributes."""
        return [
            "".join(text).strip()
            for name, found, text in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


def read_tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of the texts of its cells."""
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    rows = [[Page(row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)] for table in tables]
    return [[["".join(t).strip() for tag, _, t in row.elements if tag in ("td", "th")] for row in r] for r in rows]


def read_cases(text: str) -> list[list[tuple[str, str | None]]]:
    """The rows of the per-case table: each cell's text and exact value."""
    table = text[text.index('id="per-case"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = [Page(row) for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL)]
    return [
        [("".join(t).strip(), a.get("data-value")) for tag, a, t in row.elements if tag in ("td", "th")] for row in rows
    ]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return draw_evaluation(CASES, 128, 1)


@pytest.fixture(scope="module")
def text(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(evaluation, tmp_path_factory.mktemp("page"))


def write(evaluation: Evaluation, folder: Path) -> str:
    write_page(evaluation, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_well_formed_with_unique_ids_and_links_that_lead_somewhere(text):
    page = Page(text)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    links = {a["href"] for tag, a, _ in page.elements if tag == "a"}
    assert links <= {f"#{name}" for name in ids}
    assert {n for _, a, _ in page.elements for n in (a.get("aria-labelledby") or "").split()} <= set(ids)


def test_nothing_reaches_out(text):
    page = Page(text)
    for tag, attributes, _ in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", re.sub(r"data:[^\"]*", "", text))
    policy = next(a["content"] for tag, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "script-src 'sha256-" in policy


def test_hostile_names_are_text(text):
    page = Page(text)
    assert len(page.find("script")) == 1
    assert HOSTILE in page.find("span", **{"class": "name"}) + page.find("a", **{"class": "name"})
    assert any("<friends>" in heading for heading in page.find("h1"))


def test_head_says_what_was_evaluated(text, evaluation):
    page = Page(text)
    facts = dict(zip(page.find("dt"), page.find("dd"), strict=True))
    assert facts["Model"] == evaluation.model
    assert (facts["Cases"], facts["Patients"]) == (str(CASES), str(len({c.patient for c in evaluation.cases})))
    assert facts["Subset"] == "unseen"
    assert facts["Left out"].startswith("247")
    assert page.find("p", **{"class": "use"}) == [RESEARCH_USE] * 2


def test_one_row_a_case_with_its_figures(text, evaluation):
    rows = read_cases(text)
    assert [row[0][0] for row in rows] == [case.case for case in evaluation.cases]
    names = re.findall(r'data-metric="([^"]+)"', text)
    assert set(names) == set(evaluation.cases[0].scores)
    for row, case in zip(rows, evaluation.cases, strict=True):
        for name, (shown, exact) in zip(names, row[-len(names) :], strict=True):
            value = case.scores[name]
            if math.isnan(value):
                assert (shown, exact) == ("\N{EN DASH}", None)
            else:
                assert float(exact) == value
                assert float(shown.replace("\N{MINUS SIGN}", "-")) == pytest.approx(
                    value, abs=0.00501 if "d_" in name or "hd95" in name else 0.000501
                )


def test_missing_says_so(text):
    assert Page(text).find("span", **{"class": "missing", "title": "missing"})


def test_summary_equals_the_input(text, evaluation):
    rows = [row for row in read_tables(text)[0] if len(row) == 5][1:]
    shown = {(row[1].split()[0], row[3], row[4]) for row in rows}
    for summary in evaluation.summaries:
        decimals, sign = (
            (2, "") if summary.name.startswith(("hd95", "assd")) else (3, "+" if "error" in summary.name else "")
        )
        mean = f"{summary.mean:{sign}.{decimals}f}".replace("-", "\N{MINUS SIGN}")
        assert (mean, str(summary.count), str(summary.missing)) in shown


def test_every_table_says_that_the_model_has_seen_its_cases(text, evaluation, tmp_path):
    assert INCLUDED not in text
    everything = Page(write(replace(evaluation, subset="all"), tmp_path))
    captions = everything.find("caption")
    assert len(captions) == len(everything.find("table"))
    assert all(INCLUDED.lower().rstrip(".") in caption.lower() for caption in captions)


def test_comparison_shows_difference_interval_p_and_moves(text, evaluation):
    comparison = evaluation.comparison
    section = text[text.index('<section id="comparison"') : text.index('<section id="ctr"')]
    differences, moves = read_tables(section)
    shown = {row[1].split()[0]: row for row in differences if len(row) == 6}
    for name, paired in comparison.differences.items():
        row = shown[f"{paired.difference:+.{2 if 'hd95' in name else 3}f}".replace("-", "\N{MINUS SIGN}")]
        adjusted = comparison.adjusted[name]
        assert row[4].endswith("0.001" if adjusted < 0.001 else f"{adjusted:.{3 if adjusted < 0.1 else 2}f}")
    assert [row[0] for row in moves[1:]] == [case for case, *_ in comparison.moved]


def test_what_cannot_be_compared_is_judged_by_nothing(evaluation, tmp_path):
    nothing = Paired(math.nan, math.nan, math.nan, math.nan)
    known = Paired(0.001, -0.001, 0.002, 0.4)
    comparison = Comparison("f" * 16, {"dice_lungs": known, "dice_heart": nothing}, {"dice_lungs": 0.8}, ())
    text = write(replace(evaluation, comparison=comparison), tmp_path)
    assert text.count("no significant difference") == 1


def test_cases_that_moved_lead_to_their_pictures(text, evaluation):
    moves = text[text.index("Cases that changed most") : text.index('<section id="ctr"')]
    pictured = {case.case for case in evaluation.cases if case.picture is not None}
    moved = [case for case, *_ in evaluation.comparison.moved]
    assert pictured & set(moved)
    assert len(re.findall(r'<a class="name" href="#shown-\d+">', moves)) == len(pictured & set(moved))


def test_contours_of_classes_that_share_a_color_differ(evaluation, tmp_path):
    shown = next(case for case in evaluation.cases if case.picture is not None)
    classes = [f"organ{n}" for n in range(15)]
    masks = np.repeat(shown.reference[:1], len(classes), axis=0)
    case = replace(shown, scores=dict.fromkeys((f"dice_{n}" for n in classes), 0.9), reference=masks, prediction=masks)
    text = write(Evaluation("0" * 16, "many", "unseen", 0, classes, [case], []), tmp_path)
    drawn = re.findall(r'<g class="(c\d) o\d+">.*?class="prediction" d="[^"]+"([^>]*)>', text, re.DOTALL)
    assert len(set(drawn)) == len(drawn) == 15


def test_stress_and_calibration_are_drawn(text, evaluation):
    page = Page(text)
    titles = page.find("title")
    assert {curve.name.capitalize() for curve in evaluation.stress} <= set(titles)
    assert {"lungs at 0: Dice 0.974", "heart at 30: Dice 0.631"} <= set(titles)
    assert any(f"error {evaluation.calibration['heart'].error:.3f}" in words for words in page.find("desc"))


def test_a_point_for_every_ratio(text, evaluation):
    known = [case.scores["ctr_error"] for case in evaluation.cases if not math.isnan(case.scores["ctr_error"])]
    shown = re.findall(r"<title>[^<]*: ([+-]0\.\d{3})</title>", text[text.index('id="agreement-title"') :])
    assert sorted(shown) == sorted(f"{value:+.3f}" for value in known)


def test_gallery_has_the_pictured_cases_worst_first(text, evaluation):
    pictured = [case for case in evaluation.cases if case.picture is not None]
    dice = {case.case: np.nanmean([case.scores[f"dice_{name}"] for name in CLASSES]) for case in pictured}
    shown = re.findall(r'<figure class="case".*?</figure>', text, re.DOTALL)
    names = [Page(figure).find("h3")[0] for figure in shown]
    assert names == sorted(dice, key=lambda name: dice[name])
    assert all(figure.count('class="reference"') == figure.count('class="prediction"') == 3 for figure in shown)


def test_the_least_that_an_evaluation_can_hold(evaluation, tmp_path):
    bare = replace(evaluation.cases[0], scores={"dice_lungs": math.nan}, groups={}, picture=None)
    least = Evaluation("0" * 16, "few", "unseen", 0, ("lungs",), [bare], [])
    page = Page(write(least, tmp_path))
    assert page.find("h2") == ["Summary", "Every case"]


def test_the_same_evaluation_gives_the_same_bytes(evaluation, text, tmp_path):
    assert write(evaluation, tmp_path) == text


def test_a_page_that_cannot_be_written(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"report\.html"):
        write_page(evaluation, tmp_path / "file" / "report.html")


@pytest.mark.slow
def test_120_cases_with_18_pictures_are_less_than_5_mb(tmp_path):
    assert len(write(draw_evaluation(120, 512, 6), tmp_path)) < 5e6


@pytest.mark.parametrize("color", COLORS)
def test_lines_stand_out_on_a_light_page(color):
    def luminance(levels: tuple[int, ...]) -> float:
        linear = [s / 12.92 if (s := v / 255) <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for v in levels]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    assert (luminance((246, 247, 249)) + 0.05) / (luminance(make_legible(color)) + 0.05) >= 3
    assert (luminance(color) + 0.05) / (luminance((29, 33, 38)) + 0.05) >= 2.9


@pytest.fixture(scope="module")
def address(text, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser, address) -> Iterator:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    page.close()
    assert said == []


@pytest.mark.browser
class TestBrowser:
    @pytest.mark.slow
    def test_the_slider_uncovers_the_image(self, page):
        shown = "getComputedStyle(document.querySelector('.current .overlay')).clipPath"
        slider = page.locator(".current input[type=range]")
        assert slider.input_value() == "100"
        slider.focus()
        page.keyboard.press("Home")
        assert slider.input_value() == "0"
        assert page.evaluate(shown) == "inset(0px 100% 0px 0px)"
        page.keyboard.press("ArrowRight")
        assert page.evaluate(shown) == "inset(0px 99% 0px 0px)"
        page.locator(".viewer").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator(".current input[type=range]").input_value() == "1"

    @pytest.mark.slow
    def test_arrows_go_through_the_gallery(self, page):
        names = page.locator("figure.case h3").all_text_contents()
        page.locator(".viewer").focus()
        for name in (names[1], names[2]):
            page.keyboard.press("ArrowRight")
            assert page.locator("figure.case:visible h3").all_text_contents() == [name]
            assert name in page.locator("#said").text_content()
        page.keyboard.press("ArrowLeft")
        assert page.locator("figure.case:visible h3").all_text_contents() == [names[1]]
        assert page.locator(".thumbs [aria-current=true]").get_attribute("data-case") == "1"

    @pytest.mark.slow
    def test_heads_sort_by_click_and_key(self, page, evaluation):
        head = page.locator("#per-case th[data-metric=hd95_clavicles]")
        values = [case.scores["hd95_clavicles"] for case in evaluation.cases]
        known = sorted(value for value in values if not math.isnan(value))
        read = "[...document.querySelectorAll('#per-case tbody tr')].map((row) => row.cells[%d].dataset.value ?? null)"
        column = page.evaluate("document.querySelector('[data-metric=hd95_clavicles]').cellIndex")
        for press, order in (
            (lambda: head.locator("button").click(), "descending"),
            (lambda: page.keyboard.press("Enter"), "ascending"),
        ):
            press()
            assert head.get_attribute("aria-sort") == order
            expected = known if order == "ascending" else known[::-1]
            found = page.evaluate(read % column)
            assert [float(value) for value in found if value is not None] == expected
            assert found[len(known) :] == [None] * (len(values) - len(known)), "missing ones come last"
        assert page.locator("#per-case th[aria-sort=ascending]").count() == 1

    @pytest.mark.slow
    def test_a_class_can_be_hidden(self, page):
        assert page.locator(".current .o1 .prediction").is_visible()
        page.locator("#class-1").uncheck()
        assert not page.locator(".current .o1 .prediction").is_visible()
        assert page.locator(".current .o0 .prediction").is_visible()

    @pytest.mark.slow
    def test_a_phone_needs_no_sideways_scrolling(self, browser, address):
        for width in (390, 320, 1280):
            page = browser.new_page(viewport={"width": width, "height": 844})
            page.goto(address)
            page.evaluate("document.querySelectorAll('details').forEach((element) => { element.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()

    def test_readable_without_scripts(self, browser, address):
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(address)
        assert page.locator("figure.case").count() == page.locator("figure.case:visible").count() >= 3
        assert page.locator("input[type=range]:visible").count() == 0
        context.close()
