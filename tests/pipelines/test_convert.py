"""The command: what it prints, what it refuses, and what a training makes of its results."""

import json
import shutil
from typing import get_args

import pytest
from PIL import Image

from medseg.annotations import FORMATS, AnnotatedImage
from medseg.commands.convert import ConvertOutputConfig
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.errors import ConfigError, DataError
from pipelines import convert, cross_validate, evaluate_xray, quantize_xray
from tests.support.evaluated_models import write_shapes_model
from tests.support.shape_images import write_png_folder


def run(*words):
    return convert.main([str(word) for word in words])


def test_a_team_can_leave_and_come_back(tmp_path, capsys):
    root = write_png_folder(tmp_path / "data", 6)
    for number, format in enumerate(["coco", "cvat", "folder"]):
        folder = tmp_path / str(number)
        assert run(f"data.root={root}", f"output.dir={folder}", f"output.format={format}") == 0
        place = folder / "cases.csv" if format == "folder" else folder
        told = f"6 images are written, with their masks in the format {format}.\nTo use them, set data.root={place}"
        assert told in capsys.readouterr().out
        root = folder
    for name in ("box", "disc"):
        for path in sorted((root / "masks" / name).iterdir()):
            with Image.open(path) as new, Image.open(tmp_path / "data" / "masks" / name / path.name) as old:
                assert new.convert("1").tobytes() == old.convert("1").tobytes()


def test_the_source_and_other_files_are_left_alone(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    for folder in (root, root / "coco", tmp_path / "full"):
        with pytest.raises(ConfigError, match="or already has files"):
            run(f"data.root={root}", f"output.dir={folder}", "output.format=coco")
    with pytest.raises(ConfigError, match=r"data\.color=rgb"):
        run(f"data.root={root}", f"output.dir={tmp_path / 'out'}", "output.format=coco", "data.color=rgb")


def test_splits_that_are_lost_are_named(tmp_path, capsys):
    root = write_png_folder(tmp_path / "data", 3)
    rows = [f"images/case0{i}.png,masks/box/case0{i}.png,{split}" for i, split in enumerate(["train", "val", "test"])]
    (root / "cases.csv").write_text("\n".join(["image,mask_box,split", *rows]))
    words = f"data.root={root / 'cases.csv'}", f"output.dir={tmp_path / 'out'}"
    assert run(*words, "output.format=coco") == 0
    assert "their splits are not written" in capsys.readouterr().out
    assert run(words[0], f"output.dir={tmp_path / 'folder'}", "output.format=folder") == 0
    assert "their splits" not in capsys.readouterr().out
    found = find_cases(DataConfig(root=tmp_path / "folder" / "cases.csv"))
    assert [case.split for case in found.cases] == ["train", "validation", "test"]


@pytest.fixture
def drawn(tmp_path):
    """A data set whose masks a model drew."""
    root = write_png_folder(tmp_path / "data", 3)
    images = [AnnotatedImage(f"case0{i}.png", (48, 40), made_by="1a2b") for i in range(3)]
    shutil.copytree(root / "images", tmp_path / "drawn" / "images")
    FORMATS["coco"].write(tmp_path / "drawn", images, ("box", "disc"))
    return tmp_path / "drawn"


def test_what_a_model_drew_stays_marked(drawn, tmp_path):
    with pytest.raises(DataError, match="masks that a model drew"):
        run(f"data.root={drawn}", f"output.dir={tmp_path / 'a'}", "output.format=folder")
    run(f"data.root={drawn}", f"output.dir={tmp_path / 'b'}", "output.format=cvat")
    assert {case.made_by for case in find_cases(DataConfig(root=tmp_path / "b")).cases} == {"1a2b"}


def test_what_a_model_drew_is_no_reference(drawn, tmp_path):
    model = write_shapes_model(tmp_path / "a.pt")
    words = f"data.root={drawn}", f"output.dir={tmp_path / 'out'}", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"
    for command, own in (
        (cross_validate, ("split.folds=3",)),
        (quantize_xray, (f"model={model}",)),
        (evaluate_xray, (f"model={model}",)),
    ):
        with pytest.raises(DataError, match="masks that a model drew"):
            command.main([*words, *own])


def test_files_of_labelme_lie_beside_their_images(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    run(f"data.root={root}", f"output.dir={tmp_path / 'out'}", "output.format=labelme")
    assert json.loads((tmp_path / "out" / "images" / "case00.json").read_text())["imagePath"] == "case00.png"


def test_every_format_that_can_be_written_is_offered():
    offered = get_args(ConvertOutputConfig.model_fields["format"].annotation)
    assert offered == ("folder", *(name for name, format in FORMATS.items() if format.dump))
