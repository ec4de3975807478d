import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.data.findings import Findings
from medseg.data.preview import make_preview
from medseg.notice import RESEARCH_USE
from medseg.output.drawing import COLORS
from medseg.report.check_page import write_check_page
from tests.support.case_surveys import make_survey

CLASSES = ("heart", "lungs")
TOTALS = {
    "data": "/data/set",
    "cases": 3,
    "read": 2,
    "patients": 3,
    **{
        key: {"some": 3} for key in ("splits", "classes", "formats", "sizes", "bits", "spacing_sources", "orientations")
    },
}


class Reader(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read_page(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def draw_preview():
    view = np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(64, 48)
    masks = np.zeros((2, 64, 48), np.bool_)
    masks[0, 10:30, 10:30] = masks[1, 20:60, 5:40] = True
    return make_preview(view, masks)


@pytest.fixture
def write(tmp_path):
    def write(findings: Findings, names=("calm", "odd", "other"), totals=TOTALS) -> Path:
        surveys = [make_survey(name, preview=draw_preview()) for name in names]
        write_check_page(tmp_path / "check.html", totals, findings.listed(), surveys, CLASSES)
        return tmp_path / "check.html"

    return write


def test_finding_shows_its_cases_beside_a_typical_one(write):
    findings = Findings()
    findings.add("mask_mirrored", "odd", "looks mirrored")
    page = read_page(write(findings))
    images = [attributes for tag, attributes in page.tags if tag == "img" and attributes["alt"]]
    assert [attributes["alt"] for attributes in images] == ["other", "odd"]
    assert "looks mirrored" in page.text
    assert "typical:" in page.text


def test_page_needs_no_other_file(write):
    findings = Findings()
    findings.add("saturated", "odd", "too bright")
    path = write(findings)
    page = read_page(path)
    links = [v for _, attributes in page.tags for key, v in attributes.items() if key in ("src", "href", "srcset")]
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links if link)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?:|url\(|@import", path.read_text())
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'; img-src data:;" in str(policy)


def test_names_are_escaped(write):
    evil = "<script>alert(1)<script>&\"'"
    findings = Findings()
    findings.add("empty_mask", evil, evil)
    path = write(findings, names=("calm", evil), totals={**TOTALS, "data": evil, "sizes": {evil: 1}})
    page = read_page(path)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(evil) >= 4


def test_contours_have_the_colors_of_their_classes(write):
    findings = Findings()
    findings.add("empty_mask", "odd", "heart")
    page = read_page(write(findings))
    contours = next(attributes["src"] for tag, attributes in page.tags if tag == "img" and attributes["alt"] == "")
    picture = Image.open(io.BytesIO(base64.b64decode(str(contours).partition(",")[2])))
    assert picture.size == (96, 128)
    colors = {color[:3] for _, color in picture.convert("RGBA").getcolors() if color[3]}
    assert colors == set(COLORS[:2])


def test_page_is_for_research_and_for_dark_rooms_and_phones(write):
    path = write(Findings())
    assert RESEARCH_USE in read_page(path).text
    assert "No problems were found." in read_page(path).text
    for needed in ("prefers-color-scheme: dark", "width=device-width", "max-width: 640px"):
        assert needed in path.read_text()


def test_many_cases_are_listed_not_drawn(write):
    findings = Findings()
    cases = [f"c{number:03d}" for number in range(300)]
    for case in cases:
        findings.add("copies", case, f"pair {int(case[1:]) // 2}")
    page = read_page(write(findings, names=cases))
    assert len([tag for tag, _ in page.tags if tag == "figure"]) == 11
    assert "289 more" in page.text
    assert "and 89 more in check.json" in page.text


def test_case_without_a_picture_is_listed(write):
    findings = Findings()
    findings.add("unreadable", "gone", "gone.png: damaged")
    findings.add("class_name", "", "liver")
    page = read_page(write(findings))
    assert "gone.png: damaged" in page.text
    assert "liver" in page.text
    assert "figure" not in {tag for tag, _ in page.tags}
