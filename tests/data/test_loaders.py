import resource
import signal
from dataclasses import asdict
from functools import partial

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from medseg.checks.items import summarize_item
from medseg.checks.survey import survey_case
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig, SplitConfig
from medseg.data.findings import Findings
from medseg.data.loaders import (
    CachedSplits,
    EpochSampler,
    build_train_loader,
    build_validation_loader,
    cache_cases,
    cache_splits,
)
from medseg.data.splits import split_by_patient
from medseg.errors import DataError, StorageError
from medseg.hardware.processes import ALONE, Processes
from medseg.radiograph.nifti import build_nifti
from tests.support.dicom_files import write_dicom
from tests.support.shape_images import write_png_folder

PREPROCESS = PreprocessConfig(size=(32, 32))
SPLIT = SplitConfig(seed=0, fractions=(0.5, 0.25, 0.25))


def cache(root, folder, processes=ALONE, **settings):
    data = DataConfig(root=root, **settings)
    findings, splits = Findings(root), split_by_patient(find_cases(data), SPLIT)
    cached, _ = cache_splits(splits, data, PREPROCESS, folder, findings, None, processes)
    findings.check()
    return cached


def as_dicom(root, target, inverse):
    """The same 8-bit pictures as DICOM, with NIfTI masks; MONOCHROME1 stores 255 - x."""
    for path in sorted((root / "images").iterdir()):
        pixels = np.asarray(Image.open(path))
        (target / "images").mkdir(parents=True, exist_ok=True)
        write_dicom(
            target / "images" / f"{path.stem}.dcm",
            255 - pixels if inverse else pixels,
            PhotometricInterpretation="MONOCHROME1" if inverse else "MONOCHROME2",
            PatientID=path.stem,
        )
    for path in (root / "masks").rglob("*.png"):
        (target / "masks" / path.parent.name).mkdir(parents=True, exist_ok=True)
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
        nibabel.save(build_nifti(mask, (0.2, 0.15)), target / "masks" / path.parent.name / f"{path.stem}.nii.gz")
    return target


@pytest.mark.slow
@pytest.mark.parametrize("inverse", [False, True])
def test_one_data_set_in_two_coats_is_one_data_set(tmp_path, inverse):
    root = write_png_folder(tmp_path / "png", 24)
    first = cache(root, tmp_path)
    second = cache(as_dicom(root, tmp_path / "dicom", inverse), tmp_path)
    for (name, one), (_, other) in zip(first.items(), second.items(), strict=True):
        assert [facts.id for facts in one.facts] == [facts.id for facts in other.facts], name
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.present, other.present)
        assert [f.digest for f in one.facts] == [f.digest for f in other.facts]
        assert [f.label_digest for f in one.facts] == [f.label_digest for f in other.facts]


def test_cache_on_disk_equals_cache_in_memory_and_leaves_no_file(tmp_path):
    root = write_png_folder(tmp_path / "data", 24)
    memory, disk = cache(root, tmp_path / "a"), cache(root, tmp_path / "b", cache_gib=1e-6)
    for (_, one), (_, other) in zip(memory.items(), disk.items(), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert one.facts == other.facts
    assert list((tmp_path / "b").iterdir()) == []
    assert not (tmp_path / "a").exists()


def test_the_processes_of_a_machine_share_its_memory(tmp_path):
    root = write_png_folder(tmp_path / "data", 24)
    train = cache(root, tmp_path / "a").train
    room = {"cache_gib": 2 * (train.images.nbytes + train.labels.nbytes) / 2**30}
    cache(root, tmp_path / "b", **room)
    cache(root, tmp_path / "c", Processes(local_size=4), **room)
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "c").exists()  # it had files


def test_cache_that_the_disk_has_no_room_for(tmp_path):
    root = write_png_folder(tmp_path / "data", 24)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(
            StorageError, match=r"images\.bin: cannot reserve 0\.0 GiB for the cache of cases \(File too large\)"
        ):
            cache(root, tmp_path / "b", cache_gib=1e-6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list((tmp_path / "b").iterdir()) == []


def test_every_bad_file_is_named_at_once(tmp_path):
    root = write_png_folder(tmp_path / "data", 24)
    (root / "images" / "case03.png").write_bytes(b"no picture")
    Image.fromarray(np.full((48, 40), 7, np.uint8)).save(root / "images" / "case07.png")
    Image.fromarray(np.eye(48, 41, dtype=np.uint8)).save(root / "masks" / "box" / "case11.png")
    pixels = np.full((48, 40), np.nan, np.float32)
    (root / "images" / "case15.png").unlink()
    Image.fromarray(pixels).save(root / "images" / "case15.tiff")
    with pytest.raises(DataError) as caught:
        cache(root, tmp_path)
    message = str(caught.value)
    assert "files that cannot be used (1):" in message
    assert "images without content (2):" in message
    assert "images and masks whose sizes do not fit (1):" in message
    assert "case07.png: every pixel is 7; nothing to segment" in message
    assert "case15.tiff: 1920 pixels are NaN or infinite" in message
    for name in ("case03.png", "box/case11.png"):
        assert name in message


def test_missing_class_is_marked(tmp_path):
    root = write_png_folder(tmp_path / "data", 24)
    (root / "masks" / "box" / "case05.png").unlink()
    data = DataConfig(root=root, missing="ignore")
    found = find_cases(data)
    cached, _ = cache_cases(found.cases, found.classes, data, PREPROCESS, tmp_path, Findings())
    assert cached.present.tolist() == [[number != 5, True] for number in range(24)]
    assert not cached.labels[5, 0].any()


def test_facts_say_nothing_of_the_patient(tmp_path):
    root = as_dicom(write_png_folder(tmp_path / "png", 1), tmp_path / "dicom", inverse=False)
    write_dicom(root / "images" / "case00.dcm", np.arange(1920, dtype=np.uint8).reshape(48, 40), PatientID="SECRET-ID")
    data = DataConfig(root=root)
    found = find_cases(data)
    (facts,) = cache_cases(found.cases, found.classes, data, PREPROCESS, tmp_path, Findings())[0].facts
    assert "SECRET" not in repr(facts).upper()
    assert (facts.modality, facts.body_part, facts.view) == ("DX", "CHEST", "PA")


@pytest.mark.slow
@pytest.mark.parametrize("coat", ["png", "dicom"])
def test_a_look_while_caching_is_the_look_of_check_data(tmp_path, coat):
    root = write_png_folder(tmp_path / "png", 6)
    root = as_dicom(root, tmp_path / "dicom", inverse=True) if coat == "dicom" else root
    if coat == "png":
        mask = Image.open(root / "masks" / "box" / "case02.png")
        Image.merge("LA", (mask.point(lambda _: 255), mask)).save(root / "masks" / "box" / "case02.png")
    data = DataConfig(root=root)
    found = find_cases(data)
    look = partial(summarize_item, classes=found.classes)
    _, surveys = cache_cases(found.cases, found.classes, data, PREPROCESS, tmp_path, Findings(), look)
    assert any("alpha channel" in note for note in surveys[2].warnings) == (coat == "png")
    for case, survey in zip(found.cases, surveys, strict=True):
        alone = survey_case(case, found.classes, data, PREPROCESS)
        np.testing.assert_equal(asdict(survey), asdict(alone))


@pytest.mark.parametrize(("num_cases", "batch_size"), [(10, 4), (4, 4), (3, 8), (1, 1)])
def test_epoch_gives_each_case_once_but_what_is_left(num_cases, batch_size):
    sampler = EpochSampler(num_cases, batch_size, seed=0)
    for _ in range(3):
        batches = list(sampler)
        indices = [index for batch in batches for index in batch]
        assert len(batches) == len(sampler) == max(1, num_cases // batch_size)
        assert len(set(indices)) == len(indices)
        assert set(map(len, batches)) == {min(batch_size, num_cases)}


def test_order_differs_by_epoch_and_seed():
    sampler = EpochSampler(50, 5, seed=0)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert list(EpochSampler(50, 5, seed=0)) == first != list(EpochSampler(50, 5, seed=1))


@pytest.mark.parametrize("iteration", range(13))
def test_order_goes_on_from_any_iteration(iteration):
    sampler = EpochSampler(13, 3, seed=2)
    everything = [batch for _ in range(4) for batch in sampler]
    resumed = EpochSampler(13, 3, seed=2)
    resumed.iteration = iteration
    rest = []
    while len(rest) < len(everything) - iteration:
        rest += list(resumed)
    assert rest == everything[iteration:]


@pytest.fixture
def cached(tmp_path) -> CachedSplits:
    return cache(write_png_folder(tmp_path / "data", 24), tmp_path)


def test_batches_hold_what_the_cache_holds(cached):
    loader = build_train_loader(cached.train, 4, seed=0)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    batch = next(iter(loader))
    assert torch.equal(torch.get_rng_state(), state)
    for place, index in enumerate(batch["index"].tolist()):
        assert torch.equal(batch["image"][place], cached.train.images[index])
        assert torch.equal(batch["label"][place], cached.train.labels[index])
        assert torch.equal(batch["present"][place], cached.train.present[index])
    assert batch["image"].shape == (4, 1, 32, 32)
    assert batch["label"].shape == (4, 2, 32, 32)


def test_validation_gives_all_in_order(cached):
    batches = list(build_validation_loader(cached.validation, 4))
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(len(cached.validation)))
