"""The command: what it prints, what it refuses, and what a training makes of its results."""

import json

import pytest
from PIL import Image

from medseg.errors import ConfigError
from pipelines import convert
from tests.support.shape_images import write_png_folder


def run(*words):
    return convert.main([str(word) for word in words])


def test_a_team_can_leave_and_come_back(tmp_path, capsys):
    root = write_png_folder(tmp_path / "data", 6)
    for number, format in enumerate(["coco", "cvat", "folder"]):
        folder = tmp_path / str(number)
        assert run(f"data.root={root}", f"output.dir={folder}", f"output.format={format}") == 0
        assert f"6 images with masks in the format {format}: {folder}" in capsys.readouterr().out
        root = folder
    for name in ("box", "disc"):
        for path in sorted((root / "masks" / name).iterdir()):
            with Image.open(path) as new, Image.open(tmp_path / "data" / "masks" / name / path.name) as old:
                assert new.convert("1").tobytes() == old.convert("1").tobytes()


def test_a_folder_with_images_is_not_mixed_with_others(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    with pytest.raises(ConfigError, match="images already has files"):
        run(f"data.root={root}", f"output.dir={root}", "output.format=coco")
    with pytest.raises(ConfigError, match=r"data\.color=rgb"):
        run(f"data.root={root}", f"output.dir={tmp_path / 'out'}", "output.format=coco", "data.color=rgb")


def test_files_of_labelme_lie_beside_their_images(tmp_path):
    root = write_png_folder(tmp_path / "data", 3)
    run(f"data.root={root}", f"output.dir={tmp_path / 'out'}", "output.format=labelme")
    assert json.loads((tmp_path / "out" / "images" / "case00.json").read_text())["imagePath"] == "case00.png"
