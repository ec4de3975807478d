"""The synthetic chest: physics, outlines, files."""

import hashlib
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.pixels import pixel_array
from scipy import ndimage

from medseg.errors import DataError
from medseg.phantom.chest import (
    CORTICAL_BONE,
    LEAD,
    LUNG,
    SOFT_TISSUE,
    count_quanta,
    digitise,
    draw_phantom,
)
from medseg.phantom.dicom import SYNTAXES, choose_coat, write_phantoms
from medseg.phantom.organs import build_lung, find_heart_depth
from medseg.phantom.skeleton import cross_tube
from medseg.phantom.view import View, find_pixels, locate_in_patient

NUM_CASES, SIZE, SEED = 28, 96, 7


def draw(seed, index, size=160):
    return draw_phantom(np.random.default_rng([seed, index]), size)


def open_view(**changes):
    settings = {
        "shape": (64, 64),
        "spacing_mm": 1.0,
        "turn_degrees": 0.0,
        "shift_mm": (0.0, 0.0),
        "bend_mm": 0.0,
        "field": (0.0, 1.0, 0.0, 1.0),
        "marker": None,
        "marker_at": (0.1, 0.1),
        "marker_mm": 14.0,
        "scatter_fraction": 0.0,
        "quanta": 1e6,
        "blur_pixels": 0.5,
        "detail": 0.0,
        "gamma": 1.0,
        "margins": (0.0, 0.0),
    }
    return View(**{**settings, **changes})


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".dcm", ".gz")
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms") / "set", NUM_CASES, SIZE, SEED)


@pytest.fixture(scope="module")
def phantoms():
    return [draw(1, index) for index in range(40)]


class TestPhysics:
    def test_attenuation_of_water_like_tissue_bone_and_lead_at_60_kev(self):
        # half-value layers from tables at 60 keV: soft tissue about 3.2 cm, cortical bone about 1.1 cm, lead 0.12 mm
        assert np.log(2) / SOFT_TISSUE == pytest.approx(3.2, rel=0.03)
        assert np.log(2) / CORTICAL_BONE == pytest.approx(1.15, rel=0.03)
        assert np.log(2) / LEAD == pytest.approx(0.0122, rel=0.03)
        assert 3.5 < SOFT_TISSUE / LUNG < 4.5  # inflated lung is a quarter as dense

    def test_slab_passes_what_beer_lambert_says(self):
        # 10 cm at 0.2171 per cm: exp(-2.171) = 0.11407 of a million quanta, give or take Poisson's sqrt(N)
        slab = np.full((64, 64), 2.171, dtype=np.float32)
        counts = count_quanta(np.random.default_rng(0), slab, np.zeros_like(slab), open_view())
        assert counts.mean() == pytest.approx(114_064, rel=5e-4)
        assert counts.std() == pytest.approx(np.sqrt(114_064), rel=0.1)

    def test_scatter_is_the_stated_share_of_what_arrives(self):
        slab = np.full((64, 64), 2.171, dtype=np.float32)
        view = open_view(scatter_fraction=0.4)
        counts = count_quanta(np.random.default_rng(0), slab, np.zeros_like(slab), view)
        assert 1 - 114_064 / counts.mean() == pytest.approx(0.4, abs=0.01)

    def test_open_beam_scatters_nothing(self):
        air = np.zeros((64, 64), dtype=np.float32)
        counts = count_quanta(np.random.default_rng(0), air, air, open_view(scatter_fraction=0.4))
        assert counts.mean() == pytest.approx(1e6, rel=1e-3)

    def test_logarithm_makes_equal_steps_of_equal_layers(self):
        layers = np.repeat(np.arange(1.0, 5.0), 16)[:, None] * np.ones(64)
        pixels = digitise(1e6 * np.exp(-layers), open_view()).astype(int)
        levels = pixels[8::16, 0]
        assert levels.tolist() == [0, 1365, 2730, 4095]

    def test_open_beam_is_black_and_a_covered_detector_white(self):
        counts = np.full((64, 64), 1e6)
        counts[20:50] = np.linspace(1e4, 1e5, 64)
        pixels = digitise(np.where(np.arange(64)[:, None] < 8, 0, counts), open_view(field=(0.125, 1, 0, 1)))
        assert (pixels[:8] == 4095).all()
        assert (pixels[8:20] == 0).all()

    def test_hollow_bone_is_densest_at_its_wall(self):
        # radius 5 mm, wall 1 mm: through the middle 10 mm, 8 of them spongy with 15 % bone: 2 + 1.2 mm
        chord = cross_tube(np.array([0.0, 4.0, 5.0]), 5.0, 1.0)
        assert chord == pytest.approx([0.32, 0.6, 0.0])

    def test_patient_coordinates_lead_back_to_the_pixels(self):
        view = open_view(shape=(50, 40), spacing_mm=2.0, turn_degrees=5.0, shift_mm=(4.0, -7.0), bend_mm=6.0)
        columns, rows = find_pixels(view, *(part.astype(np.float64) for part in locate_in_patient(view)))
        np.testing.assert_allclose(columns, np.broadcast_to(np.arange(40), (50, 40)), atol=1e-3)
        np.testing.assert_allclose(rows, np.broadcast_to(np.arange(50)[:, None], (50, 40)), atol=1e-3)


class TestPicture:
    def test_same_seed_draws_the_same(self):
        first, second = draw(3, 5), draw(3, 5)
        np.testing.assert_array_equal(first.pixels, second.pixels)
        assert first.view == second.view
        assert first.anatomy == second.anatomy

    def test_other_seed_and_other_index_draw_others(self):
        first = draw(3, 5)
        assert first.anatomy != draw(4, 5).anatomy
        assert first.anatomy != draw(3, 6).anatomy

    @pytest.mark.slow
    def test_twelve_bits_in_full(self, phantoms):
        for phantom in phantoms:
            assert phantom.pixels.dtype == np.uint16
            assert phantom.pixels.max() <= 4095
            assert np.percentile(phantom.pixels, 99) - np.percentile(phantom.pixels, 1) > 2500

    def test_rows_as_asked_columns_about_as_many(self, phantoms):
        shapes = {phantom.pixels.shape for phantom in phantoms}
        assert {rows for rows, _ in shapes} == {160}
        assert len({columns for _, columns in shapes}) > 5
        assert all(150 <= columns <= 170 for _, columns in shapes)

    def test_areas_lie_within_those_of_jsrt(self, phantoms):
        # least and greatest share of the film in the 120 masks of JSRT (SCR), widened by a fifth
        bounds = {"lungs": (0.18, 0.46), "heart": (0.065, 0.13), "clavicles": (0.012, 0.030)}
        for phantom in phantoms:
            for label, (low, high) in bounds.items():
                assert low / 1.2 < phantom.masks[label].mean() < high * 1.2

    def test_lungs_are_two_parts_of_like_size(self, phantoms):
        for phantom in phantoms:
            parts, count = ndimage.label(phantom.masks["lungs"])
            sizes = ndimage.sum_labels(phantom.masks["lungs"], parts, range(1, count + 1))
            assert count == 2, sizes
            assert sizes.min() / sizes.max() > 0.5

    def test_heart_lies_mostly_on_the_right_of_the_image(self, phantoms):
        for phantom in phantoms:
            lungs = np.flatnonzero(phantom.masks["lungs"].any(axis=0))
            middle = (lungs[0] + lungs[-1]) / 2
            columns = np.nonzero(phantom.masks["heart"])[1]
            assert (columns > middle).mean() > 0.55

    def test_organs_overlap_a_little(self, phantoms):
        for phantom in phantoms:
            lungs, heart, clavicles = (phantom.masks[label] for label in ("lungs", "heart", "clavicles"))
            assert 0.3 < (lungs & clavicles).sum() / clavicles.sum() < 1
            assert 0 < (lungs & heart).sum() / heart.sum() < 0.1

    def test_lungs_are_darker_than_the_heart_and_clavicles_brighter_than_their_surroundings(self, phantoms):
        for phantom in phantoms:
            lungs, heart, clavicles = (phantom.masks[label] for label in ("lungs", "heart", "clavicles"))
            pixels = phantom.pixels.astype(float)
            assert np.median(pixels[heart]) > np.median(pixels[lungs]) + 400
            ring = ndimage.binary_dilation(clavicles, iterations=3) & ~clavicles & lungs
            assert pixels[clavicles & lungs].mean() > pixels[ring].mean()

    def test_heart_outline_is_where_the_lung_ends(self):
        phantom = draw(1, 0)
        x, y = locate_in_patient(phantom.view)
        bare = build_lung(phantom.anatomy, 1, x, y)[1] & (find_heart_depth(phantom.anatomy, x, y) > 3)
        assert bare.any()
        assert not (phantom.masks["lungs"] & bare).any()

    def test_marker_and_collimation_occur_and_lead_is_white(self, phantoms):
        assert {phantom.view.marker for phantom in phantoms} == {None, "L", "R"}
        closed = [phantom for phantom in phantoms if phantom.view.field[0] > 0.02]
        assert 0 < len(closed) < len(phantoms)
        assert all((phantom.pixels[0] == 4095).all() for phantom in closed)


class TestFiles:
    @pytest.mark.slow
    def test_layout(self, written):
        names = [f"phantom-{index:04d}" for index in range(NUM_CASES)]
        assert sorted(path.name for path in written.glob("images/*")) == [f"{name}.dcm" for name in names]
        for label in ("clavicles", "heart", "lungs"):
            assert sorted(path.name for path in written.glob(f"masks/{label}/*")) == [
                f"{name}.nii.gz" for name in names
            ]

    def test_every_coat_is_worn(self):
        coats = [choose_coat(index) for index in range(NUM_CASES)]
        assert {coat.transfer_syntax for coat in coats} == set(SYNTAXES)
        pairs = {(coat.modality, coat.photometric) for coat in coats}
        assert pairs == {(m, p) for m in ("CR", "DX") for p in ("MONOCHROME1", "MONOCHROME2")}
        assert {coat.spacing for coat in coats} == {"detector", "equal", "calibrated", "none"}
        assert not [coat for coat in coats if coat.modality == "DX" and coat.spacing == "none"]  # type 1 in DX

    @pytest.mark.slow
    @pytest.mark.parametrize("index", range(NUM_CASES))
    def test_pixels_read_back_equal(self, written, index):
        dataset = pydicom.dcmread(written / f"images/phantom-{index:04d}.dcm")
        stored = pixel_array(dataset)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            stored = 4095 - stored
        np.testing.assert_array_equal(stored, draw(SEED, index, SIZE).pixels)

    def test_monochrome1_reads_back_equal_in_a_second_library(self, written):
        indices = [index for index in range(14) if choose_coat(index).photometric == "MONOCHROME1"]
        for (
            index
        ) in indices:  # SimpleITK turns MONOCHROME1 round within the range of the values: equal but for an offset
            read = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(written / f"images/phantom-{index:04d}.dcm"))[0]
            pixels = draw(SEED, index, SIZE).pixels.astype(int)
            np.testing.assert_array_equal(read.astype(int) - read.min(), pixels - pixels.min())

    @pytest.mark.parametrize("index", range(8))
    def test_masks_read_back_equal_with_the_spacing_of_the_image(self, written, index):
        name = f"phantom-{index:04d}"
        dataset = pydicom.dcmread(written / f"images/{name}.dcm", stop_before_pixels=True)
        spacing = dataset.get("PixelSpacing", dataset.get("ImagerPixelSpacing"))
        phantom = draw(SEED, index, SIZE)
        for label, mask in phantom.masks.items():
            nifti = nibabel.load(written / f"masks/{label}/{name}.nii.gz")
            np.testing.assert_array_equal(np.asarray(nifti.dataobj).T, mask)
            if spacing is None:
                assert nifti.header.get_xyzt_units()[0] == "unknown"
            else:
                assert nifti.header.get_xyzt_units()[0] == "mm"
                assert nifti.header.get_zooms()[::-1] == pytest.approx([float(value) for value in spacing], rel=1e-6)

    def test_spacing_attributes_mean_what_the_standard_says(self, written):
        for index in range(NUM_CASES):
            dataset = pydicom.dcmread(written / f"images/phantom-{index:04d}.dcm", stop_before_pixels=True)
            pitch = list(draw(SEED, index, SIZE).spacing_mm) if choose_coat(index).spacing != "none" else None
            assert dataset.get("ImagerPixelSpacing") == pitch
            patient = dataset.get("PixelSpacing")
            match choose_coat(index).spacing:
                case "calibrated":
                    assert patient[0] == pytest.approx(pitch[0] / 1.08, abs=1e-4)
                    assert dataset.PixelSpacingCalibrationType == "GEOMETRY"
                case "equal":
                    assert patient == pitch
                case _:
                    assert patient is None

    def test_tags_that_restate_polarity_agree_with_it(self, written):
        for path in written.glob("images/*"):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            inverse = dataset.PhotometricInterpretation == "MONOCHROME1"
            assert dataset.PresentationLUTShape == ("INVERSE" if inverse else "IDENTITY")
            if dataset.Modality == "DX":  # PS3.3 C.8.11.3.1.2: -1 where a higher value is less beam
                assert dataset.PixelIntensityRelationshipSign == (1 if inverse else -1)

    def test_nothing_looks_like_a_patient(self, written):
        for path in written.glob("images/*"):
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            assert dataset.PatientName == "Phantom^Synthetic"
            assert dataset.PatientID == path.stem
            assert dataset.PatientBirthDate == ""
            assert "not clinical" in dataset.SeriesDescription.lower()
            assert "not clinical" in dataset.ImageComments.lower()
            assert dataset.BurnedInAnnotation == "NO"

    def test_uids_are_the_cases_own(self, written):
        datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in written.glob("images/*")]
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            assert len({dataset[keyword].value for dataset in datasets}) == NUM_CASES
        assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in datasets)

    @pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
    def test_objects_are_valid(self, written, tmp_path):
        import subprocess

        for path in sorted(written.glob("images/*"))[:14]:
            dataset = pydicom.dcmread(path)
            if dataset.file_meta.TransferSyntaxUID == pydicom.uid.DeflatedExplicitVRLittleEndian:  # it cannot inflate
                dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
            dataset.save_as(tmp_path / "object.dcm")
            report = subprocess.run(["dciodvfy", str(tmp_path / "object.dcm")], capture_output=True, text=True)
            assert "Error" not in report.stderr + report.stdout


class TestSet:
    def test_same_seed_writes_the_same_bytes_and_more_cases_change_no_earlier_one(self, tmp_path):
        few = digests(write_phantoms(tmp_path / "few", 3, 64, 11))
        more = digests(write_phantoms(tmp_path / "more", 5, 64, 11))
        assert len(few) == 12
        assert few.items() <= more.items()

    def test_other_seeds_write_other_files(self, tmp_path):
        first = digests(write_phantoms(tmp_path / "a", 1, 64, 11))
        second = digests(write_phantoms(tmp_path / "b", 1, 64, 12))
        assert not set(first.values()) & set(second.values())

    def test_second_call_writes_nothing(self, tmp_path):
        folder = write_phantoms(tmp_path, 2, 64, 0)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert write_phantoms(tmp_path, 2, 64, 0) == folder
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    @pytest.mark.parametrize("lost", ["generated.json", "images/phantom-0001.dcm", "masks/heart/phantom-0000.nii.gz"])
    def test_an_interrupted_set_is_completed(self, tmp_path, lost):
        whole = digests(write_phantoms(tmp_path, 2, 64, 0))
        (tmp_path / lost).unlink()
        (tmp_path / "images/.phantom-0001.dcm.x1y2.tmp").write_bytes(b"half")
        write_phantoms(tmp_path, 2, 64, 0)
        assert digests(tmp_path) == whole
        assert not list(tmp_path.rglob("*.tmp"))
        assert (tmp_path / "generated.json").exists()

    def test_fewer_cases_leave_no_stale_ones(self, tmp_path):
        write_phantoms(tmp_path, 3, 64, 0)
        write_phantoms(tmp_path, 2, 64, 0)
        assert len(digests(tmp_path)) == 8

    def test_other_peoples_files_are_left_alone(self, tmp_path):
        film = tmp_path / "images" / "film.dcm"
        film.parent.mkdir()
        film.write_bytes(b"precious")
        with pytest.raises(DataError, match=r"film\.dcm"):
            write_phantoms(tmp_path, 1, 64, 0)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [film]


def test_drawing_needs_no_clock_and_no_global_seed(monkeypatch, tmp_path):
    np.random.seed(1)
    first = digests(write_phantoms(tmp_path / "a", 1, 64, 0))
    np.random.seed(2)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert digests(write_phantoms(Path(tmp_path / "b"), 1, 64, 0)) == first
