"""PNG, JPEG, TIFF, NIfTI, MHA and NRRD files that lie, and files that are no images (see `malformed_folder`)."""

import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from medseg.radiograph import build_nifti
from tests.support.dicom_bytes import EIGHT, jpeg, zeros
from tests.support.dicom_files import phantom

Case = tuple[str, bytes, str]

_SIZE = 1 << 28
ZEROS = b"\x78\xda" + zeros(256) + struct.pack(">HH", _SIZE % 65521, 1)
"""256 MiB as a zlib stream with its checksum (RFC 1950)."""


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    image.save(file := BytesIO(), kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


GRAY = Image.fromarray(EIGHT)
PNG = _saved(Image.fromarray(phantom()), "PNG")
RGB = Image.merge("RGB", (GRAY, GRAY.transpose(Image.Transpose.FLIP_TOP_BOTTOM), GRAY))
NIFTI = build_nifti(phantom(), (0.2, 0.15)).to_bytes()


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    columns: int, rows: int, depth: int = 8, color: int = 0, data: bytes = ZEROS, interlaced: bool = False
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, depth, color, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _passes() -> bytes:
    """The phantom in the seven passes of an interlaced PNG (ISO 15948, 8.2), each row behind its filter type."""
    steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    passes = (phantom().astype(">u2")[row::down, column::right] for row, column, down, right in steps)
    return zlib.compress(b"".join(b"\0" + line.tobytes() for lines in passes for line in lines))


def pngs() -> Iterator[Case]:
    """PNG files: variants that are gray, that are not, and bombs."""
    yield "good.png", PNG, "done"
    yield "no-extension", PNG, "done"
    yield "grey8.png", _saved(GRAY, "PNG"), "close"
    yield "named.dcm", PNG, "done"
    yield "interlaced.png", png(80, 96, 16, data=_passes(), interlaced=True), "done"
    yield "interlaced-cut.png", png(80, 96, 16, data=_passes()[:5000], interlaced=True), "rejected"
    for mode in ("RGB", "RGBA", "LA", "P"):
        yield f"gray-{mode}.png", _saved(GRAY.convert(mode), "PNG"), "close"
    for image in (RGB, RGB.convert("P"), RGB.convert("RGBA")):
        yield f"color-{image.mode}.png", _saved(image, "PNG"), "skipped"
    yield "bilevel.png", _saved(GRAY.point(lambda value: value > 128, mode="1"), "PNG"), "other"
    yield "two-frames.png", _saved(GRAY, "PNG", save_all=True, append_images=[RGB.convert("L")]), "skipped"
    for cut in (1, 8, 16, 25, 33, 37, 41, 100, len(PNG) // 2):
        yield f"cut-{cut}.png", PNG[:cut], "rejected"
    for cut in (1, 4, 8, 12, 13, 16, 20):
        yield f"cut-end-{cut}.png", PNG[:-cut], "done|rejected"
    for at in (17, 24, 28, 32, 60, len(PNG) // 2):
        yield f"flip-{at}.png", PNG[:at] + bytes([PNG[at] ^ 0x10]) + PNG[at + 1 :], "rejected"
    for columns, rows in ((65500, 65500), (0x7FFFFFFF, 0x7FFFFFFF), (0xFFFFFFFF, 1), (0, 0), (80, 0), (0, 96)):
        yield f"size-{columns}-{rows}.png", png(columns, rows), "rejected"
    yield "inflates.png", png(80, 96), "rejected"  # nothing but zeros, and more than fit
    yield "short.png", png(80, 96, data=zlib.compress(bytes(100))), "rejected"
    for depth, color in ((3, 0), (16, 3), (255, 255), (8, 7)):
        yield f"kind-{depth}-{color}.png", png(80, 96, depth, color), "rejected"
    for name, data in {
        "zTXt": b"a\0\0" + ZEROS,
        "iTXt": b"a\0\1\0\0\0" + ZEROS,
        "iCCP": b"a\0\0" + ZEROS,
        "eXIf": b"MM\0*" + b"\xff" * 100,
        "acTL": struct.pack(">II", 0x7FFFFFFF, 0),
        "PLTE": b"12",
        "gAMA": b"",
    }.items():
        yield f"{name}.png", PNG[:33] + chunk(name.encode(), data) + PNG[33:], "done|rejected|skipped"
    many = b"".join(chunk(b"tEXt", b"a\0" + bytes(60000)) for _ in range(200))
    yield "texts.png", PNG[:33] + many + PNG[33:], "done|rejected"
    yield "length.png", PNG[:33] + struct.pack(">I", 0x7FFFFFFF) + PNG[37:], "done|rejected"


def jpegs() -> Iterator[Case]:
    """JPEG files."""
    good = jpeg()
    yield "good.jpg", good, "close"
    yield "progressive.jpeg", jpeg(progressive=True), "close"
    yield "gray-RGB.jpg", jpeg(mode="RGB"), "close"
    yield "color.jpg", _saved(RGB, "JPEG"), "skipped"
    yield "cmyk.jpg", jpeg(mode="CMYK"), "close"
    yield "turned.jpg", jpeg(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"), "other"
    yield "exif.jpg", jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 50), "close|rejected"
    for part in range(20):
        yield f"cut-{part}.jpg", good[: len(good) * part // 20], "rejected"
    yield "cut-end.jpg", good[:-2], "close|rejected"
    size = struct.pack(">HH", 96, 80)
    for rows, columns in ((0, 80), (65500, 65500), (10000, 9999), (1, 1)):
        lie = good.replace(size, struct.pack(">HH", rows, columns), 1)
        yield f"size-{rows}-{columns}.jpg", lie, "other|rejected"
    yield "segments.jpg", good[:2] + b"\xff\xfe\xff\xff" * 1000 + good[2:], "rejected"


def tiffs() -> Iterator[Case]:
    """TIFF files."""
    good = _saved(Image.fromarray(phantom()), "TIFF")
    yield "good.tif", good, "done"
    yield "deflated.tiff", _saved(GRAY, "TIFF", compression="tiff_deflate"), "close"
    yield "two.tif", _saved(GRAY, "TIFF", save_all=True, append_images=[GRAY]), "skipped"
    for part in range(10):
        yield f"cut-{part}.tif", good[: len(good) * part // 10], "rejected"
    strip = {273: (200, 4), 279: (len(ZEROS), 4), 258: (8, 3), 262: (1, 3), 277: (1, 3)}
    for name, tags in {
        "giant": {256: (65535, 4), 257: (65535, 4), 259: (8, 3)},
        "inflates": {256: (80, 4), 257: (96, 4), 259: (8, 3)},
        "raw": {256: (80, 4), 257: (96, 4), 259: (1, 3), 279: (0xFFFFFFFF, 4)},
        "far": {256: (80, 4), 257: (96, 4), 259: (1, 3), 273: (0xFFFFFFF0, 4)},
        "lzw": {256: (80, 4), 257: (96, 4), 259: (5, 3)},
        "unknown": {256: (80, 4), 257: (96, 4), 259: (65000, 3)},
    }.items():
        yield f"{name}.tif", _tiff({**strip, **tags}, 0), "other|rejected"
    yield "loop.tif", _tiff({**strip, 256: (80, 4), 257: (96, 4), 259: (8, 3)}, 8), "rejected|skipped"
    yield "many-tags.tif", b"II*\0\x08\0\0\0\xff\xff" + bytes(100), "rejected"


def _tiff(tags: dict[int, tuple[int, int]], following: int) -> bytes:
    """One directory of tags `number: (value, type)`, the place of the following one, and a stream of zeros at 200."""
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (value, kind) in sorted(tags.items()))
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return head.ljust(200, b"\0") + ZEROS


def gifs() -> Iterator[Case]:
    """GIF files."""
    good = _saved(GRAY, "GIF")
    yield "good.gif", good, "close"
    yield "moving.gif", _saved(GRAY, "GIF", save_all=True, append_images=[RGB.convert("L")] * 3), "skipped"
    yield "color.gif", _saved(RGB, "GIF"), "skipped"
    for part in range(10):
        yield f"cut-{part}.gif", good[: len(good) * part // 10], "rejected"
    for columns, rows in ((65535, 65535), (0, 0), (10000, 9999)):
        yield (
            f"size-{columns}-{rows}.gif",
            good[:6] + struct.pack("<HH", columns, rows) + good[10:],
            "close|other|rejected",
        )
    at = good.index(b",\0\0\0\0") + 5
    yield "frame.gif", good[:at] + b"\xff" * 4 + good[at + 4 :], "rejected"
    yield "bits.gif", good[: at + 5] + b"\xff" + good[at + 6 :], "other|rejected"


def bmps() -> Iterator[Case]:
    """BMP files."""
    good = _saved(GRAY, "BMP")
    yield "good.bmp", good, "close"
    yield "gray-RGB.bmp", _saved(GRAY.convert("RGB"), "BMP"), "close"
    yield "color.bmp", _saved(RGB, "BMP"), "skipped"
    for part in range(10):
        yield f"cut-{part}.bmp", good[: len(good) * part // 10], "rejected"
    for name, (at, form, lies) in {
        "offset": (10, "I", (0, 0xFFFFFFFF)),
        "header": (14, "I", (12, 64, 124, 0xFFFFFFFF)),
        "columns": (18, "i", (0, -80, 0x7FFFFFFF)),
        "rows": (22, "i", (0, -96, -(1 << 31), 0x7FFFFFFF)),
        "bits": (28, "H", (0, 1, 2, 4, 32, 64)),
        "compression": (30, "I", (1, 2, 3, 4, 5, 0xFFFFFFFF)),
        "colors": (46, "I", (1, 2, 257, 0xFFFFFFFF)),
    }.items():
        for lie in lies:
            data = good[:at] + struct.pack(f"<{form}", lie) + good[at + struct.calcsize(form) :]
            yield f"{name}-{lie}.bmp", data, "close|other|rejected|skipped"


def niftis() -> Iterator[Case]:
    """NIfTI files, with each field of the header that the reader looks at turned into a lie."""
    yield "good.nii", NIFTI, "done"
    yield "good.nii.gz", gzip.compress(NIFTI), "done"
    yield "no-extension", NIFTI, "done"
    yield "three.nii", build_nifti(np.stack([phantom()] * 3, axis=-1), None).to_bytes(), "skipped|rejected"
    fields = {
        "sizeof": (0, "i", (0, -1, 540, 0x5C010000)),
        "dim0": (40, "h", (0, 1, 3, 7, 8, -1, 32767)),
        "dim1": (42, "h", (0, -1, 1, 32767)),
        "dim2": (44, "h", (0, -1, 32767)),
        "datatype": (70, "h", (0, 1, 32, 128, 256, 1536, 1792, 9999)),
        "bitpix": (72, "h", (0, 1, 8, 64)),
        "pixdim0": (76, "f", (0.0, float("nan"))),
        "pixdim1": (80, "f", (0.0, -1.0, float("nan"), float("inf"))),
        "offset": (108, "f", (0.0, -352.0, 1e30, float("nan"), 353.5, 1e6)),
        "slope": (112, "f", (0.0, float("nan"), float("inf"), -1.0, 1e38)),
        "intercept": (116, "f", (float("nan"), float("inf"))),
        "units": (123, "b", (0, 1, 3, 99)),
        "qform": (252, "h", (-1, 99)),
        "quaternion": (256, "f", (float("nan"), 2.0)),
        "sform": (280, "f", (float("nan"), float("inf"), 0.0)),
        "magic": (344, "i", (0, 0x0031696E)),
    }
    for name, (at, form, lies) in fields.items():
        for lie in lies:
            data = NIFTI[:at] + struct.pack(f"<{form}", lie) + NIFTI[at + struct.calcsize(form) :]
            yield f"{name}-{lie}.nii", data, "done|other|rejected|skipped"
            yield f"{name}-{lie}.nii.gz", gzip.compress(data), "done|other|rejected|skipped"
    huge = NIFTI[:40] + struct.pack("<8h", 3, 32767, 32767, 32767, 1, 1, 1, 1) + NIFTI[56:]
    flat = NIFTI[:40] + struct.pack("<8h", 3, 10000, 10000, 1, 1, 1, 1, 1) + NIFTI[56:]
    for name, data in {"huge": huge, "flat": flat}.items():
        yield f"{name}.nii", data, "rejected|skipped"
        yield f"{name}.nii.gz", gzip.compress(data), "rejected|skipped"
    yield "bomb.nii.gz", _gzip(flat), "other|rejected"
    yield "bomb-behind.nii.gz", _gzip(NIFTI), "done|rejected"
    yield "only-zeros.nii.gz", _gzip(b""), "rejected"
    values = phantom().astype(np.float32)
    values[5, 5] = np.nan
    yield "nan.nii", build_nifti(values, None).to_bytes(), "rejected"
    zipped = gzip.compress(NIFTI)
    for part in range(10):
        yield f"cut-{part}.nii", NIFTI[: len(NIFTI) * part // 10], "rejected"
        yield f"cut-{part}.nii.gz", zipped[: len(zipped) * part // 10], "rejected"
    yield "cut-checksum.nii.gz", zipped[:-4], "rejected"
    yield "bad-checksum.nii.gz", zipped[:-8] + bytes(8), "rejected"
    yield "extension.nii", NIFTI[:348] + b"\1\0\0\0\xf0\xff\xff\x7f\0\0\0\0" + NIFTI[360:], "rejected|other"
    yield "nested.nii.gz", gzip.compress(gzip.compress(NIFTI)), "rejected"


def _gzip(data: bytes) -> bytes:
    """A gzip file (RFC 1952) of `data` and 256 MiB of zeros."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(data + bytes(_SIZE))
    return head + zeros(256) + struct.pack("<II", checksum, _SIZE + len(data))


def itks() -> Iterator[Case]:
    """MHA and NRRD files."""
    data = phantom().astype("<u2").tobytes()
    for name, fields in {
        "good": {},
        "other-file": {"ElementDataFile": "/etc/passwd"},
        "list": {"ElementDataFile": "LIST"},
        "size": {"DimSize": "99999 99999"},
        "large": {"DimSize": "10000 10000"},
        "negative": {"DimSize": "-80 96"},
        "dims": {"NDims": "99"},
        "type": {"ElementType": "MET_NONSENSE"},
        "spacing": {"ElementSpacing": "0 nan"},
        "direction": {"TransformMatrix": "nan 0 0 nan"},
        "zipped": {"CompressedData": "True"},
        "channels": {"ElementNumberOfChannels": "1000000"},
        "skip": {"HeaderSize": "-1"},
    }.items():
        head = {"ObjectType": "Image", "NDims": "2", "DimSize": "80 96", "ElementType": "MET_USHORT", **fields}
        local = {"ElementDataFile": "LOCAL"} | {key: head.pop(key) for key in ("ElementDataFile",) if key in head}
        text = "".join(f"{key} = {value}\n" for key, value in (head | local).items()).encode()
        yield f"{name}.mha", text + data, "done" if name == "good" else "done|other|rejected"
        yield f"{name}-zeros.mha", text + ZEROS, "other|rejected"
    for name, fields in {
        "good": {},
        "other-file": {"data file": "/etc/passwd"},
        "sizes": {"sizes": "99999 99999"},
        "large": {"sizes": "10000 10000"},
        "skip": {"byte skip": "-1"},
        "gzip": {"encoding": "gzip"},
        "ascii": {"encoding": "ascii"},
        "type": {"type": "block"},
        "spacings": {"spacings": "nan 0"},
        "dimension": {"dimension": "16"},
    }.items():
        head = {"type": "ushort", "dimension": "2", "sizes": "80 96", "encoding": "raw", "endian": "little", **fields}
        text = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in head.items()) + "\n"
        yield f"{name}.nrrd", text.encode() + data, "done" if name == "good" else "done|other|rejected"
        yield f"{name}-zeros.nrrd", text.encode() + _gzip(b""), "other|rejected"


def npy(values: np.ndarray, **lies: object) -> bytes:
    """A `.npy`, with some fields of its header turned into lies."""
    header = {"descr": values.dtype.str, "fortran_order": False, "shape": values.shape, **lies}
    text = repr(header).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + values.tobytes()


def npz(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    with zipfile.ZipFile(file := BytesIO(), "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def npz_bomb() -> bytes:
    """An `.npz` of 256 MiB of zeros, which claims to be one image of them."""
    flat = npy(np.zeros(0, np.uint8), shape=(1 << 14, 1 << 14))
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(flat) + packer.flush(zlib.Z_FULL_FLUSH) + zeros(256)
    size, checksum = len(flat) + _SIZE, zlib.crc32(flat + bytes(_SIZE))
    fields = struct.pack("<HHHHHIIIH", 20, 0, 8, 0, 0, checksum, len(data), size, 9)
    local = b"PK\3\4" + fields + struct.pack("<H", 0) + b"image.npy" + data
    entry = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHHII", 0, 0, 0, 0, 0, 0) + b"image.npy"
    return local + entry + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)


def numpys() -> Iterator[Case]:
    """NumPy files: headers that lie, pickles, and archives that inflate."""
    good = npy(phantom())
    yield "good.npy", good, "done"
    yield "no-extension", good, "done"
    yield "good.npz", npz(image=good, mask=npy(phantom() > 9)), "done"
    yield "stored.npz", npz(zipfile.ZIP_STORED, arr_0=good), "done"
    yield "bzip2.npz", npz(zipfile.ZIP_BZIP2, image=good), "rejected"
    yield "several.npz", npz(a=good, b=good), "rejected"
    yield "none.npz", npz(), "rejected"
    yield "bomb.npz", npz_bomb(), "rejected"
    for name, lies in {
        "huge": {"shape": (1 << 40, 1 << 40)},
        "many": {"shape": (10_000, 10_000)},
        "negative": {"shape": (-96, -80)},
        "empty": {"shape": (0, 80)},
        "flat": {"shape": (7680,)},
        "deep": {"shape": (1,) * 33},
        "text": {"shape": "96"},
        "fraction": {"shape": (96.0, 80)},
        "pickle": {"descr": "|O"},
        "names": {"descr": [("patient", "<u2")]},
        "words": {"descr": "<U9"},
        "complex": {"descr": "<c16"},
        "wide": {"descr": "<f8"},
        "nonsense": {"descr": "nonsense"},
        "call": {"shape": "__import__('os').abort()"},
        "more": {"more": 1},
    }.items():
        yield f"{name}.npy", npy(phantom(), **lies), "rejected|skipped"
        yield f"{name}.npz", npz(image=npy(phantom(), **lies)), "rejected|skipped"
    for length in (0, 10, 0xFFFF):
        yield f"header-{length}.npy", good[:8] + struct.pack("<H", length) + good[10:], "rejected"
        long = b"\x93NUMPY\2\0" + struct.pack("<I", length << 16 | length) + good[10:]
        yield f"long-header-{length}.npy", long, "rejected"
    for version in (0, 3, 255):
        yield f"version-{version}.npy", good[:6] + bytes([version]) + good[7:], "rejected"
    zipped = npz(image=good)
    for part in range(10):
        yield f"cut-{part}.npy", good[: len(good) * part // 10], "rejected"
        yield f"cut-{part}.npz", zipped[: len(zipped) * part // 10], "rejected"
    yield "nan.npy", npy(np.full((96, 80), np.nan, np.float32)), "rejected"


def _zip() -> bytes:
    with zipfile.ZipFile(file := BytesIO(), "w") as archive:
        archive.writestr("a.dcm", "picture")
    return file.getvalue()


def no_images() -> Iterator[Case]:
    """Files that are no images: rejected where the name promises one, skipped where it does not."""
    contents = {
        "empty": b"",
        "blank": b" ",
        "text": b"Dear colleague, the pictures are on the disk.\n" * 50,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20,
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" * 20,
        "zip": _zip(),
        "exe": b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0" + bytes(2000),
        "elf": b"\x7fELF\2\1\1" + bytes(2000),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "bytes": bytes(range(256)) * 20,
        "dicm": b"DICM" * 20,
        "gzip": gzip.compress(b"a log\n" * 1000),
        "group8": b"\x08\0\x05\0CS\x02\0" + b"XX" * 400,
        "meta": b"\x02\0\0\0UL\x04\0" + b"\xff" * 400,
        "json": b'{"00080018": {"vr": "UI"}}',
        "bom": "\ufeffsome text".encode("utf-16") * 100,
    }
    for name, data in contents.items():
        for ending in (
            ".dcm",
            ".DCM",
            ".ima",
            ".png",
            ".jpg",
            ".tif",
            ".gif",
            ".bmp",
            ".nii",
            ".nii.gz",
            ".mha",
            ".nrrd",
            ".npy",
            ".npz",
        ):
            yield f"{name}{ending}", data, "rejected"
        for ending in ("", ".txt", ".db", ".zip", ".gz"):
            if (name, ending) != ("zip", ".zip"):  # an archive, whose file has a row of its own
                yield f"{name}{ending}", data, "skipped"
    for name in ("Thumbs.db", "README.txt", ".DS_Store", "VERSION", "desktop.ini", "LOCKFILE", "autorun.inf"):
        yield name, b"\0\5some words of a system\n" * 30, "skipped"


FAMILIES = (pngs, jpegs, tiffs, gifs, bmps, niftis, itks, numpys, no_images)
