import io
import struct
import zipfile

import numpy as np
import pytest

from medseg.errors import RadiographError
from medseg.radiograph import identify_kind, read_label_image, read_radiograph
from medseg.radiograph.npy import holds_masks, list_masks, read_masks
from tests.support.dicom_files import phantom
from tests.support.malformed_images import npy, numpys

P = phantom()
COLOR = np.stack([P >> 4, P >> 5, P >> 6], axis=2).astype(np.uint8)
LUNGS, HEART = P > 3000, P < 900


def save(path, values, **options):
    np.save(path, values, **options)
    return path


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "values",
    [P, P.astype(">u2"), P.astype(float), np.asfortranarray(P), P[None], P[:, :, None], np.stack([P] * 3, axis=2)],
)
def test_images_of_every_shape(tmp_path, values):
    for path in (save(tmp_path / "a.npy", values), savez(tmp_path / "a.npz", values=values)):
        radiograph = read_radiograph(path)
        np.testing.assert_array_equal(radiograph.pixels, P)
        assert (radiograph.kind, radiograph.spacing_mm) == ("numpy", None)


def test_other_versions_names_and_sources(tmp_path):
    with (tmp_path / "a.dat").open("wb") as file:
        np.lib.format.write_array(file, P, version=(2, 0))
    np.savez_compressed(tmp_path / "b.npz", image=P, mask=LUNGS, meta=np.array([{}], object))
    (tmp_path / "b.npz").rename(tmp_path / "b.dat")
    for name in ("a.dat", "b.dat"):
        assert identify_kind(tmp_path / name) == "numpy"
        with (tmp_path / name).open("rb") as file:
            np.testing.assert_array_equal(read_radiograph(file).pixels, P)
    in_memory = io.BytesIO((tmp_path / "a.dat").read_bytes())
    in_memory.name = "a.npy"
    np.testing.assert_array_equal(read_radiograph(in_memory).pixels, P)


def test_boolean_images_and_colors(tmp_path):
    np.testing.assert_array_equal(read_radiograph(save(tmp_path / "a.npy", LUNGS)).pixels, LUNGS)
    np.testing.assert_array_equal(read_radiograph(save(tmp_path / "b.npy", COLOR), color="rgb").pixels, COLOR)
    nearly = np.stack([P >> 4] * 3, axis=2)
    nearly[:, :, 0] += 3
    assert "nearly gray" in read_radiograph(save(tmp_path / "c.npy", nearly)).warnings[0]
    with pytest.raises(RadiographError, match="is a color image: the channels differ"):
        read_radiograph(save(tmp_path / "d.npy", COLOR.astype(np.int64)))
    with pytest.raises(RadiographError, match=r"color image with values of type float64 from 0 to 255\. Convert it"):
        read_radiograph(save(tmp_path / "e.npy", COLOR.astype(float)))


@pytest.mark.parametrize("values", [LUNGS, LUNGS[None], LUNGS[:, :, None], LUNGS * 255, LUNGS.astype(float)])
def test_masks_of_one_channel(tmp_path, values):
    for path in (save(tmp_path / "a.npy", values), savez(tmp_path / "a.npz", image=P, mask=values)):
        assert list_masks(path) == ()
        label = read_label_image(path)
        np.testing.assert_array_equal(label.values, values.reshape(P.shape))
        assert (label.kind, label.lossy) == ("numpy", False)


def test_masks_of_colors(tmp_path):
    label = read_label_image(save(tmp_path / "a.npy", COLOR), as_colors=True)
    np.testing.assert_array_equal(label.values, COLOR @ np.array([65536, 256, 1]))


@pytest.mark.parametrize("axis", [0, 2])
def test_masks_of_several_channels(tmp_path, axis):
    path = save(tmp_path / "a.npy", np.stack([LUNGS, HEART], axis=axis) * 255)
    assert list_masks(path) == ("1", "2")
    masks = read_masks(path)
    np.testing.assert_array_equal(masks["1"], LUNGS)
    np.testing.assert_array_equal(masks["2"], HEART)
    with pytest.raises(RadiographError, match=r"a\.npy: has 2 channels, but a mask of one channel is needed"):
        read_label_image(path)


def test_masks_by_class(tmp_path):
    path = savez(tmp_path / "a.npz", image=P, mask_lungs=LUNGS, mask_heart=HEART[None])
    assert list_masks(path) == ("lungs", "heart")
    assert holds_masks(path)
    np.testing.assert_array_equal(read_masks(path)["heart"], HEART)
    assert not holds_masks(savez(tmp_path / "b.npz", image=P))
    assert not holds_masks(tmp_path / "missing.npz")
    (tmp_path / "c.png").write_bytes(b"no array")
    assert list_masks(tmp_path / "c.png") == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_masks_by_class_are_finite(tmp_path, value):
    path = savez(tmp_path / "a.npz", mask_lungs=np.where(LUNGS, value, 0))
    with pytest.raises(RadiographError, match=r"a\.npz: mask_lungs has values that are NaN or infinite"):
        read_masks(path)


def test_channels_must_have_two_values(tmp_path):
    path = save(tmp_path / "a.npy", np.stack([P, P]))
    with pytest.raises(RadiographError, match=r"channel 1 has the shape \(96, 80\) and \d+ values up to \d+, but"):
        read_masks(path)


@pytest.mark.parametrize(
    ("arrays", "image", "mask"),
    [
        ({"x": P, "y": P}, "holds x, y, but an array named image", "holds x, y, but either mask, or mask_<class>"),
        ({"mask": LUNGS}, "holds mask, but an array named image", None),
        ({"mask_a": LUNGS}, "holds mask_a, but an array named image", "holds a mask for each class"),
        ({"image": P}, None, "holds image, but either mask, or"),
        ({"image": P, "mask": LUNGS, "mask_a": HEART}, None, "holds image, mask, mask_a, but either mask, or"),
        ({f"a{i}": P[:2, :2] for i in range(20)}, "a6, a7, 12 more, but an array", "a6, a7, 12 more, but either"),
    ],
)
def test_arrays_that_are_not_clear_are_named(tmp_path, arrays, image, mask):
    path = savez(tmp_path / "a.npz", **arrays)
    for read, reason in ((read_radiograph, image), (read_label_image, mask)):
        if reason is None:
            read(path)
        else:
            with pytest.raises(RadiographError, match=reason):
                read(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([{}], object), r"holds Python objects \(a pickle\), which can run any program and are never loaded"),
        (P * 1j, "has values of type complex128, but real numbers"),
        (P[0], r"has the shape \(80,\), but \(rows, columns\), \(rows, columns, 3\) or \(1, rows, columns\) is"),
        (np.stack([P] * 4), r"has the shape \(4, 96, 80\), but"),
        (np.stack([P] * 3), r"has the shape \(3, 96, 80\), but"),
        (P[:0], "has 0 rows and 80 columns"),
    ],
)
def test_arrays_that_are_no_images(tmp_path, values, reason):
    with pytest.raises(RadiographError, match=rf"a\.npy: {reason}"):
        read_radiograph(save(tmp_path / "a.npy", values, allow_pickle=True))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(P)[:-1], "is cut short: 15487 bytes, but 15488 are needed"),
        (npy(P, shape=(1 << 40, 1 << 40)), "the limit is 100000000 pixels"),
        (npy(P, shape=(9999, 9999)), "is cut short: 15488 bytes, but 199960130 are needed"),
        (npy(P)[:40], "is not a readable NumPy file"),
        (
            b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 31) + bytes(99),
            "has a NumPy header of 2147483648 bytes",
        ),
        (b"\x93NUMPY\3\0" + bytes(99), "is not a NumPy file of format version 1 or 2"),
    ],
)
def test_headers_that_lie(tmp_path, data, reason):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(RadiographError, match=rf"a\.npy: {reason}|a\.npy: claims .*{reason}"):
        read_radiograph(tmp_path / "a.npy")


def test_an_archive_that_inflates_is_refused_before(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", npy(P))
    declared = struct.pack("<I", 15488)
    data = path.read_bytes().replace(declared, struct.pack("<I", 0xFFFFFFF0))
    path.write_bytes(data)
    with pytest.raises(RadiographError, match="holds an array of 4294967280 bytes; the limit is 2147483648 bytes"):
        read_radiograph(path)


@pytest.mark.slow
def test_malformed_files_give_one_clear_error(tmp_path):
    for name, data, wanted in numpys():
        path = tmp_path / name
        path.write_bytes(data)
        if wanted != "done":
            reason = "claims 16384 x 16384 pixels" if name == "bomb.npz" else ""
            with pytest.raises(RadiographError, match=f"{path}: {reason}"):
                read_radiograph(path)
            with pytest.raises(RadiographError, match=f"{path}: "):
                read_label_image(path)
