"""DICOM files of malformed structure or header: name, bytes, and what must become of them (see `malformed_folder`)."""

import struct
from collections.abc import Iterator

from pydicom import uid
from pydicom.datadict import tag_for_keyword

from tests.support.dicom_bytes import (
    BITS8,
    FORMATS,
    ITEM_END,
    PICTURE,
    PIXELS,
    SEQUENCE_END,
    UNDEFINED,
    Changes,
    Field,
    boundaries,
    data_set,
    element,
    framed,
    item,
    jpeg,
    meta,
    picture,
    us,
)
from tests.support.dicom_files import encode_lossless_jpeg, phantom

Case = tuple[str, bytes, str]

NEEDED = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "PixelData"),
)
"""Without these there is no picture."""
SEQUENCES = (
    *("ModalityLUTSequence", "VOILUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("AnatomicRegionSequence", "ViewCodeSequence"),
)
"""What the reader looks at beside the attributes of `PICTURE`."""


def good() -> Iterator[Case]:
    """What is right, or can be read without a guess, however odd it looks."""
    for name, data in FORMATS.items():
        yield f"{name}.dcm", data, "close" if name == "jpeg" else "done"
    yield "no-extension", FORMATS["native"], "done"
    yield "other-extension.txt", FORMATS["j2k"], "done"
    yield "TIFF-PREAMBLE.DCM", b"II*\0" + FORMATS["native"][4:], "done"
    yield "no-preamble", FORMATS["native"][132:], "done"
    yield "bare-explicit", data_set({}), "done"
    yield "bare-implicit", data_set({}, implicit=True), "done"


def truncations() -> Iterator[Case]:
    """Every format cut at every boundary that it has for itself, and at twenty more places."""
    for name, data in FORMATS.items():
        is_plain = name in ("deflated", "implicit", "big")
        own = 0 if name == "native" else len(data) if is_plain else data.index(b"\xe0\x7f")
        cuts = {cut for cut in boundaries(data) if cut < 350 or cut >= own}
        cuts |= {len(data) * part // 20 for part in range(20)} | {len(data) - n for n in (1, 2, 8, 9)}
        tail = 9 if name in ("jpeg", "lossless", "jpegls", "j2k", "rle") else 0  # the end of the sequence, and padding
        for cut in sorted(cut for cut in cuts if cut < len(data)):
            yield f"{name}-{cut:06}.dcm", data[:cut], "rejected" if cut < len(data) - tail else "done|close|rejected"


def codestreams() -> Iterator[Case]:
    """Frames that end early though all lengths around them are right."""
    lossless = encode_lossless_jpeg(phantom(), 12)
    for part in range(10):
        cut = jpeg()[: part * len(jpeg()) // 10]
        yield f"jpeg-{part}.dcm", framed(uid.JPEGBaseline8Bit, cut, BITS8), "rejected"
        yield f"padded-{part}.dcm", framed(uid.JPEGBaseline8Bit, cut + b" " * 99, BITS8), "rejected"
        yield f"lossless-{part}.dcm", framed(uid.JPEGLosslessSV1, lossless[: part * 1000], {}), "rejected"


def metas() -> Iterator[Case]:
    """File meta information that lies, and what stands in its place."""
    length, body = "FileMetaInformationGroupLength", data_set({})
    true = len(meta()) - 144
    for lie in (0, 1, 2, true - 2, true + 2, true + 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED):
        yield f"length-{lie}.dcm", meta({length: struct.pack("<I", lie)}) + body, "done|rejected"
    yield "length-absent.dcm", meta({length: None}) + body, "done"
    yield "length-text.dcm", meta({length: ("LO", b"long")}) + body, "done|rejected"
    for name in ("FileMetaInformationVersion", "MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID"):
        yield f"absent-{name}.dcm", meta({name: None}) + body, "done"
        yield f"empty-{name}.dcm", meta({name: b""}) + body, "done"
        yield f"far-{name}.dcm", meta({name: ("UN", b"1.2", 0x7FFFFFF0)}) + body, "rejected"
    yield "only-preamble.dcm", bytes(128) + b"DICM", "rejected"
    yield "only-meta.dcm", meta(), "rejected"
    yield "only-meta", meta(), "rejected"
    yield "twice.dcm", meta() + meta()[132:] + body, "done|rejected"
    yield "group-1-first.dcm", meta() + element(0x00010010, b"x") + body, "done|rejected"
    yield "group-0.dcm", meta() + element(0x00000002, b"1.2") + body, "done|rejected"


def syntaxes() -> Iterator[Case]:
    """Transfer syntaxes that are unknown, private, missing, or not those of the data."""
    stated: dict[str, Field] = {
        **{"unknown": b"1.2.3.4", "private": b"1.2.840.113619.5.2", "words": b"Explicit VR", "long": b"1." * 40},
        **{"mpeg2": uid.MPEG2MPML.encode(), "jpip": b"1.2.840.10008.1.2.4.94", "xml": b"1.2.840.10008.1.2.6.2"},
        **{
            "spectral": b"1.2.840.10008.1.2.4.53",
            "jxl": b"1.2.840.10008.1.2.4.110",
            "frames": b"1.2.840.10008.1.2.8.1",
        },
        **{"of-a-class": PICTURE["SOPClassUID"], "number": ("US", us(1)), "rle": uid.RLELossless.encode()},
        **{"two": b"1.2.840.10008.1.2.1\\1.2.840.10008.1.2"},
        **{f"as-{name}": _syntax_of(name) for name in ("jpeg", "lossless", "j2k", "deflated", "big")},
    }
    for name, syntax in stated.items():
        yield f"{name}.dcm", meta({"TransferSyntaxUID": syntax}) + data_set({}), "done|rejected"
    yield "absent.dcm", meta({"TransferSyntaxUID": None}) + data_set({}), "done"
    yield "empty.dcm", meta({"TransferSyntaxUID": b""}) + data_set({}), "done"
    yield "as-implicit.dcm", meta({"TransferSyntaxUID": _syntax_of("implicit")}) + data_set({}), "done|rejected"
    yield "is-implicit.dcm", meta() + data_set({}, implicit=True), "done|rejected"
    for name in ("jpeg", "lossless", "jpegls", "j2k", "rle"):
        for other in ("native", "jpeg", "lossless", "jpegls", "j2k", "rle", "deflated", "implicit", "big"):
            if other != name:
                frame = FORMATS[name].partition(b"DICM")[2]
                body = frame[frame.index(element("SOPClassUID", PICTURE["SOPClassUID"])[:8]) :]
                yield f"{name}-as-{other}.dcm", meta({"TransferSyntaxUID": _syntax_of(other)}) + body, "rejected"


def _syntax_of(name: str) -> bytes:
    data = FORMATS[name]
    start = data.index(b"\2\0\x10\0UI") + 8
    return data[start : start + data[start - 2]]


def lengths() -> Iterator[Case]:
    """Elements that are longer, shorter or odder than their values."""
    true = len(PIXELS)
    for lie in (0, 1, 7, true - 2, true - 1, true + 1, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED):
        yield f"pixels-{lie}.dcm", picture({"PixelData": ("OW", PIXELS, lie)}), "rejected"
    yield "pixels-more.dcm", picture({"PixelData": PIXELS + bytes(1000)}), "done"
    yield "tail.dcm", picture({0xFFFCFFFC: ("OB", bytes(100))}), "done"
    yield "rubbish.dcm", picture({}) + b"\xff" * 50, "done|rejected"
    yield "zeros.dcm", picture({}) + bytes(5000), "done"
    for lie in (0, 1, 3, 0xFFFE, 0xFFFF):
        yield f"name-{lie}.dcm", picture({"PatientName": ("PN", b"Secret^Name", lie)}), "done|rejected"
        yield f"rows-{lie}.dcm", picture({"Rows": ("US", us(96), lie)}), "rejected"
    for lie in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED):
        for vr in ("OB", "SQ", "UN", "UT"):
            for implicit in (False, True):
                body = data_set({0x00211001: (vr, b"1234", lie)}, implicit)
                yield f"private-{vr}-{lie}-{implicit}.dcm", body, "rejected"
    first = data_set({"PixelData": None})
    yield "twice.dcm", meta() + first + data_set({}), "done|rejected"
    yield "backwards.dcm", meta() + element("PixelData", PIXELS) + first, "done|rejected"


def nestings() -> Iterator[Case]:
    """Sequences 3000 deep, in every encoding, where the reader looks and where nobody does."""
    for key in (*SEQUENCES, 0x00211001):
        for defined in (True, False):
            for implicit in (True, False):
                syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
                body = data_set({key: _nest(3000, key, defined, implicit)}, implicit)
                data = meta({"TransferSyntaxUID": syntax.encode()}) + body
                yield f"{key}-{defined}-{implicit}.dcm", data, "done|rejected|skipped"


def _nest(depth: int, key: str | int, defined: bool, implicit: bool) -> Field:
    field: tuple[str, bytes, int] = ("SQ", b"", 0)
    for _ in range(depth):
        content = element(key, field, implicit)
        if defined:
            inner = item(content)
            field = ("SQ", inner, len(inner))
        else:
            field = ("SQ", item(content, UNDEFINED) + ITEM_END + bytes(4) + SEQUENCE_END + bytes(4), UNDEFINED)
    return field


def overlays() -> Iterator[Case]:
    """Overlay planes whose position decides on the bits above BitsStored, which are clear here."""
    for name, position in {
        "empty": ("US", b""),
        "two": ("US", us(15, 15)),
        "far": ("US", us(65535)),
        "text": ("LO", b"fifteen"),
        "bytes": ("OB", b"\x0f"),
        "items": ("SQ", item(b"")),
    }.items():
        for key, data in {"embedded": None, "apart": ("OW", bytes(960)), "valueless": ("OW", b"")}.items():
            plane: Changes = {0x60020102: position, 0x60023000: data, "LossyImageCompression": b"01"}
            yield f"overlay-{name}-{key}.dcm", picture(plane), "done"
    for lie in (0x7FFFFFFF, UNDEFINED):
        yield f"overlay-{lie}.dcm", picture({0x60023000: ("OW", bytes(960), lie)}), "rejected"


def absences() -> Iterator[Case]:
    """Every tag that the reader looks at, missing and empty, one by one; then all that are not needed."""
    for key in PICTURE:
        expected = "rejected" if key in NEEDED else "done"
        yield f"{key}-absent.dcm", picture({key: None}), expected
        yield f"{key}-empty.dcm", picture({key: b""}), expected
        yield f"{key}-blank.dcm", picture({key: b"  "}), "done|rejected" if key in NEEDED else "done"
    spare: Changes = dict.fromkeys(PICTURE.keys() - set(NEEDED))
    yield "all.dcm", picture(spare), "done"
    yield "every.dcm", picture(dict.fromkeys(PICTURE)), "rejected"


def representations() -> Iterator[Case]:
    """Every tag that the reader looks at under value representations that are not its own, or do not exist."""
    for key, value in PICTURE.items():
        assert isinstance(value, bytes)
        for vr in ("AT", "CS", "DA", "DS", "FD", "FL", "IS", "OB", "PN", "SQ", "SS", "UI", "UL", "UN", "US"):
            yield f"{key}-{vr}.dcm", picture({key: (vr, value)}), "done|rejected|skipped"
        for vr in ("ZZ", "??", "\0\0", "us"):
            yield f"{key}-{vr.encode().hex()}.dcm", picture({key: (vr, value)}), "done|rejected|skipped"


FAMILIES = (
    *(good, truncations, codestreams, metas, syntaxes, lengths, nestings),
    *(absences, representations),
)
assert tag_for_keyword("PixelData") == 0x7FE00010
