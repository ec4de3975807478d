import io
import zlib

import numpy as np
import pytest
from PIL import Image

from medseg.output.png import encode_mask

TEXT = {"Software": "a program", "Description": "for a test"}


def read(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 53), (700, 400)])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 1])
def test_another_library_reads_the_same_mask(shape, share):
    mask = np.random.default_rng(0).random(shape) < share
    mask[: shape[0] // 3] = False
    image = read(encode_mask(mask, TEXT))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), np.where(mask, 255, 0))


@pytest.mark.parametrize("rows", [slice(0, 5), slice(200, 300), slice(695, 700), slice(0, 0)])
def test_empty_rows_above_and_below_are_rows(rows):
    mask = np.zeros((700, 400), bool)
    mask[rows, 100:200] = True
    assert np.array_equal(np.asarray(read(encode_mask(mask, {}))) > 0, mask)


def test_the_checksum_of_the_stream_is_right():
    """Pillow does not check it."""
    mask = np.zeros((900, 300), bool)
    mask[400:500, 20:90] = True
    content = encode_mask(mask, {})
    start = content.index(b"IDAT")
    length = int.from_bytes(content[start - 4 : start])
    lines = np.zeros((900, 301), np.uint8)
    lines[:, 1:] = mask * np.uint8(255)
    assert zlib.decompress(content[start + 4 : start + 4 + length]) == lines.tobytes()


def test_text_can_be_read():
    assert read(encode_mask(np.eye(9, dtype=bool), TEXT)).text == TEXT


def test_a_large_empty_mask_takes_little():
    assert len(encode_mask(np.zeros((2000, 2000), bool), {})) < 8000
