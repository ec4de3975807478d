import base64
import hashlib

import pytest
from jinja2 import UndefinedError

from medseg.report.pages import render_page, to_data_uri


def test_values_are_escaped_and_parts_are_not(tmp_path):
    (tmp_path / "page.css").write_text("a > b { color: red }")
    (tmp_path / "page.html").write_text("{{ name }}|{{ read_part('page.css') }}")
    assert render_page(tmp_path / "page.html", name="<b>") == "&lt;b&gt;|a > b { color: red }"


def test_the_digest_is_that_which_a_policy_wants(tmp_path):
    (tmp_path / "page.html").write_text("{{ digest('alert(1)') }}")
    expected = base64.b64encode(hashlib.sha256(b"alert(1)").digest()).decode()
    assert render_page(tmp_path / "page.html").replace("&#43;", "+") == f"sha256-{expected}"


def test_a_value_that_is_not_given_is_an_error(tmp_path):
    (tmp_path / "page.html").write_text("{{ name }}")
    with pytest.raises(UndefinedError):
        render_page(tmp_path / "page.html")


def test_a_data_uri():
    assert to_data_uri(b"\x00\xff", "image/png") == "data:image/png;base64,AP8="
