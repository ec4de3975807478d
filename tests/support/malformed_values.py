"""DICOM files of impossible values or pixels, and objects that are no radiographs (see `malformed_folder`)."""

import struct
from collections.abc import Iterator
from itertools import product

from pydicom import uid

from tests.support.dicom_bytes import (
    BITS8,
    FORMATS,
    PIXELS,
    SEQUENCE_END,
    UNDEFINED,
    Changes,
    Field,
    data_set,
    element,
    encapsulated,
    framed,
    item,
    jpeg,
    meta,
    picture,
    us,
    zeros,
)

Case = tuple[str, bytes, str]

_NO_NUMBER = (b"NaN", b"inf", b"-inf", b"1e400", b"abc", b"1,5", b"1\\2", b"0x10", b"--1", b"1e", b"\xff\xfe")
_NO_COUNT = (b"-1", b"0", b"1.5", b"2147483648", b"99999999999", *_NO_NUMBER)
_DECIMALS = ("RescaleSlope", "RescaleIntercept")
_LENIENT = (
    *("WindowCenter", "WindowWidth", "ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"),
    "EstimatedRadiographicMagnificationFactor",
)
_WORDS: dict[str, tuple[int, ...]] = {
    "Rows": (0, 97, 5000, 65535),
    "Columns": (0, 81, 5000, 65535),
    "BitsAllocated": (0, 1, 7, 8, 12, 24, 32, 64, 65535),
    "BitsStored": (0, 17, 65535),
    "PixelRepresentation": (2, 65535),
    "SamplesPerPixel": (0, 2, 5, 65535),
}
"""Numbers with which there is no picture, or not the one that the pixel data hold."""


def values() -> Iterator[Case]:
    """Numbers that are none, or impossible, in every attribute that holds a number."""
    for key in _DECIMALS:
        for value in (*_NO_NUMBER, *((b"0",) if key == "RescaleSlope" else ())):
            yield f"{key}-{value.hex()}.dcm", picture({key: value}), "rejected"
    for key, value in product(_LENIENT, (*_NO_NUMBER, b"0", b"-1\\1", b"0\\0", b"1\\2\\3", b"-1")):
        yield f"{key}-{value.hex()}.dcm", picture({key: value}), "done"
    for value in _NO_COUNT:
        yield f"NumberOfFrames-{value.hex()}.dcm", picture({"NumberOfFrames": value}), "done|rejected|skipped"
    for key, numbers in _WORDS.items():
        for number in numbers:
            expected = "done|rejected" if (key, number) == ("BitsAllocated", 8) else "rejected"
            yield f"{key}-{number}.dcm", picture({key: us(number)}), "other|rejected" if number == 8 else expected
            yield f"{key}-{number}-{number}.dcm", picture({key: us(number, number)}), "rejected"
    for high_bit in (0, 10, 12, 15, 255, 65535):
        yield f"HighBit-{high_bit}.dcm", picture({"HighBit": us(high_bit)}), "other|rejected"
    for padding in (0, 4095, 65535):
        limit = {"PixelPaddingValue": us(0), "PixelPaddingRangeLimit": us(padding)}
        yield f"padding-{padding}.dcm", picture(limit), "other|rejected"
    for key, value in product(("Rows", "BitsStored", "SamplesPerPixel"), (b"abc", b"NaN", b"-1", b"\0")):
        yield f"{key}-DS-{value.hex()}.dcm", picture({key: ("DS", value)}), "rejected"
    yield "slopes.dcm", picture({"RescaleSlope": b"1e-300"}), "rejected"
    yield "slope-large.dcm", picture({"RescaleSlope": b"1e300"}), "rejected"
    yield "slope-negative.dcm", picture({"RescaleSlope": b"-1"}), "other"
    yield "constant.dcm", picture({"PixelData": bytes(len(PIXELS))}), "rejected"
    yield "all-padding.dcm", picture({"PixelData": us(4093) * (len(PIXELS) // 2)}), "rejected"


def terms() -> Iterator[Case]:
    """Codes that the standard does not have, or that the model is not for."""
    for key, value in {"Modality": b"MG", "BodyPartExamined": b"HAND", "ViewPosition": b"LL"}.items():
        yield f"{key}.dcm", picture({key: value}), "skipped"
        yield f"{key}-text.dcm", picture({key: b"Smith, John; =cmd() (born 1970)"}), "skipped"
        yield f"{key}-long.dcm", picture({key: ("CS", b"A" * 65534, 65534)}), "skipped"
        yield f"{key}-bytes.dcm", picture({key: bytes(range(128, 160))}), "skipped"
    yield "processing.dcm", picture({"PresentationIntentType": b"FOR PROCESSING"}), "skipped"
    yield "intent.dcm", picture({"PresentationIntentType": b"FOR NOTHING"}), "skipped|rejected"
    for value in (b"MONOCHROME3", b"MONOCHROME", b"grey", b"\xff", b"RGB", b"PALETTE COLOR", b"YBR_FULL"):
        expected = "skipped" if value[:3] in (b"RGB", b"PAL", b"YBR") else "rejected"
        yield f"photometric-{value.hex()}.dcm", picture({"PhotometricInterpretation": value}), expected
    for key in ("VOILUTFunction", "PresentationLUTShape", "PatientOrientation", "BurnedInAnnotation"):
        yield f"{key}.dcm", picture({key: b"Smith^John"}), "done"
    for key in ("StudyInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        for value in (b"Smith", b"1." * 40, b"1..2", b"\xff"):
            yield f"{key}-{value.hex()[:8]}.dcm", picture({key: value}), "done"
    for key, sequence in {"BodyPartExamined": "AnatomicRegionSequence", "ViewPosition": "ViewCodeSequence"}.items():
        for scheme, code in (
            (b"SCT", b"Smith"),
            (b"99\xff", b"1"),
            (b"SCT", b""),
            (b"\\", b"\\"),
            (b"SRT", b"9" * 60000),
        ):
            content = element("CodeValue", code) + element("CodingSchemeDesignator", scheme)
            coded: Changes = {key: None, sequence: _sequence(content)}
            yield f"{sequence}-{scheme.hex()}-{len(code)}.dcm", picture(coded), "done|skipped"
    for value in (b"ISO_IR 999", b"\\ISO 2022 IR 87", b"\xff\xff", b"A" * 60000):
        charset = picture({"SpecificCharacterSet": value, "PatientName": b"\xff\x1b$B\xe4"})
        yield f"charset-{value.hex()[:8]}.dcm", charset, "done"


def tables() -> Iterator[Case]:
    """Modality and VOI LUTs that lie; only the first decides on the picture."""
    ramp = struct.pack("<4096H", *range(4096))
    for name, descriptor, data in (
        ("none", None, ramp),
        ("no-data", us(4096, 0, 12), None),
        ("short", us(4096, 0, 12), ramp[:100]),
        ("bits-0", us(4096, 0, 0), ramp),
        ("bits-99", us(4096, 0, 99), ramp),
        ("two", us(4096, 0), ramp),
        ("text", ("LO", b"4096\\0\\x"), ramp),
        ("count-0", us(0, 0, 16), ramp),
    ):
        field = _sequence(element("LUTDescriptor", _as_words(descriptor)) + element("LUTData", _as_words(data)))
        yield f"modality-{name}.dcm", picture({"ModalityLUTSequence": field}), "rejected"
        yield f"voi-{name}.dcm", picture({"VOILUTSequence": field}), "done"
    for name, field in {"empty": _sequence(b"", items=0), "item": _sequence(b""), "bytes": ("SQ", b"12345678")}.items():
        expected = "done|rejected" if name == "bytes" else "done"
        yield f"modality-{name}.dcm", picture({"ModalityLUTSequence": field}), expected
        yield f"voi-{name}.dcm", picture({"VOILUTSequence": field}), expected


def _as_words(value: Field) -> Field:
    return ("US", value) if isinstance(value, bytes) else value


def _sequence(content: bytes, items: int = 1) -> Field:
    return "SQ", item(content) * items


def fragments() -> Iterator[Case]:
    """Items of encapsulated pixel data that lie, and frames in unusual pieces."""
    baseline, frame = uid.JPEGBaseline8Bit, jpeg()
    pieces = b"".join(item(frame[at : at + 100]) for at in range(0, len(frame), 100))
    offsets = {"zero": us(0, 0), "far": b"\xff" * 4, "odd": us(1, 0), "many": bytes(4000), "three-bytes": b"123"}
    for name, table in offsets.items():
        yield f"offsets-{name}.dcm", encapsulated(baseline, item(table) + item(frame), BITS8), "close"
    yield "no-offsets.dcm", encapsulated(baseline, item(frame), BITS8), "close"
    yield "pieces.dcm", encapsulated(baseline, item(b"") + pieces, BITS8), "close"
    yield "empty-pieces.dcm", encapsulated(baseline, item(b"") * 50 + item(frame), BITS8), "close"
    yield "two-frames.dcm", encapsulated(baseline, item(us(0, 0)) + item(frame) * 2, BITS8), "close"
    yield "only-offsets.dcm", encapsulated(baseline, item(b""), BITS8), "rejected"
    yield "nothing.dcm", encapsulated(baseline, b"", BITS8), "rejected"
    for lie in (0, 1, len(frame) - 1, len(frame) + 8, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, UNDEFINED):
        items = item(b"") + item(frame, lie)
        yield f"item-{lie}.dcm", encapsulated(baseline, items, BITS8), "close|rejected"
        yield f"offsets-{lie}.dcm", encapsulated(baseline, item(b"", lie) + item(frame), BITS8), "close|rejected"
    whole = encapsulated(baseline, item(b"") + item(frame), BITS8)
    yield "no-end.dcm", whole[: -len(SEQUENCE_END) - 4], "close"
    yield "zeros-for-end.dcm", whole[: -len(SEQUENCE_END) - 4] + bytes(64 << 20), "close"
    yield "defined.dcm", _defined(item(b"") + item(frame)), "close"


def _defined(items: bytes) -> bytes:
    """Encapsulated pixel data with a length."""
    return meta({"TransferSyntaxUID": uid.JPEGBaseline8Bit.encode()}) + data_set({**BITS8, "PixelData": ("OB", items)})


def bombs() -> Iterator[Case]:
    """Small files that ask for gigabytes."""
    huge: Changes = {"Rows": us(65535), "Columns": us(65535)}
    yield "native.dcm", picture(huge), "rejected"
    for frames in (b"2147483648", b"2147483647", b"100000"):
        yield f"frames-{frames.decode()}.dcm", picture({"NumberOfFrames": frames}), "rejected"
    for name, data in FORMATS.items():
        if name in ("jpeg", "lossless", "jpegls", "j2k"):
            size, lie = (struct.pack(">II", 80, 96), ">II") if name == "j2k" else (struct.pack(">HH", 96, 80), ">HH")
            for rows, columns in ((1, 1), (95, 80), (97, 80), (65500, 65500), (10000, 9999)):
                numbers = (columns, rows) if name == "j2k" else (rows, columns)
                lying = data.replace(size, struct.pack(lie, *numbers), 1)
                assert lying != data, name
                yield f"{name}-{rows}-{columns}.dcm", lying, "rejected"
                truth = data.replace(element("Rows", us(96)), element("Rows", us(rows)))
                truth = truth.replace(element("Columns", us(80)), element("Columns", us(columns)))
                yield f"{name}-tags-{rows}-{columns}.dcm", truth, "rejected"
                both = truth.replace(size, struct.pack(lie, *numbers), 1)
                yield f"{name}-both-{rows}-{columns}.dcm", both, "other|rejected"
    run = struct.pack("<16I", 2, 64, 15064, *[0] * 13) + b"\x81\0" * 15000
    yield "rle-expands.dcm", framed(uid.RLELossless, run, {}), "rejected"
    yield "rle-large.dcm", framed(uid.RLELossless, run, {"Rows": us(9999), "Columns": us(9999)}), "rejected"
    for segments in (0, 1, 3, 15, 16, 0xFFFFFFFF):
        header = struct.pack("<16I", segments, *[64] * 15)
        yield f"rle-{segments}.dcm", framed(uid.RLELossless, header + bytes(2000), {}), "rejected"
    deflated = meta({"TransferSyntaxUID": uid.DeflatedExplicitVRLittleEndian.encode()})
    yield "deflate.dcm", deflated + zeros(1024), "rejected"
    yield "deflate-no-length.dcm", deflated[:132] + deflated[144:] + zeros(1024), "rejected"


def objects() -> Iterator[Case]:
    """DICOM objects that are no radiographs."""
    no_pixels: Changes = dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored"))
    for name, modality in _NO_IMAGES.items():
        sop_class = getattr(uid, name).encode()
        head = meta({"MediaStorageSOPClassUID": sop_class})
        changes: Changes = {"SOPClassUID": sop_class, "Modality": modality}
        yield name, head + data_set({**changes, **no_pixels}), "skipped"
        yield f"{name}-pixels.dcm", head + data_set(changes), "skipped"
    directory = meta({"MediaStorageSOPClassUID": uid.MediaStorageDirectoryStorage.encode()})
    yield "DICOMDIR", directory + element("DirectoryRecordSequence", ("SQ", item(b""))), "skipped"
    for name, modality in _OTHER_IMAGES.items():
        changes = {"SOPClassUID": getattr(uid, name).encode(), "Modality": modality}
        yield f"{name}.dcm", picture(changes), "skipped"
    private: Changes = {"SOPClassUID": b"1.2.840.113619.4.30", **no_pixels}
    yield "private-class.dcm", meta({"MediaStorageSOPClassUID": b"1.2.840.113619.4.30"}) + data_set(private), "skipped"
    groups = {key: _sequence(element("Rows", us(96))) for key in ("SharedFunctionalGroupsSequence",)}
    yield "enhanced.dcm", picture(groups), "skipped"
    yield "multi-frame.dcm", picture({"NumberOfFrames": b"2", "PixelData": PIXELS * 2}), "skipped"


_NO_IMAGES = {
    **{"BasicTextSRStorage": b"SR", "ComprehensiveSRStorage": b"SR", "KeyObjectSelectionDocumentStorage": b"KO"},
    **{
        "GrayscaleSoftcopyPresentationStateStorage": b"PR",
        "EncapsulatedPDFStorage": b"DOC",
        "RTPlanStorage": b"RTPLAN",
    },
    **{"RTStructureSetStorage": b"RTSTRUCT", "RTDoseStorage": b"RTDOSE", "TwelveLeadECGWaveformStorage": b"ECG"},
    **{"SegmentationStorage": b"SEG", "RawDataStorage": b"OT", "EncapsulatedSTLStorage": b"M3D"},
    **{"SpatialRegistrationStorage": b"REG", "MRSpectroscopyStorage": b"MR", "XRayRadiationDoseSRStorage": b"SR"},
}
_OTHER_IMAGES = {
    **{
        "BreastTomosynthesisImageStorage": b"MG",
        "EnhancedCTImageStorage": b"CT",
        "XRayAngiographicImageStorage": b"XA",
    },
    **{
        "DigitalMammographyXRayImageStorageForPresentation": b"MG",
        "RTImageStorage": b"RTIMAGE",
        "CTImageStorage": b"CT",
    },
}

FAMILIES = (values, terms, tables, fragments, bombs, objects)
