import codecs
from xml.etree.ElementTree import Element

import numpy as np
import pytest
from PIL import Image

from medseg.annotations.document import Table, load_document
from medseg.errors import RadiographError

JSON = '{"name": "é",\r\n "x": [1]}'


@pytest.mark.parametrize(
    "data",
    [
        JSON.encode(),
        codecs.BOM_UTF8 + JSON.encode(),
        JSON.encode("utf-16"),
        codecs.BOM_UTF16_BE + JSON.encode("utf-16-be"),
        b" \r\n" + JSON.encode(),
    ],
)
def test_json_in_any_encoding_and_with_any_extension(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert load_document(path).content == {"name": "é", "x": [1]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_xml(tmp_path, encoding):
    path = tmp_path / "a.xml"
    declared = encoding.removesuffix("-sig")
    path.write_text(f'<?xml version="1.0" encoding="{declared}"?>\n<a b="é">x</a>', encoding=encoding)
    content = load_document(path).content
    assert isinstance(content, Element)
    assert (content.tag, content.get("b"), content.text) == ("a", "é", "x")


@pytest.mark.parametrize("text", ["a,b\r\n1, 2\r\n\r\n", "a;b\n1;2", "a\tb\n1\t2 \n", '\ufeffa, b\n"1",2'])
def test_csv(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    assert load_document(path).content == Table(("a", "b"), (("1", "2"),))


def test_a_long_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "1 2 " * 100_000)
    assert len(load_document(path).content.rows[0][0]) > 131_072  # the limit of the csv module


def test_yaml(tmp_path):
    path = tmp_path / "data.yaml"
    path.write_bytes(codecs.BOM_UTF8 + b"names:\r\n  0: a\r\n")
    assert load_document(path).content == {"names": {0: "a"}}


def test_other_files_have_no_content(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "notes.md").write_text("text")
    assert load_document(tmp_path / "a.png").content is None
    assert load_document(tmp_path / "notes.md").content is None


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
FILE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.xml", BOMB.encode(), "document type"),
        ("a.xml", FILE.encode(), "document type"),
        ("a.xml", b"<a><b></a>", "not well-formed XML"),
        ("a.xml", b"<a>&b;</a>", "not well-formed XML"),
        ("a.json", b'{"a": 1', "not valid JSON"),
        ("a.json", b'{"a": "\xe9"}', "not text in UTF-8 or UTF-16"),
        ("a.json", b'{"a":' * 100_000, "not valid JSON"),
        ("a.yaml", b"a: [1", "not valid YAML"),
        ("a.yaml", b"a: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a.yaml", b"a: 1\n" * 1_000_000, "the limit for YAML"),
        ("a.json", b"", "is empty"),
    ],
)
def test_files_that_are_refused(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(RadiographError, match=reason) as caught:
        load_document(path)
    assert name in str(caught.value)
