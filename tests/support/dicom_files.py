"""One asymmetric image, and the ways of writing it (DICOM, dcm2niix) that the readers are tried on."""

import base64
import gzip
import itertools
import struct
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

ROWS, COLUMNS = 96, 80
SPACING = (0.2, 0.15)


def phantom(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """Twelve bits, from 0 to 4095, unlike its mirror images and its transpose; smooth with a sharp rectangle."""
    row, column = np.mgrid[:rows, :columns]
    picture = 300 + 20 * row + 11 * column + 300 * np.sin(row / 9) * np.cos(column / 5)
    picture[10 : rows // 3, 5 : columns // 4] += 700
    picture[rows - 1, 2], picture[3, columns - 1] = 0, 4095
    return picture.clip(0, 4095).astype(np.uint16)


@contextmanager
def validation_off():
    """pydicom writes what it is told to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_dataset(pixels: np.ndarray | None = None, **tags: Any) -> Dataset:
    """A DX picture without pixel data; a tag given as None is left out."""
    pixels = phantom() if pixels is None else pixels
    stated: dict[str, Any] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.3",
        "PatientName": "Secret^Name",
        "PatientID": "SECRET-ID",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyDate": "20200101",
        "StudyTime": "120000",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PresentationIntentType": "FOR PRESENTATION",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": 12 if pixels.dtype.itemsize == 2 else pixels.dtype.itemsize * 8,
        "HighBit": 11 if pixels.dtype.itemsize == 2 else pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "ImagerPixelSpacing": list(SPACING),
        **tags,
    }
    dataset = Dataset()
    with validation_off():
        for keyword, value in stated.items():
            if value is not None:
                setattr(dataset, keyword, value)
    return dataset


def write_dicom(
    path: Path,
    pixels: np.ndarray | None = None,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    data: bytes | None = None,
    frame: bytes | None = None,
    items: bytes | None = None,
    compress: dict[str, Any] | None = None,
    **tags: Any,
) -> Path:
    """A DICOM file of `pixels`: native, of raw `data`, encapsulated `frame` or `items`, or compressed by pydicom."""
    pixels = phantom() if pixels is None else pixels
    dataset = make_dataset(pixels, **tags)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    order = "<" if syntax.is_little_endian else ">"
    if frame is not None or items is not None:
        dataset.PixelData = encapsulate([frame]) if items is None else items
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes() if data is None else data
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    if compress is not None:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False, **compress)
    with validation_off():
        dataset.save_as(path, enforce_file_format=True)
    return path


def encode_lossless_jpeg(pixels: np.ndarray, precision: int, predictor: int = 1) -> bytes:
    """A lossless JPEG by the book (ITU-T T.81, annex H), with the plainest Huffman table: five bits a category.

    Of `(rows, columns)` or, interleaved, of `(rows, columns, components)`.
    """
    rows, columns = pixels.shape[:2]
    planes = np.moveaxis(pixels.reshape(rows, columns, -1), 2, 0).astype(int).tolist()
    bits = []
    for row in range(rows):
        for column, values in itertools.product(range(columns), planes):
            left = values[row][column - 1] if column else 0
            above = values[row - 1][column] if row else 0
            corner = values[row - 1][column - 1] if row and column else 0
            if not row:
                guess = left if column else 1 << (precision - 1)
            elif not column:
                guess = above
            else:
                guess = {1: left, 2: above, 3: corner, 4: left + above - corner}[predictor]
            difference = (values[row][column] - guess + 32767) % 65536 - 32767  # 32768 has size 16 and no further bits
            size = abs(difference).bit_length()
            extra = difference if difference >= 0 else difference + (1 << size) - 1
            bits.append(f"{size:05b}" + (f"{extra:0{size}b}" if 0 < size < 16 else ""))
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    scan = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    count = len(planes)
    huffman = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    return b"".join(
        [
            b"\xff\xd8",
            b"\xff\xc3" + struct.pack(">HBHHB", 8 + 3 * count, precision, rows, columns, count),
            b"".join(bytes([component, 0x11, 0]) for component in range(1, count + 1)),
            b"\xff\xc4" + struct.pack(">H", 2 + len(huffman)) + huffman,
            b"\xff\xda" + struct.pack(">HB", 6 + 2 * count, count),
            b"".join(bytes([component, 0]) for component in range(1, count + 1)) + bytes([predictor, 0, 0]),
            scan,
            b"\xff\xd9",
        ]
    )


def write_uncoded(
    path: Path, pixels: np.ndarray, descrip: str = "", flipped: bool = True, spacing: tuple[float, float] = SPACING
) -> Path:
    """The header that dcm2niix 1.0.20260724 writes of a CR, byte for byte but for `descrip`, and the rows after it.

    `flipped=False` is its `-y n`.
    """
    rows, columns = pixels.shape
    slope = 1 if flipped else -1
    offset = float(1 - rows) if flipped else 0.0
    header = struct.pack("<i28xihcx", 348, 0, 1, b"r")
    header += struct.pack("<8h3f4h", 3, columns, rows, 1, 1, 1, 1, 1, 0, 0, 0, 0, 4, 16, 0)
    header += struct.pack(
        "<8f3fhbb4f2i", 1, spacing[1], spacing[0], 1, 0, 0, 0, 0, 352, 1, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0
    )
    header += descrip.encode().ljust(80, b"\0") + bytes(24) + struct.pack("<2h6f", 0, 0, 0, 0, 0, 0, offset, 0)
    header += struct.pack("<12f", 1, 0, 0, 0, 0, slope, 0, offset, 0, 0, 1, 0) + bytes(16) + b"n+1\0" + bytes(4)
    assert len(header) == 352
    data = header + (pixels[::-1] if flipped else pixels).astype("<i2").tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


HTJ2K_FRAME = base64.b64decode(
    "/0//UQApQAAAAAAUAAAAGAAAAAAAAAAAAAAAFAAAABgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAZUAAf+TwAAmpfsFB3QAwAATQAATQAATAAH+Agd0AJj+Agd0ADf9Aod0AMAA"
    "E0AAE8AAEgDt+AALdADUDv4AYjQA/gBjAMAAFXAABXwAAVIC9ivhl/kBzEOVAByhCWgu0FH9DEXmyH2XAMLl14kEzAKVAMAAF0UAAFuwAAWwAtDB"
    "iKIAFIMNInxIgQMQ20DEpNEKAdwAU4QugHIN9HS7AAK4/O0qAFJqz9mRlZqgagBAAzBE+hdBcA9I7Z0ABQ8HACAAEADs/gCh/oTMcAdXaViHu3sA"
    "wAAvTIAAXdwAAulAnAIsY8q/G6AAnHmAbOn6vyQhGCkCoStLkgWSpAgSSNokSxbJQbgNbBHp3vw4DP0AeeMANR53WILzvWdol46yJ28P5QUc/LlH"
    "2oAdAQBhAHgAAajCnwL/RcJ/AYgTIDCAGkBBeSiADbjA+kAQCEAFukRAFIga5UNHjV0S8QqDRl5AOUeylh0BBwAAQGEUcAA4ANIASAf64kX6JBHH"
    "p0aq9tUZjtKsmSe2nCIWAf/Z"
)
"""`phantom(24, 20)` as lossless HTJ2K, by OpenJPH 0.26.3."""

JPEG12_FRAME = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQIBAQEBAQIBAQECAgICAgICAgIDAwQDAwMDAwICAwQDAwQEBAQEAgMFBQQE"
    "BQQEBAT/wQALDAAYABQBAREA/8QAGgAAAQUBAAAAAAAAAAAAAAAADAMFBwkLDv/EACkQAAAFAwQBAwUBAAAAAAAAAAEDBQYHAgQIAAkKEQsMEiET"
    "FDFSYUH/2gAIAQEAAD8A48cdfEYT8ZmKDkIjUuwqs7P7gKwSgKEPbT3+uqVJSb1/ic8qm/blGJ1Njd/RCimkSuvbV1118aKPvDF8tj0kttD8V/MT"
    "HLz2nhHfUaXkpuYDIG+VJs77cG+j4hv1S5xnvCI8bPFPbZUoCxkb0P4nTdtS7iHj7uQXNUrZLNmamvmJIDlyxa+ZkZsJ1sKdobYyfjGzFqJ3TKs0"
    "L7z+w41GfjYuXiczbYswtvmVUiXYBSIdFD/NDyu//t9OZkZAOS1S0O5KoLWzaaQKtxAA6MHr/NPuB2Er1vMeG+eYj3Y1CqXAd1W9Qj8FW+jArO9c"
    "xBzcj/LiEceJ5gKdZWwllqyxYzSjKIJXb0lyDiDJqxF0dzSlR1KKMnXR921XPex7L8Svy3QF0u0UDmzKLRWC7epOW0y7usYzef45Tgmubl1TTmMf"
    "dUXCwYZTUWnDWA9mCP561NeEnF1dqPAiDZGR7dU1UqR9fQpdQD8l24fr/Nf/2Q=="
)
"""`phantom(24, 20)` as a 12-bit JPEG of quality 98, by libjpeg-turbo 3.1.3, which decodes it within 2."""
