"""Files of annotations, parsed without knowing their format: JSON, XML, YAML, CSV or DICOM."""

import codecs
import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml
from pydicom.dataset import Dataset

from medseg.errors import RadiographError
from medseg.radiograph.dicom.header import read_dataset
from medseg.radiograph.kind import identify_content, starts_like_dicom
from medseg.radiograph.source import open_source, refusing

DICOM_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "GraphicAnnotationSequence",
    "GraphicGroupSequence",
    "ReferencedSeriesSequence",
    "ContentSequence",
)
_MAX_CELL = 1 << 30  # characters; the run lengths of one mask of a CSV file
_MAX_YAML = 1 << 22  # bytes; a data.yaml of a thousand classes has a hundredth, and the parser is slow


@dataclass(frozen=True)
class Table:
    """A CSV file."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Document:
    """One parsed file."""

    path: Path
    content: Any
    """What JSON or YAML has, an XML `Element`, a `Table`, or a DICOM `Dataset`; None for other files."""


def load_document(path: Path) -> Document:
    """Parse a file whose first bytes say JSON, XML or DICOM; else YAML by its extension, or CSV.

    Text is UTF-8 or, with a byte order mark, UTF-16. Raises `RadiographError` if the file cannot be parsed.
    """
    with open_source(path) as file:
        head = file.read(352)
        kind = identify_content(head)
        if kind == "dicom" or (kind is None and starts_like_dicom(head)):
            return Document(path, _read_dicom(file))
        if kind is not None:
            return Document(path, None)
        file.seek(0)
        return Document(path, _parse(file.read(), path.suffix.lower()))


def _read_dicom(file: BinaryIO) -> Dataset | None:
    return read_dataset(file, DICOM_KEYWORDS, pixels=False)


def _parse(data: bytes, suffix: str) -> Any:
    start = data.lstrip(codecs.BOM_UTF8 + codecs.BOM_UTF16_LE + codecs.BOM_UTF16_BE + b"\0 \t\r\n")[:1]
    parse: Callable[[str], Any] | None = None
    if start in (b"{", b"["):
        parse = json.loads
    elif start == b"<":
        with refusing("is not well-formed XML", expat.ExpatError):
            return _parse_xml(data)
    elif suffix in (".yaml", ".yml"):
        parse = yaml.safe_load
        if len(data) > _MAX_YAML:
            raise RadiographError(f"has {len(data)} bytes; the limit for YAML is {_MAX_YAML} bytes", "too-large")
    elif suffix in (".csv", ".tsv", ".txt"):
        parse = _parse_csv
    if parse is None:
        return None
    text = decode(data)
    with refusing(
        f"is not valid {'CSV' if parse is _parse_csv else 'YAML' if suffix[:2] == '.y' else 'JSON'}", yaml.YAMLError
    ):
        return parse(text)


def decode(data: bytes) -> str:
    """Return the text of a file. Raises `RadiographError` unless it is UTF-8, or UTF-16 with a byte order mark."""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise RadiographError("is not text in UTF-8 or UTF-16. Save it as UTF-8") from None


def _parse_xml(data: bytes) -> Element:
    """Parse XML without a document type: entities can grow without limit or read other files."""

    def refuse(*_: object) -> None:
        raise RadiographError("has a document type (DTD), which may hide an attack. Delete its <!DOCTYPE ...>")

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(name, attributes)
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    parser.Parse(data, True)
    return builder.close()


def _parse_csv(text: str) -> Table:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    limit = csv.field_size_limit(_MAX_CELL)  # of the whole process
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns, *rows = [tuple(cell.strip() for cell in line) for line in lines]
    finally:
        csv.field_size_limit(limit)
    return Table(columns, tuple(row for row in rows if any(row)))
