"""PNG and TIFF files of any depth and color type, byte by byte: Pillow writes few of their kinds."""

import struct
import zlib

import numpy as np


def write_tiff(path, pixels, bits, sample_format=1, photometric=1, order="<", orientation=None):
    """An uncompressed TIFF by the book (TIFF 6.0), since Pillow writes few of its kinds."""
    rows, columns = pixels.shape
    if bits == 1:
        data = np.packbits(pixels.astype(bool), axis=1).tobytes()
    elif bits == 4:
        data = (pixels[:, ::2] << 4 | pixels[:, 1::2]).astype(np.uint8).tobytes()
    else:
        data = pixels.astype(
            f"{order}{ {1: 'u', 2: 'i', 3: 'f'}[sample_format] }{bits // 8}".replace(" ", "")
        ).tobytes()
    data += b"\0" * (len(data) % 2)
    tags = [
        (256, 4, columns), (257, 4, rows), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8),
        *([(274, 3, orientation)] if orientation else []),
        (277, 3, 1), (278, 4, rows), (279, 4, len(data)), (339, 3, sample_format),
    ]  # fmt: skip
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        directory += struct.pack(f"{order}HHI", tag, kind, 1)
        directory += struct.pack(f"{order}I", value) if kind == 4 else struct.pack(f"{order}HH", value, 0)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    path.write_bytes(start + data + directory + bytes(4))
    return path


def write_png(path, pixels, bits, color_type, **chunks):
    """A PNG by the book (ISO 15948) of any bit depth and color type, since Pillow writes few of its kinds."""
    rows, columns = pixels.shape[:2]
    if bits < 8:
        planes = (pixels[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        lines = np.packbits(planes.reshape(rows, -1).astype(np.uint8), axis=1)
    else:
        lines = pixels.reshape(rows, -1).astype(f">u{bits // 8}").view(np.uint8).reshape(rows, -1)
    data = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", columns, rows, bits, color_type, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n"
    for name, content in {"IHDR": header, **chunks, "IDAT": zlib.compress(data), "IEND": b""}.items():
        body = name.encode() + content
        whole += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(whole)
    return path
