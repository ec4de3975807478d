"""A folder of files, good and broken, that say wherever they can who the patient is."""

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pydicom import uid
from pydicom.dataset import Dataset

from medseg.radiograph.nifti import build_nifti
from tests.support.dicom_files import phantom
from tests.support.patient_text import MARK, ODD_CODES, ODD_NUMBERS, find_patient_text, mark_for, odd_number, patient


def named_jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG with a comment and EXIF."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x010E] = exif[0x013B] = f"{MARK}0000010E"
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, comment=f"{MARK}0000FFFE".encode(), exif=exif)
    return buffer.getvalue()


def named_png(pixels: np.ndarray) -> bytes:
    buffer, info, exif = io.BytesIO(), PngInfo(), Image.Exif()
    exif[0x010E] = f"{MARK}0000010E"
    info.add_text("Author", f"{MARK}7E585400")
    info.add_text("Comment", f"{MARK}7A585400" * 9, zip=True)
    info.add_itxt("Title", f"{MARK}69585400 山田", zip=True)
    info.add(b"prVt", f"{MARK}70725674".encode())
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info, exif=exif)
    return buffer.getvalue()


def named_tiff() -> bytes:
    buffer, tags = io.BytesIO(), ImageFileDirectory_v2()
    tags[270] = tags[315] = f"{MARK}0000010E"
    Image.fromarray(phantom()).save(buffer, "TIFF", tiffinfo=tags)
    return buffer.getvalue()


def named_nifti() -> bytes:
    image = build_nifti(phantom(), (0.2, 0.2))
    for number, field in enumerate(("descrip", "db_name", "aux_file", "intent_name")):
        image.header[field] = f"{MARK}5C10000{number}".encode()
    image.header.extensions.append(Nifti1Extension("comment", f"{MARK}5C100009".encode()))
    return image.to_bytes()


def bad_nifti(field: str, value: object) -> bytes:
    data = named_nifti()
    image = nibabel.Nifti1Image.from_bytes(data)
    offset = image.header.template_dtype.fields[field][1]
    raw = np.asarray(value, image.header.template_dtype.fields[field][0].base).tobytes()
    return data[:offset] + raw + data[offset + len(raw) :]


def plain_files() -> dict[str, bytes]:
    """Pictures of other formats, good and broken."""
    eight = (phantom() >> 4).astype(np.uint8)
    png, jpeg, nifti = named_png(phantom()), named_jpeg(eight), named_nifti()
    meta = f"ObjectType = Image\nNDims = 2\nComment = {MARK}4D484100\nDimSize = {MARK}4D484101 80\n".encode()
    nrrd = f"NRRD0004\n# {MARK}4E525244\ntype: {MARK}4E525245\ndimension: 2\nsizes: 80 {MARK}4E525246\n\n".encode()
    return {
        "good.png": png,
        "cut.png": png[: len(png) // 2],
        "head.png": png[:300],
        "color.png": named_png(np.stack([eight, eight[::-1], eight], axis=-1)),
        "checksum.png": png.replace(b"IDAT", b"IDAT", 1)[:-30] + bytes(14) + png[-16:],
        "good.jpg": jpeg,
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "head.jpg": jpeg[:120],
        "good.tif": named_tiff(),
        "cut.tif": named_tiff()[:2000],
        "good.nii": nifti,
        "good.nii.gz": gzip.compress(nifti),
        "cut.nii.gz": gzip.compress(nifti)[:900],
        "damaged.nii.gz": gzip.compress(nifti)[:-8] + bytes(8),
        "shape.nii": bad_nifti("dim", [3, 80, 96, 7, 1, 1, 1, 1]),
        "type.nii": bad_nifti("datatype", 4095),
        "affine.nii": bad_nifti("srow_x", [np.nan] * 4),
        "odd.mha": meta + f"ElementType = {MARK}4D484102\nElementDataFile = LOCAL\n".encode() + bytes(999),
        "elsewhere.mha": meta + f"ElementDataFile = {MARK}4D484103.raw\n".encode(),
        "odd.nrrd": nrrd + bytes(999),
        "elsewhere.nrrd": nrrd[:-1] + f"data file: {MARK}4E525247.raw\n\n".encode(),
        "note.txt": f"{MARK}00000001 Mñz, born 1861-02-03".encode(),
        "text.dcm": f"{MARK}00000002 Mñz".encode(),
        "page.dcm": f"<html><title>{MARK}00000003</title>".encode("utf-16"),
        "no_extension": f"{MARK}00000004".encode(),
        "half.dcm": b"\x08\0\x05\0CS\x0a\0" + f"{MARK}00000005".encode(),
    }


def bad_dicom_files() -> Iterator[tuple[str, bytes]]:
    """Files of patients that cannot be read, or not as they are."""
    good = patient()
    pixel_data = good.rindex(b"\xe0\x7f\x10\x00OW")
    for end in (100, 131, 140, 400, 2000, pixel_data // 2, pixel_data - 3, pixel_data + 6, pixel_data + 999):
        yield f"cut_{end}.dcm", good[:end]
    for name, old, new in (
        ("vr_name", b"\x10\0\x10\0PN", b"\x10\0\x10\0ZZ"),
        ("vr_sequence", b"\x10\0\x10\0PN", b"\x10\0\x10\0SQ"),
        ("vr_rows", b"\x28\0\x10\0US", b"\x28\0\x10\0PN"),
        ("vr_uid", b"\x08\0\x18\0UI", b"\x08\0\x18\0US"),
        ("length_name", b"\x10\0\x10\0PN\x10\0", b"\x10\0\x10\0PN\xff\xff"),
        ("slope_nan", b"0.123456", b"NaN     "),
    ):
        source = patient(RescaleSlope="0.123456", RescaleIntercept=0) if name == "slope_nan" else good
        assert source.count(old), name
        yield f"{name}.dcm", source.replace(old, new)
    lossless = patient(syntax=uid.JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"})
    burnt = bytearray(lossless)
    burnt[-3000:-2000] = (f"{MARK}00000006" * 100).encode()
    yield "burnt.dcm", bytes(burnt)
    yield "rows.dcm", patient(Rows=192)
    yield "frames.dcm", patient(NumberOfFrames=3)
    yield "no_pixels.dcm", patient(PixelData=b"")
    yield "palette.dcm", patient(PhotometricInterpretation="PALETTE COLOR")
    yield "color.dcm", patient(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    yield "flat.dcm", patient(np.full((96, 80), 7, np.uint16))
    yield "syntax.dcm", patient(syntax=uid.UID("1.2.840.10008.1.2.4.102"), frame=b"QZ00000007")
    yield "report.dcm", patient(SOPClassUID=uid.BasicTextSRStorage, Modality="SR")
    yield "pdf.dcm", patient(SOPClassUID=uid.EncapsulatedPDFStorage, EncapsulatedDocument=b"QZ00420011")
    yield "hand.dcm", patient(BodyPartExamined="HAND")
    item = Dataset()
    item.LUTDescriptor, item["LUTDescriptor"].VR = [9, 0, 12], "US"
    item.LUTData, item["LUTData"].VR = b"QZ0028", "OW"
    item.LUTExplanation = mark_for("LUTExplanation")
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        yield f"{keyword}.dcm", patient(**{keyword: [item]})
    for keyword in ("SOPInstanceUID", "StudyInstanceUID"):
        yield f"{keyword}.dcm", patient(**{keyword: mark_for(keyword)})


def good_dicom_files() -> Iterator[tuple[str, bytes]]:
    eight = (phantom() >> 4).astype(np.uint8)
    inverse: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1", "BurnedInAnnotation": "YES"}
    makers: dict[str, Callable[[], bytes]] = {
        "plain": patient,
        "cr": lambda: patient(SOPClassUID=uid.ComputedRadiographyImageStorage, Modality="CR", ImagerPixelSpacing=None),
        "inverse": lambda: patient(4095 - phantom(), **inverse),
        "implicit": lambda: patient(syntax=uid.ImplicitVRLittleEndian),
        "big_endian": lambda: patient(syntax=uid.ExplicitVRBigEndian),
        "deflated": lambda: patient(syntax=uid.DeflatedExplicitVRLittleEndian),
        "rle": lambda: patient(syntax=uid.RLELossless, compress={"encoding_plugin": "pydicom"}),
        "jpeg": lambda: patient(eight, syntax=uid.JPEGBaseline8Bit, frame=named_jpeg(eight)),
        "latin": lambda: patient(SpecificCharacterSet="ISO_IR 100"),
        "japanese": lambda: patient(
            SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=f"{MARK}00100010^T=山田^太郎"
        ),
    }
    for name, make in makers.items():
        yield f"{name}.dcm", make()
    yield "no_preamble", patient()[132:]


def odd_files() -> Iterator[tuple[str, bytes]]:
    """A mark where the standard wants a code or a number."""
    for keyword in ODD_CODES:
        yield f"{keyword}.dcm", patient(**{keyword: mark_for(keyword)})
        yield f"{keyword}_mixed.dcm", patient(**{keyword: f"{mark_for(keyword).lower()} Mary-Jane"})
        yield f"{keyword}_long.dcm", patient(**{keyword: f"{mark_for(keyword)} (of Mñz, 1861-02-03)"})
    for keyword in ODD_NUMBERS:
        yield f"{keyword}.dcm", odd_number(keyword)


def write_patient_files(root: Path) -> dict[str, int]:
    """Fill `root` with `good`, `bad`, `odd` and `plain` files; how many each holds."""
    groups = {
        "good": dict(good_dicom_files()),
        "bad": dict(bad_dicom_files()),
        "odd": dict(odd_files()),
        "plain": plain_files(),
    }
    for group, files in groups.items():
        (root / group).mkdir(parents=True)
        for name, data in files.items():
            assert find_patient_text(data), name
            (root / group / name).write_bytes(data)
    return {group: len(files) for group, files in groups.items()}
