"""One image in many formats: files that differ in all but what they show."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame

from medseg.radiograph.nifti import build_nifti
from tests.support.dicom_files import (
    HTJ2K_FRAME,
    JPEG12_FRAME,
    SPACING,
    encode_lossless_jpeg,
    phantom,
    validation_off,
    write_dicom,
    write_uncoded,
)


@dataclass(frozen=True)
class Format:
    """A way of writing an image, and what the file says beside it."""

    write: Callable[[Path], object]
    spacing_mm: tuple[float, float] | None = SPACING
    source: str = "detector"
    kind: str = "dicom"
    lossy: bool = False


def dicom(pixels: np.ndarray | None = None, lossy: bool = False, **options: Any) -> Format:
    return Format(lambda path: write_dicom(path, pixels, **options), lossy=lossy)


def spaced(spacing_mm: tuple[float, float] | None, source: str, **tags: Any) -> Format:
    tags = {"ImagerPixelSpacing": None, **tags}
    return Format(lambda path: write_dicom(path, **tags), spacing_mm, source)


def plain(kind: str, write: Callable[[Path], object], spacing_mm: tuple[float, float] | None = None) -> Format:
    return Format(write, spacing_mm, "file" if spacing_mm else "none", kind)


def lookup(entries: np.ndarray, bits: int = 12) -> list[Dataset]:
    item = Dataset()
    item.LUTDescriptor = [len(entries), 0, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    item.ModalityLUTType = "US"
    return [item]


def in_fragments(path: Path) -> None:
    write_dicom(path, syntax=uid.JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"})
    dataset = pydicom.dcmread(path)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([frame], fragments_per_frame=5)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)


def without_preamble(path: Path) -> None:
    path.write_bytes(write_dicom(path).read_bytes()[132:])


def without_meta(path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(path))
    dataset.file_meta, dataset.preamble = FileMetaDataset(), None
    with validation_off():
        dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)


def with_overlay(path: Path) -> None:
    """An overlay plane of its own and one in bit 15 (retired), as old archives have them."""
    write_dicom(path, phantom() | ((phantom() > 2000).astype(np.uint16) << 15))
    dataset = pydicom.dcmread(path)
    for group, position in ((0x6000, 15), (0x6002, 0)):
        for element, vr, value in (
            (0x0010, "US", 96),
            (0x0011, "US", 80),
            (0x0040, "CS", "G"),
            (0x0050, "SS", [1, 1]),
            (0x0100, "US", 16 if position else 1),
            (0x0102, "US", position),
        ):
            dataset.add_new((group, element), vr, value)
    dataset.add_new((0x6002, 0x3000), "OW", bytes(96 * 80 // 8))
    dataset.save_as(path)


def itk(path: Path) -> None:
    image = sitk.GetImageFromArray(phantom())
    image.SetSpacing(SPACING[::-1])
    sitk.WriteImage(image, str(path))


def turned_nifti(path: Path) -> None:
    """Axes as (row, column), rows upwards: only the affine says so."""
    affine = np.array([[0, -SPACING[1], 0, 0], [SPACING[0], 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    image = nibabel.Nifti1Image(phantom()[::-1].astype(np.float32)[:, :, None], affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def encode_jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=97)
    return buffer.getvalue()


def write_deep_png(path: Path, pixels: np.ndarray) -> None:
    """Sixteen bits of gray with alpha, the rows as they are (ISO 15948)."""
    lines = b"".join(b"\0" + line.tobytes() for line in pixels.astype(">u2"))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 4, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        whole += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    path.write_bytes(whole)


def turned_png(path: Path) -> None:
    """Stored lying on its side, with the EXIF orientation of a camera held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(BYTES).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def embedded(path: Path) -> None:
    Image.fromarray(BYTES).save(file := io.BytesIO(), "PNG")
    image = base64.b64encode(file.getvalue()).decode()
    path.write_text(json.dumps({"version": "5", "shapes": [], "imagePath": "a.png", "imageData": image}))


def in_black_ink(path: Path) -> None:
    inks = [np.zeros_like(BYTES)] * 3 + [255 - BYTES]
    Image.merge("CMYK", [Image.fromarray(ink) for ink in inks]).save(path)


def in_color(pixels: np.ndarray, **options: Any) -> Format:
    data = pixels.astype(np.uint8)
    return dicom(data[:, :, 0], data=data.tobytes(), SamplesPerPixel=3, PlanarConfiguration=0, **options)


def palette(entries: np.ndarray) -> dict[str, Any]:
    """A palette of grays."""
    name = "PaletteColorLookupTable"
    colors = ("Red", "Green", "Blue")
    data = {f"{color}{name}Data": entries.astype(np.uint8).tobytes() for color in colors}
    return data | {f"{color}{name}Descriptor": [len(entries), 0, 8] for color in colors}


def framed(outside: int, turn: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
    """The picture in a frame, six pixels wide, of a value that it has nowhere else."""
    picture = np.full((96, 80), outside, np.uint16)
    picture[6:-6, 6:-6] = phantom()[6:-6, 6:-6]
    return turn(picture)


P = phantom()
SIGNED = P.astype(np.int16) - 2048
NEGATIVE = 4095 - P
BYTES = (P >> 4).astype(np.uint8)
GRAY = np.stack([BYTES] * 4, axis=2)
SMALL = phantom(24, 20)
TURNED = 4095 - np.arange(4096)
JAPANESE = ["", "ISO 2022 IR 87"]

TWELVE = {
    "explicit.dcm": dicom(),
    "implicit.dcm": dicom(syntax=uid.ImplicitVRLittleEndian),
    "big_endian.dcm": dicom(syntax=uid.ExplicitVRBigEndian),
    "deflated.dcm": dicom(syntax=uid.DeflatedExplicitVRLittleEndian),
    "rle.dcm": dicom(syntax=uid.RLELossless, compress={"encoding_plugin": "pydicom"}),
    "jpeg_sv1.dcm": dicom(syntax=uid.JPEGLosslessSV1, frame=encode_lossless_jpeg(P, 12)),
    "jpeg_14.dcm": dicom(syntax=uid.JPEGLossless, frame=encode_lossless_jpeg(P, 16, 4)),
    "jpeg_ls.dcm": dicom(syntax=uid.JPEGLSLossless, compress={"encoding_plugin": "pyjpegls"}),
    "jpeg_2000.dcm": dicom(syntax=uid.JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"}),
    "fragments.dcm": Format(in_fragments),
    "monochrome1.dcm": dicom(NEGATIVE, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
    "monochrome1_16_bits.dcm": dicom(NEGATIVE, PhotometricInterpretation="MONOCHROME1", BitsStored=16, HighBit=15),
    "monochrome1_jpeg.dcm": dicom(
        NEGATIVE,
        PhotometricInterpretation="MONOCHROME1",
        syntax=uid.JPEGLosslessSV1,
        frame=encode_lossless_jpeg(NEGATIVE, 12),
    ),
    "rescale.dcm": dicom(RescaleSlope=0.25, RescaleIntercept=-1024, RescaleType="US"),
    "rescale_odd.dcm": dicom(RescaleSlope="0.37", RescaleIntercept="-17.3"),
    "rescale_tiny.dcm": dicom(RescaleSlope="1.7E-6", RescaleIntercept="-3.1E-4"),
    "rescale_far.dcm": dicom(RescaleSlope="1.1", RescaleIntercept="-32768.5"),
    "rescale_down.dcm": dicom(NEGATIVE, RescaleSlope=-1, RescaleIntercept=4095),
    "modality_lut.dcm": dicom(NEGATIVE, ModalityLUTSequence=lookup(TURNED)),
    "modality_lut_1.dcm": dicom(ModalityLUTSequence=lookup(TURNED), PhotometricInterpretation="MONOCHROME1"),
    "signed.dcm": dicom(SIGNED),
    "signed_1.dcm": dicom(-1 - SIGNED, PhotometricInterpretation="MONOCHROME1"),
    "signed_not_extended.dcm": dicom(SIGNED.view(np.uint16) & 0x0FFF, PixelRepresentation=1),
    "stored_16.dcm": dicom(BitsStored=16, HighBit=15),
    "allocated_32.dcm": dicom(P.astype(np.uint32)),
    "left_aligned.dcm": dicom(P << 4, HighBit=15),
    "overlay.dcm": Format(with_overlay),
    "padding_unused.dcm": dicom(PixelPaddingValue=17, PixelPaddingRangeLimit=18),
    "no_preamble.dcm": Format(without_preamble),
    "no_meta.dcm": Format(without_meta),
    "without_extension": dicom(),
    "1.2.826.0.1.3680043.8.498.1": dicom(syntax=uid.ImplicitVRLittleEndian),
    "photo.jpg": dicom(),
    "no_spacing.dcm": spaced(None, "none"),
    "pixel_spacing.dcm": spaced((0.3, 0.25), "unspecified", PixelSpacing=[0.3, 0.25]),
    "calibrated.dcm": spaced((0.18, 0.135), "calibrated", PixelSpacing=[0.18, 0.135], ImagerPixelSpacing=[0.2, 0.15]),
    "magnified.dcm": spaced(
        (0.16, 0.12), "magnification", ImagerPixelSpacing=[0.2, 0.15], EstimatedRadiographicMagnificationFactor=1.25
    ),
    "film.dcm": spaced((0.1, 0.1), "film", NominalScannedPixelSpacing=[0.1, 0.1], PixelSpacing=[0, 0]),
    "window.dcm": dicom(WindowCenter=900, WindowWidth=300, VOILUTFunction="SIGMOID"),
    "voi_lut.dcm": dicom(VOILUTSequence=lookup(TURNED)),
    "cr.dcm": dicom(SOPClassUID=uid.ComputedRadiographyImageStorage, Modality="CR", PresentationIntentType=None),
    "secondary_capture.dcm": dicom(SOPClassUID=uid.SecondaryCaptureImageStorage, Modality="CR"),
    "japanese.dcm": dicom(SpecificCharacterSet=JAPANESE, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "latin.dcm": dicom(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg"),
    "png.png": plain("png", lambda path: Image.fromarray(P).save(path)),
    "tiff.tif": plain("tiff", lambda path: Image.fromarray(P).save(path)),
    "alpha.png": plain("png", lambda path: write_deep_png(path, np.stack([P, np.full_like(P, 65535)], axis=2))),
    "nifti.nii": plain("nifti", lambda path: nibabel.save(build_nifti(P, SPACING), path), SPACING),
    "nifti.nii.gz": plain("nifti", lambda path: nibabel.save(build_nifti(P.astype(np.float32), None), path)),
    "nifti_turned.nii.gz": plain("nifti", turned_nifti, SPACING),
    "nifti_dcm2niix.nii": plain("nifti", lambda path: write_uncoded(path, P, "Time=0.000"), SPACING),
    "meta.mha": plain("mha", itk, SPACING),
    "raw.nrrd": plain("nrrd", itk, SPACING),
    "array.npy": plain("numpy", lambda path: np.save(path, P)),
    "arrays.npz": plain("numpy", lambda path: np.savez_compressed(path, image=P[None].astype(">f4"), mask=P > 9)),
    "lossy_jpeg_ls.dcm": dicom(
        lossy=True, syntax=uid.JPEGLSNearLossless, compress={"encoding_plugin": "pyjpegls", "jls_error": 4}
    ),
    "lossy_jpeg_2000.dcm": dicom(
        lossy=True, syntax=uid.JPEG2000, compress={"encoding_plugin": "pylibjpeg", "j2k_psnr": [70]}
    ),
}

EIGHT = {
    "explicit.dcm": dicom(BYTES),
    "sixteen_bits.dcm": dicom(BYTES.astype(np.uint16)),
    "big_endian.dcm": dicom(BYTES, syntax=uid.ExplicitVRBigEndian),
    "rle.dcm": dicom(BYTES, syntax=uid.RLELossless, compress={"encoding_plugin": "pydicom"}),
    "times_sixteen.dcm": dicom(BYTES.astype(np.uint16) << 4),
    "monochrome1.dcm": dicom(255 - BYTES, PhotometricInterpretation="MONOCHROME1"),
    "png.png": plain("png", lambda path: Image.fromarray(BYTES).save(path)),
    "rgb.png": plain("png", lambda path: Image.fromarray(np.stack([BYTES] * 3, axis=-1)).save(path)),
    "turned.png": plain("png", turned_png),
    "palette.gif": plain("gif", lambda path: Image.fromarray(BYTES).save(path)),
    "gray.bmp": plain("bmp", lambda path: Image.fromarray(BYTES).save(path)),
    "cmyk.tif": plain("tiff", in_black_ink),
    "embedded.json": plain("labelme", embedded),
    "rgb.dcm": in_color(GRAY[:, :, :3], PhotometricInterpretation="RGB"),
    "ybr.dcm": in_color(np.where(np.arange(3), 128, GRAY[:, :, :3]), PhotometricInterpretation="YBR_FULL"),
    "rle_rgb.dcm": in_color(
        GRAY[:, :, :3],
        PhotometricInterpretation="RGB",
        syntax=uid.RLELossless,
        compress={"encoding_plugin": "pydicom"},
    ),
    "palette.dcm": dicom(255 - BYTES, PhotometricInterpretation="PALETTE COLOR", **palette(255 - np.arange(256))),
    "lossy_baseline.dcm": dicom(BYTES, lossy=True, syntax=uid.JPEGBaseline8Bit, frame=encode_jpeg(BYTES)),
    "lossy_jpeg.jpg": Format(lambda path: path.write_bytes(encode_jpeg(BYTES)), None, "none", "jpeg", lossy=True),
}

FEW = {
    "explicit.dcm": dicom(SMALL),
    "htj2k.dcm": dicom(SMALL, syntax=uid.HTJ2KLossless, frame=HTJ2K_FRAME),
    "htj2k_rpcl.dcm": dicom(SMALL, syntax=uid.HTJ2KLosslessRPCL, frame=HTJ2K_FRAME),
    "lossy_twelve_bits.dcm": dicom(SMALL, lossy=True, syntax=uid.JPEGExtended12Bit, frame=JPEG12_FRAME),
}

PADDED = {
    "black.dcm": dicom(framed(0), PixelPaddingValue=0),
    "white.dcm": dicom(framed(4095), PixelPaddingValue=4095),
    "range.dcm": dicom(framed(7), PixelPaddingValue=0, PixelPaddingRangeLimit=9),
    "monochrome1.dcm": dicom(4095 - framed(0), PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=4095),
    "signed.dcm": dicom(framed(0).astype(np.int16) - 2048, PixelPaddingValue=-2048),
    "jpeg_ls.dcm": dicom(
        framed(0), PixelPaddingValue=0, syntax=uid.JPEGLSLossless, compress={"encoding_plugin": "pyjpegls"}
    ),
}

IMAGES = {"twelve": TWELVE, "eight": EIGHT, "few": FEW, "padded": PADDED}
"""Four images; the first format of each is the plain one."""
KINDS = "input.kinds=[dicom,nifti,png,jpeg,tiff,gif,bmp,mha,nrrd,numpy,labelme]"


def write_formats(root: Path) -> Path:
    """`root/<image>/<format>`."""
    for image, formats in IMAGES.items():
        (root / image).mkdir(parents=True)
        for name, form in formats.items():
            form.write(root / image / name)
    return root
