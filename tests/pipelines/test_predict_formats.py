"""What a picture looks like to the network does not depend on the file that it came in."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from medseg.commands.predict_dicom import PredictDicomConfig
from medseg.config import parse_args
from medseg.data.case import Case, MaskSource
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import cache_cases
from medseg.folder.examine import examine_file
from medseg.folder.job import build_job
from medseg.inference.decision import build_decision
from medseg.inference.models import load_models
from medseg.model.checkpoint import load_model
from medseg.radiograph.read import read_radiograph
from tests.support.dicom_files import phantom, write_dicom
from tests.support.image_formats import IMAGES, KINDS, write_formats
from tests.support.model_files import CLASSES, write_model
from tests.support.prediction_command import by_path, contents, predict, read_mask, rows
from tests.support.shape_images import write_png_folder
from tests.support.training_command import train

pytestmark = pytest.mark.slow

FORMATS = [(picture, name) for picture, formats in IMAGES.items() for name in formats]
LOSSY = [(picture, name) for picture, name in FORMATS if IMAGES[picture][name].lossy]
LOSSLESS = [(picture, name) for picture, name in FORMATS if not IMAGES[picture][name].lossy]
PLAIN = {picture: next(iter(formats)) for picture, formats in IMAGES.items()}
TURNED = {
    "upside_down": lambda picture: picture[::-1],
    "mirrored": lambda picture: picture[:, ::-1],
    "half_turn": lambda picture: picture[::-1, ::-1],
    "inverted": lambda picture: 4095 - picture,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_formats(tmp_path_factory.mktemp("formats"))
    (root / "turned").mkdir()
    for name, turn in TURNED.items():
        write_dicom(root / "turned" / f"{name}.dcm", np.ascontiguousarray(turn(phantom())))
    return root


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory, formats: Path, model: Path) -> Path:
    """The masks of all formats, of one run."""
    out = tmp_path_factory.mktemp("predicted")
    done = predict(f"model={model}", f"input.dir={formats}", f"output.dir={out}", KINDS)
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in rows(out)} == {"done"}
    assert len(rows(out)) == len(FORMATS) + len(TURNED)
    return out


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory, formats: Path, model: Path) -> Path:
    """The masks of lossy formats and of their plain ones, in single precision.

    The logits of this model hardly differ from zero: the rounding of bfloat16 alone moves its borders.
    """
    folder, out = tmp_path_factory.mktemp("lossy"), tmp_path_factory.mktemp("exact")
    for picture, name in [*LOSSY, *PLAIN.items()]:
        (folder / picture).mkdir(exist_ok=True)
        shutil.copy(formats / picture / name, folder / picture)
    done = predict(
        f"model={model}",
        f"input.dir={folder}",
        f"output.dir={out}",
        "output.formats=[png]",
        "predict.precision=fp32",
    )
    assert done.returncode == 0, done.stderr
    return out


def masks_of(out: Path, path: str) -> np.ndarray:
    """Bool `(class, rows, columns)`."""
    return np.stack([read_mask(out, name, by_path(out)[path]) for name in CLASSES]) > 0


def dice(left: np.ndarray, right: np.ndarray) -> float:
    return 2 * (left & right).sum() / (left.sum() + right.sum())


def test_there_are_more_than_twenty_ways_to_write_one_picture_without_loss() -> None:
    assert sum(picture == "twelve" for picture, _ in LOSSLESS) >= 20


@pytest.mark.parametrize(("picture", "name"), LOSSLESS)
def test_mask_of_a_picture_is_the_same_in_every_format(predicted: Path, picture: str, name: str) -> None:
    found = by_path(predicted)
    row, plain = found[f"{picture}/{name}"], found[f"{picture}/{PLAIN[picture]}"]
    assert (row["kind"], row["lossy"]) == (IMAGES[picture][name].kind, "false")
    for class_name in CLASSES:
        folder = predicted / "png" / class_name
        assert (folder / f"{row['id']}.png").read_bytes() == (folder / f"{plain['id']}.png").read_bytes()


@pytest.mark.parametrize(("picture", "name"), LOSSY)
def test_mask_of_a_lossy_file_is_nearly_the_same(exact: Path, picture: str, name: str) -> None:
    row = by_path(exact)[f"{picture}/{name}"]
    assert (row["kind"], row["lossy"]) == (IMAGES[picture][name].kind, "true")
    plain, lossy = (masks_of(exact, f"{picture}/{path}") for path in (PLAIN[picture], name))
    assert min(map(dice, plain, lossy)) >= 0.98


@pytest.mark.parametrize(("picture", "name"), FORMATS)
def test_areas_are_measured_with_the_spacing_of_the_format(predicted: Path, picture: str, name: str) -> None:
    written, row = IMAGES[picture][name], by_path(predicted)[f"{picture}/{name}"]
    assert row["spacing_source"] == written.source
    stated = [row["spacing_row_mm"], row["spacing_column_mm"]]
    assert [float(value) for value in stated if value] == pytest.approx(list(written.spacing_mm or ()))
    for class_name in CLASSES:
        count = int((read_mask(predicted, class_name, row) > 0).sum())
        assert int(row[f"area_px_{class_name}"]) == count > 0
        area = row[f"area_mm2_{class_name}"]
        assert (float(area) if area else None) == (
            written.spacing_mm and pytest.approx(count * np.prod(written.spacing_mm))
        )


def test_masks_are_those_of_the_picture_the_right_way_round(exact: Path, model: Path) -> None:
    """Scaled, resized and cut here by hand, without a file."""
    _, network = load_model(model)
    low, high = np.percentile(phantom(), PreprocessConfig().percentiles)
    scaled = torch.from_numpy(np.clip((phantom() - low) / (high - low), 0, 1)).float()[None, None]
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 2:29] = interpolate(scaled, (32, 27), mode="bilinear", antialias=True)
    with torch.inference_mode():
        maps = network(picture).sigmoid()[..., 2:29]
    expected = interpolate(maps, (96, 80), mode="bilinear")[0].numpy() >= 0.5
    masks = masks_of(exact, "twelve/explicit.dcm")
    assert masks.shape == expected.shape == (2, 96, 80)
    for index in range(len(CLASSES)):
        assert dice(masks[index], expected[index]) > 0.99
        for turn in (np.flipud, np.fliplr):
            assert dice(masks[index], turn(expected[index])) < 0.98


@pytest.mark.parametrize("name", TURNED)
def test_mask_changes_when_the_picture_is_turned_or_inverted(predicted: Path, name: str) -> None:
    """The model can tell: masks that are equal in every format mean something."""
    plain, turned = masks_of(predicted, "twelve/explicit.dcm"), masks_of(predicted, f"turned/{name}.dcm")
    back = turned if name == "inverted" else np.stack([TURNED[name](mask) for mask in turned])
    for index in range(len(CLASSES)):
        assert dice(plain[index], turned[index]) < 0.98
        assert dice(plain[index], back[index]) < 0.98


def test_segmentation_objects_hold_the_masks_of_the_png_files(predicted: Path) -> None:
    checked = 0
    for path, row in by_path(predicted).items():
        if row["kind"] == "dicom":
            frames = pydicom.dcmread(predicted / "seg" / f"{row['id']}.dcm").pixel_array
            assert np.array_equal(frames > 0, masks_of(predicted, path))
            checked += 1
    assert checked > 60


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_network_sees_in_prediction_what_it_saw_in_training(
    formats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit: str
) -> None:
    monkeypatch.chdir(tmp_path)
    preprocess = PreprocessConfig(size=(48, 40), fit=fit)
    path = write_model(tmp_path / "model.pt", preprocess=preprocess)
    arguments = [f"model={path}", f"input.dir={formats}", f"output.dir={tmp_path / 'out'}", KINDS]
    config = parse_args(PredictDicomConfig, arguments)
    loaded = load_models(config.model, config.tracking, config.predict)
    job = build_job(
        loaded,
        "torch/cpu/fp32",
        build_decision(loaded.card, config.predict),
        config.input,
        config.output,
        config.report,
    )
    cases = [Case(f"{picture}/{name}", formats / picture / name, {}) for picture, name in FORMATS]
    for number, case in enumerate(cases):
        mask = np.eye(*read_radiograph(case.image).pixels.shape, dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
        case.masks["a"] = MaskSource(tmp_path / f"{number}.png")
    findings = Findings(formats)
    cached, _ = cache_cases(cases, ("a",), DataConfig(), preprocess, tmp_path, findings)
    assert not findings.listed()
    for case, trained in zip(cases, cached.images, strict=True):
        found = examine_file(job, case.id.encode(), None)
        assert found.image is not None, found.reason
        assert torch.equal(torch.from_numpy(found.image), trained), case.id


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, formats: Path) -> Path:
    """Pictures of two sizes, side by side."""
    folder = tmp_path_factory.mktemp("mixed")
    for picture in ("few", "padded", "turned"):
        shutil.copytree(formats / picture, folder / picture)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, mixed: Path, model: Path) -> Path:
    out = tmp_path_factory.mktemp("reference")
    assert predict(f"model={model}", f"input.dir={mixed}", f"output.dir={out}").returncode == 0
    return out


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (3, 3), (1, 8)])
def test_workers_and_batch_size_change_nothing(
    mixed: Path, reference: Path, model: Path, tmp_path: Path, workers: int, batch_size: int
) -> None:
    done = predict(
        f"model={model}",
        f"input.dir={mixed}",
        f"output.dir={tmp_path}",
        f"predict.workers={workers}",
        f"predict.batch_size={batch_size}",
        "output.formats=[png]",
    )
    assert done.returncode == 0, done.stderr
    expected = contents(reference / "png")
    assert len(expected) == 2 * len(rows(reference))
    assert contents(tmp_path / "png") == expected
    timeless = [[{**row, "seconds": ""} for row in rows(out)] for out in (tmp_path, reference)]
    assert timeless[0] == timeless[1]


def test_order_of_the_files_changes_no_mask(mixed: Path, reference: Path, model: Path, tmp_path: Path) -> None:
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    files = sorted(path for path in mixed.rglob("*") if path.is_file())
    for number, path in enumerate(np.random.default_rng(1).permutation(np.array(files, object))):
        shutil.copy(path, shuffled / f"{number:02d}{path.suffix}")
    done = predict(f"model={model}", f"input.dir={shuffled}", f"output.dir={tmp_path / 'out'}", "output.formats=[png]")
    assert done.returncode == 0, done.stderr

    def by_content(folder: Path, out: Path) -> dict[str, list[bytes]]:
        return {
            hashlib.sha256((folder / path).read_bytes()).hexdigest(): [
                (out / "png" / name / f"{row['id']}.png").read_bytes() for name in CLASSES
            ]
            for path, row in by_path(out).items()
        }

    assert by_content(shuffled, tmp_path / "out") == by_content(mixed, reference)


def test_trained_as_png_and_predicted_as_dicom(tmp_path: Path, store: str) -> None:
    """The masks that the training wrote for its test cases, byte for byte; they show the discs."""
    data, run, folder, out = (
        write_png_folder(tmp_path / "data", 24),
        tmp_path / "run",
        tmp_path / "in",
        tmp_path / "out",
    )
    settings = ("train.epochs=18", "optim.learning_rate=0.02", "output.masks=true")
    done = train(f"data.root={data}", f"output.dir={run}", f"tracking.uri={store}", *settings)
    assert done.returncode == 0, done.stderr
    cases = sorted(path.stem for path in (run / "masks" / "disc").iterdir())
    folder.mkdir()
    for case in cases:
        pixels = np.asarray(Image.open(data / "images" / f"{case}.png"))
        write_dicom(folder / f"{case}_2.dcm", pixels)
        write_dicom(folder / f"{case}_1.dcm", 255 - pixels, PhotometricInterpretation="MONOCHROME1")
        shutil.copy(data / "images" / f"{case}.png", folder)
    done = predict(f"model={run / 'best.pt'}", f"input.dir={folder}", f"output.dir={out}", "output.formats=[png]")
    assert done.returncode == 0, done.stderr
    found = by_path(out)
    assert len(found) == 3 * len(cases) > 0
    scores = []
    for case in cases:
        for file in (f"{case}_2.dcm", f"{case}_1.dcm", f"{case}.png"):
            for name in ("box", "disc"):
                mask = out / "png" / name / f"{found[file]['id']}.png"
                assert mask.read_bytes() == (run / "masks" / name / f"{case}.png").read_bytes()
        truth = np.asarray(Image.open(data / "masks" / "disc" / f"{case}.png")) > 0
        scores.append(dice(read_mask(out, "disc", found[f"{case}_1.dcm"]) > 0, truth))
    assert np.mean(scores) > 0.6
