import io
import struct

import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_fragments
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPIPHTJ2KReferenced,
    RLELossless,
)

from medseg.errors import RadiographError
from medseg.radiograph import read_radiograph
from tests.support.dicom_files import HTJ2K_FRAME, JPEG12_FRAME, SPACING, encode_lossless_jpeg, phantom, write_dicom

NATIVE = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
LOSSLESS = [
    (RLELossless, {"encoding_plugin": "pydicom"}),
    (JPEGLSLossless, {"encoding_plugin": "pyjpegls"}),
    (JPEG2000Lossless, {"encoding_plugin": "pylibjpeg"}),
]
LOSSY = [
    (JPEGLSNearLossless, {"encoding_plugin": "pyjpegls", "jls_error": 2}, 2),
    (JPEG2000, {"encoding_plugin": "pylibjpeg", "j2k_psnr": [80]}, 8),
]


def name(value):
    return getattr(value, "name", "").replace(" ", "_") or None


def assert_phantom(path, tolerance=0):
    radiograph = read_radiograph(path)
    assert radiograph.pixels.dtype == np.float32
    assert np.abs(radiograph.pixels - phantom()).max() <= tolerance
    assert radiograph.spacing_mm == SPACING
    assert radiograph.spacing_source == "detector"
    assert radiograph.lossy == (tolerance > 0)


@pytest.mark.parametrize("syntax", NATIVE, ids=name)
def test_native_pixels_read_back_equal(tmp_path, syntax):
    assert_phantom(write_dicom(tmp_path / "a.dcm", syntax=syntax))


@pytest.mark.parametrize(("syntax", "options"), LOSSLESS, ids=name)
def test_lossless_pixels_read_back_equal(tmp_path, syntax, options):
    assert_phantom(write_dicom(tmp_path / "a.dcm", syntax=syntax, compress=options))


@pytest.mark.parametrize(("syntax", "options", "tolerance"), LOSSY, ids=name)
def test_lossy_pixels_read_back_close_and_are_marked_lossy(tmp_path, syntax, options, tolerance):
    assert_phantom(write_dicom(tmp_path / "a.dcm", syntax=syntax, compress=options), tolerance)


@pytest.mark.parametrize(("syntax", "predictor"), [(JPEGLosslessSV1, 1), (JPEGLossless, 2), (JPEGLossless, 4)])
@pytest.mark.parametrize("precision", [12, 16])
def test_lossless_jpeg_reads_back_equal(tmp_path, syntax, predictor, precision):
    frame = encode_lossless_jpeg(phantom(), precision, predictor)
    assert_phantom(write_dicom(tmp_path / "a.dcm", syntax=syntax, frame=frame))


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K], ids=name)
def test_htj2k_reads_back_equal(tmp_path, syntax):
    path = write_dicom(tmp_path / "a.dcm", phantom(24, 20), syntax=syntax, frame=HTJ2K_FRAME)
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, phantom(24, 20))
    assert radiograph.lossy == (syntax == HTJ2K)


def test_twelve_bit_jpeg_reads_back_close(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", phantom(24, 20), syntax=JPEGExtended12Bit, frame=JPEG12_FRAME)
    radiograph = read_radiograph(path)
    assert np.abs(radiograph.pixels - phantom(24, 20)).max() <= 3
    assert radiograph.lossy


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit], ids=name)
def test_baseline_jpeg_equals_what_pillow_decodes(tmp_path, syntax):
    buffer = io.BytesIO()
    Image.fromarray((phantom() >> 4).astype(np.uint8)).save(buffer, "JPEG", quality=95)
    path = write_dicom(tmp_path / "a.dcm", (phantom() >> 4).astype(np.uint8), syntax=syntax, frame=buffer.getvalue())
    np.testing.assert_array_equal(read_radiograph(path).pixels, np.asarray(Image.open(buffer)))
    assert read_radiograph(path).lossy


@pytest.mark.parametrize("syntax", NATIVE, ids=name)
def test_eight_bits_in_an_odd_number_of_pixels(tmp_path, syntax):
    pixels = (phantom(25, 21) >> 4).astype(np.uint8)
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=syntax, data=pixels.tobytes() + b"\0")
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels)


def test_eight_bits_in_big_endian_words(tmp_path):
    pixels = (phantom() >> 4).astype(np.uint8)
    swapped = pixels.tobytes()
    swapped = b"".join(swapped[i + 1 : i + 2] + swapped[i : i + 1] for i in range(0, len(swapped), 2))
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=ExplicitVRBigEndian, data=swapped)
    raw = path.read_bytes()
    assert raw.count(b"\x7f\xe0\x00\x10OB") == 1
    path.write_bytes(raw.replace(b"\x7f\xe0\x00\x10OB", b"\x7f\xe0\x00\x10OW"))
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_thirty_two_bits(tmp_path, syntax):
    pixels = phantom().astype(np.uint32) * 1000
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=syntax)
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels.astype(np.float32))


@pytest.mark.parametrize(
    ("syntax", "options"), [(ExplicitVRLittleEndian, None), (ExplicitVRBigEndian, None), *LOSSLESS]
)
def test_signed_pixels_read_back_equal(tmp_path, syntax, options):
    pixels = phantom().astype(np.int16) - 2048
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=syntax, compress=options)
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels)


@pytest.mark.parametrize("above", [0x0000, 0xF000, 0x5000], ids=["unextended", "set", "overlay"])
def test_sign_is_taken_from_bits_stored_whatever_stands_above(tmp_path, above):
    pixels = phantom().astype(np.int16) - 2048
    cells = (pixels.astype(np.uint16) & 0x0FFF) | above
    path = write_dicom(tmp_path / "a.dcm", cells, PixelRepresentation=1)
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels)


@pytest.mark.parametrize("options", [None, {"encoding_plugin": "pydicom"}], ids=["native", "RLE"])
def test_overlay_in_high_bits_is_masked_off_with_a_warning(tmp_path, options):
    overlay = (phantom() > 2000).astype(np.uint16) << 15
    syntax = RLELossless if options else ExplicitVRLittleEndian
    path = write_dicom(tmp_path / "a.dcm", phantom() | overlay, syntax=syntax, compress=options)
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.warnings == ("bits above BitsStored were set; they were removed",)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1], ids=name)
def test_left_aligned_pixels_are_shifted_with_a_warning(tmp_path, syntax):
    if syntax == RLELossless:  # compressing needs a plausible HighBit
        whole = write_dicom(
            tmp_path / "a.dcm",
            phantom() << 4,
            syntax=syntax,
            compress={"encoding_plugin": "pydicom"},
            BitsStored=16,
            HighBit=15,
        ).read_bytes()
        tag = b"\x28\x00\x01\x01US\x02\x00"
        (tmp_path / "a.dcm").write_bytes(whole.replace(tag + b"\x10\x00", tag + b"\x0c\x00"))
    else:
        frame = encode_lossless_jpeg(phantom() << 4, 16) if syntax == JPEGLosslessSV1 else None
        write_dicom(tmp_path / "a.dcm", phantom() << 4, syntax=syntax, frame=frame, HighBit=15)
    radiograph = read_radiograph(tmp_path / "a.dcm")
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.warnings == ("HighBit is 15, but BitsStored is 12 and BitsAllocated is 16",)


@pytest.mark.parametrize("high_bit", [7, 10, 16, 99])
def test_impossible_high_bit_is_lived_with(tmp_path, high_bit):
    radiograph = read_radiograph(write_dicom(tmp_path / "a.dcm", HighBit=high_bit))
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert "HighBit" in radiograph.warnings[0]


def test_unsigned_codestream_of_signed_pixels_gets_its_sign(tmp_path):
    pixels = phantom().astype(np.int16) - 2048
    frame = encode_lossless_jpeg(pixels.astype(np.uint16) & 0x0FFF, 12)
    path = write_dicom(tmp_path / "a.dcm", pixels, syntax=JPEGLosslessSV1, frame=frame)
    np.testing.assert_array_equal(read_radiograph(path).pixels, pixels)


def test_twice_the_data_is_lived_with(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", data=phantom().tobytes() + bytes(phantom().nbytes))
    radiograph = read_radiograph(path)
    np.testing.assert_array_equal(radiograph.pixels, phantom())
    assert radiograph.warnings == ("PixelData has 30720 bytes, but 15360 are needed; the rest was ignored",)


def test_short_data_are_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", data=phantom().tobytes()[:-2])
    with pytest.raises(RadiographError, match=r"a\.dcm: PixelData is cut short: 15358 bytes, but 15360 are needed"):
        read_radiograph(path)


@pytest.mark.parametrize("table", [[], [0]], ids=["no_offsets", "offsets"])
def test_several_fragments_are_one_picture(tmp_path, table):
    path = write_dicom(tmp_path / "a.dcm", syntax=JPEG2000Lossless, compress={"encoding_plugin": "pylibjpeg"})
    import pydicom

    dataset = pydicom.dcmread(path)
    frame = b"".join(generate_fragments(dataset.PixelData)).split(b"\xff\x4f", 1)[1]
    dataset.PixelData = encapsulate([b"\xff\x4f" + frame], fragments_per_frame=4, has_bot=bool(table))
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    assert_phantom(path)


@pytest.mark.parametrize(
    ("syntax", "frame", "reason"),
    [
        (JPEGLosslessSV1, encode_lossless_jpeg(phantom(30, 20), 12), "30 x 20 pixels, but Rows and Columns say 96"),
        (HTJ2KLossless, HTJ2K_FRAME, "codestream has 24 x 20 pixels"),
        (JPEGLosslessSV1, encode_lossless_jpeg(phantom(), 12)[:-400], "cut short"),
        (JPEGBaseline8Bit, encode_lossless_jpeg(phantom(), 12), "is JPEG Baseline .* have another format"),
        (JPEGLSLossless, b"\xff\xd8\xff\xf7" + bytes(60), "codestream has 0 x 0|is JPEG-LS .* have another format"),
        (JPEG2000Lossless, b"no codestream at all", "does not start like a JPEG 2000 codestream"),
        (RLELossless, bytes(64), "cannot be decoded"),
        (RLELossless, b"\x81\x00" * 40000, "cannot be decoded"),
        (MPEG2MPML, b"\0" * 100, "TransferSyntaxUID is MPEG2 .*, which is not supported"),
    ],
)  # fmt: skip
def test_codestream_that_contradicts_the_tags_is_refused(tmp_path, syntax, frame, reason):
    with pytest.raises(RadiographError, match=reason):
        read_radiograph(write_dicom(tmp_path / "a.dcm", syntax=syntax, frame=frame))


def test_jpeg_bomb_is_refused_before_it_is_decoded(tmp_path):
    frame = encode_lossless_jpeg(phantom(), 12)
    bomb = frame.replace(struct.pack(">HH", 96, 80), struct.pack(">HH", 65500, 65500), 1)
    with pytest.raises(RadiographError, match="65500 x 65500"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", syntax=JPEGLosslessSV1, frame=bomb))
    with pytest.raises(RadiographError, match="claims 65500 x 65500 pixels"):
        read_radiograph(write_dicom(tmp_path / "a.dcm", syntax=JPEGLosslessSV1, frame=bomb, Rows=65500, Columns=65500))


def test_color_is_refused_unless_asked_for(tmp_path):
    color = np.stack([phantom() >> 4, phantom().max() - phantom() >> 4, phantom() >> 5], axis=2).astype(np.uint8)
    path = write_dicom(
        tmp_path / "a.dcm", color[:, :, 0], data=color.tobytes(), SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
    )  # fmt: skip
    with pytest.raises(RadiographError, match=r"is a color image: .* in \d+\.\d% of its pixels"):
        read_radiograph(path)
    np.testing.assert_array_equal(read_radiograph(path, color="rgb").pixels, color)


@pytest.mark.parametrize(("syntax", "options"), LOSSLESS[:1] + LOSSLESS[2:], ids=name)
def test_compressed_color_reads_back_equal(tmp_path, syntax, options):
    color = np.stack([phantom() >> 4, phantom().max() - phantom() >> 4, phantom() >> 5], axis=2).astype(np.uint8)
    path = write_dicom(
        tmp_path / "a.dcm", color[:, :, 0], data=color.tobytes(), SamplesPerPixel=3, PlanarConfiguration=0,
        PhotometricInterpretation="RGB", syntax=syntax, compress=options,
    )  # fmt: skip
    np.testing.assert_array_equal(read_radiograph(path, color="rgb").pixels, color)


def test_ybr_jpeg_becomes_rgb(tmp_path):
    color = np.stack([phantom() >> 4, phantom() >> 5, 255 - (phantom() >> 4)], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(color).save(buffer, "JPEG", quality=95)
    path = write_dicom(
        tmp_path / "a.dcm", color[:, :, 0], syntax=JPEGBaseline8Bit, frame=buffer.getvalue(), SamplesPerPixel=3,
        PlanarConfiguration=0, PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    pixels = read_radiograph(path, color="rgb").pixels
    assert np.abs(pixels - np.asarray(Image.open(buffer)).astype(int)).max() <= 2


def test_gray_is_repeated_where_color_is_asked_for(tmp_path):
    pixels = read_radiograph(write_dicom(tmp_path / "a.dcm"), color="rgb").pixels
    np.testing.assert_array_equal(pixels, np.stack([phantom()] * 3, axis=2))


@pytest.mark.parametrize(
    ("syntax", "shown"),
    [
        (JPIPHTJ2KReferenced, "JPIP HTJ2K Referenced"),
        ("1.2.840.10008.1.2.4.299", "1.2.840.10008.1.2.4.299"),
        ("1.2.826.0.1.19700101000", "private"),
    ],
)
def test_transfer_syntax_that_is_not_supported_is_named_unless_it_is_private(tmp_path, syntax, shown):
    path = write_dicom(tmp_path / "a.dcm", syntax=JPIPHTJ2KReferenced, frame=b"1234")
    path.write_bytes(path.read_bytes().replace(JPIPHTJ2KReferenced.encode(), syntax.encode()))
    with pytest.raises(RadiographError, match=f"TransferSyntaxUID is {shown}, which is not supported"):
        read_radiograph(path)


def test_jpeg_whose_size_and_tags_tell_the_same_lie_is_refused_before_it_is_decoded(tmp_path):
    frame = encode_lossless_jpeg(phantom(), 12)
    lie = frame.replace(struct.pack(">HH", 96, 80), struct.pack(">HH", 9000, 9000), 1)
    path = write_dicom(tmp_path / "a.dcm", syntax=JPEGLosslessSV1, frame=lie, Rows=9000, Columns=9000)
    with pytest.raises(RadiographError, match="too few for 9000 x 9000 pixels"):
        read_radiograph(path)
