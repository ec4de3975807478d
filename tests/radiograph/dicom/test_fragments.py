import struct
from io import BytesIO

import numpy as np
import pytest

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from medseg.radiograph.dicom.fragments import read_pixel_data
from medseg.radiograph.dicom.frame import JPEG2000_SYNTAXES
from tests.support.codestreams import FRAMES, Frame
from tests.support.dicom_files import write_dicom

ITEM, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0" + bytes(4)
NO_DELIMITER = "PixelData has no Sequence Delimitation Item at its end; all its fragments were read"
WRONG_TABLE = "the offset table of PixelData does not fit its only frame and was ignored"

every_frame = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


def item(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    return ITEM + struct.pack("<I", len(data)) + data


def pieces(data: bytes, size: int = 200) -> bytes:
    return b"".join(item(data[start : start + size]) for start in range(0, len(data), size))


def box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data


def jp2(frame: Frame) -> bytes:
    """A JPEG 2000 codestream in its boxes (ITU-T T.800 I.5)."""
    header = box(b"ihdr", struct.pack(">2IH4B", *frame.pixels.shape, 1, frame.data[40], 7, 0, 0))
    header += box(b"colr", struct.pack(">3BI", 1, 0, 0, 17))
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return signature + box(b"jp2h", header) + box(b"jp2c", frame.data)


def write(path, frame: Frame, items: bytes, tail: bytes = SEQUENCE_END):
    write_dicom(path, frame.pixels, syntax=frame.syntax, items=items)
    path.write_bytes(path.read_bytes().removesuffix(SEQUENCE_END) + tail)
    return path


@pytest.mark.slow
@every_frame
@pytest.mark.parametrize(
    "tail", [b"", bytes(8), bytes(100_000), SEQUENCE_END[:3], SEQUENCE_END[4:], ITEM, b"rubbish" * 9]
)
def test_frame_whose_sequence_is_not_delimited_is_read(tmp_path, frame, tail):
    for items in (item(b"") + item(frame.data), item(bytes(4)) + pieces(frame.data)):
        radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, items, tail))
        np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
        assert radiograph.warnings == (NO_DELIMITER,)


@every_frame
def test_half_a_delimiter_delimits(tmp_path, frame):
    path = write(tmp_path / "a.dcm", frame, item(b"") + item(frame.data), SEQUENCE_END[:5])
    np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)
    assert not read_radiograph(path).warnings


@pytest.mark.slow
@every_frame
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("tail", [b"", bytes(64), SEQUENCE_END], ids=["end", "zeros", "delimiter"])
def test_frame_that_is_cut_short_is_refused(tmp_path, frame, share, tail):
    cut = frame.data[: int(share * len(frame.data))]
    for items in (item(b"") + item(cut), item(bytes(4)) + pieces(cut)):
        with pytest.raises(RadiographError, match=r"cut short|cannot be decoded"):
            read_radiograph(write(tmp_path / "a.dcm", frame, items, tail))


@every_frame
def test_file_that_is_cut_within_a_fragment_is_refused(tmp_path, frame):
    path = write(tmp_path / "a.dcm", frame, item(b"") + item(frame.data), b"")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RadiographError, match=r"cut short|cannot be decoded"):
        read_radiograph(path)


@pytest.mark.slow
@every_frame
@pytest.mark.parametrize(
    "table",
    [struct.pack("<I", 12345), struct.pack("<2I", 0, 208), b"\xff" * 4, b"\1\0", bytes(400), struct.pack("<I", 8)],
    ids=["far", "of_fragments", "most", "odd", "many", "second"],
)
def test_one_frame_needs_no_offset_table(tmp_path, frame, table):
    for items in (item(frame.data), pieces(frame.data)):
        radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, item(table) + items))
        np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
        assert radiograph.warnings == (WRONG_TABLE,)


@every_frame
@pytest.mark.parametrize("table", [b"", bytes(4)], ids=["empty", "right"])
def test_empty_fragments_are_nothing(tmp_path, frame, table):
    items = item(table) + item(b"") * 3 + pieces(frame.data) + item(b"")
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, items))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
    assert not radiograph.warnings


@every_frame
def test_a_single_item_is_the_frame(tmp_path, frame):
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, item(frame.data)))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
    assert radiograph.warnings == ("PixelData has no offset table",)


@every_frame
@pytest.mark.parametrize("boxed", [False, True])
def test_fragments_without_an_offset_table_are_the_frame(tmp_path, frame, boxed):
    data = jp2(frame) if boxed and frame.syntax in JPEG2000_SYNTAXES else frame.data
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, pieces(data)))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)
    assert radiograph.warnings == ("PixelData has no offset table",)


@every_frame
def test_extended_offset_table_that_lies_is_not_believed(tmp_path, frame):
    lies = {"ExtendedOffsetTable": struct.pack("<Q", 1 << 40), "ExtendedOffsetTableLengths": struct.pack("<Q", 3)}
    items = item(b"") + pieces(frame.data)
    path = write_dicom(tmp_path / "a.dcm", frame.pixels, syntax=frame.syntax, items=items, **lies)
    np.testing.assert_array_equal(read_radiograph(path).pixels, frame.decoded)


def test_a_delimiter_within_a_fragment_ends_nothing(tmp_path):
    frame = FRAMES["jpeg"]
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(SEQUENCE_END)) + SEQUENCE_END
    commented = frame.data[:2] + comment + frame.data[2:]
    radiograph = read_radiograph(write(tmp_path / "a.dcm", frame, item(b"") + item(commented), b""))
    np.testing.assert_array_equal(radiograph.pixels, frame.decoded)


def test_what_follows_the_items_is_not_gone_through():
    class Counted(BytesIO):
        reads = 0

        def read(self, size: int | None = -1) -> bytes:
            self.reads += 1
            return super().read(size)

    items = item(b"") + item(b"frame")
    file = Counted(items + bytes(1 << 20))
    assert read_pixel_data(file).value == items
    assert file.reads < 5
    assert read_pixel_data(BytesIO(items + SEQUENCE_END + items)).value == items + SEQUENCE_END[:4]


def test_item_longer_than_the_file_ends_with_it():
    data = item(b"") + ITEM + b"\xff\xff\xff\xff" + b"frame"
    assert read_pixel_data(BytesIO(data)).value == data


@pytest.mark.parametrize("items", [b"", SEQUENCE_END, bytes(100), item(b"")])
def test_pixel_data_without_a_fragment_are_refused(tmp_path, items):
    frame = FRAMES["jpeg"]
    path = write(tmp_path / "a.dcm", frame, item(b"mark"), b"")
    path.write_bytes(path.read_bytes().removesuffix(item(b"mark")) + items)
    with pytest.raises(RadiographError, match=r"fragments|does not start like a JPEG"):
        read_radiograph(path)
