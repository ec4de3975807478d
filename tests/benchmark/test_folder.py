import json
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from medseg.benchmark.folder import FolderRun, describe, write_files
from medseg.errors import DataError
from medseg.inference.choice import build_backend
from medseg.inference.config import FolderPredictConfig
from medseg.inference.models import load_models
from medseg.inference.predictor import build_predictor
from medseg.model.checkpoint import Accepts
from medseg.radiograph import read_radiograph
from medseg.tracking.config import StoreConfig
from tests.support.model_files import write_model


def test_files_are_objects_of_their_own_in_the_syntax_of_their_folder(tmp_path: Path) -> None:
    folders = {syntax: tmp_path / syntax for syntax in (ExplicitVRLittleEndian, JPEG2000Lossless)}
    write_files(folders, 6, 96, seed=1)
    for syntax, folder in folders.items():
        found = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
        assert len({dataset.SOPInstanceUID for dataset in found}) == 6
        assert len({dataset.StudyInstanceUID for dataset in found}) == 6
        assert {dataset.file_meta.TransferSyntaxUID for dataset in found} == {syntax}
        assert all(dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID for dataset in found)
        assert {dataset.Rows for dataset in found} == {96}
    plain, packed = (read_radiograph(folder / "0005.dcm") for folder in folders.values())
    assert (plain.pixels == packed.pixels).all()


@pytest.fixture
def build_run(tmp_path: Path) -> Callable[..., FolderRun]:
    """Three small files, and a model that accepts what is asked for."""
    write_files({ExplicitVRLittleEndian: tmp_path / "files"}, 3, 96, seed=1)

    def build(format: str, accepts: Accepts) -> FolderRun:
        model = load_models(
            [str(write_model(tmp_path / "model.pt", accepts=accepts))], StoreConfig(), FolderPredictConfig()
        )
        config = FolderPredictConfig(device="cpu", backend="torch", precision="fp32")
        predictor = build_predictor(model, build_backend(config, model), config)
        return FolderRun(model, predictor, tmp_path / "files", tmp_path / "out", format)

    return build


@pytest.mark.slow
@pytest.mark.parametrize(("format", "kept"), [("png", "png/*/*.png"), ("seg", "seg/*.dcm")])
def test_each_turn_predicts_all_files_into_a_folder_of_its_own(
    format: str, kept: str, build_run: Callable[..., FolderRun], tmp_path: Path
) -> None:
    run = build_run(format, Accepts())
    seconds = [run.turn(), run.turn()]
    assert all(found > 0 for found in seconds)
    assert {"start", "decode", "predict", "write", "waiting"} == run.details["shares"].keys()
    assert run.details["steady_images_per_second"] > 1 / seconds[1]
    for folder in (tmp_path / "out").iterdir():
        rows = [json.loads(line) for line in (folder / "report.jsonl").read_text().splitlines()]
        assert [(row["path"], row["status"]) for row in rows] == [(f"000{i}.dcm", "done") for i in range(3)]
        assert all(row["modality"] == "DX" for row in rows)
        assert len({path.stem for path in folder.glob(kept)}) == 3
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.slow
def test_a_folder_of_which_nothing_is_predicted_is_said(build_run: Callable[..., FolderRun]) -> None:
    run = build_run("png", Accepts(modalities=("MG",)))
    with pytest.raises(DataError, match=r"none of the benchmark's DICOM files was predicted.*modality': 3"):
        run.turn()


def test_the_steady_rate_leaves_the_start_out() -> None:
    found = describe(4, 10.0, {"start": 2.0, "predict": 5.0})
    assert found == {"shares": {"start": 0.2, "predict": 0.5}, "steady_images_per_second": 0.5}
