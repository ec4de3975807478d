import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.annotations import FORMATS
from medseg.data.cases import find_cases, list_cases
from medseg.data.config import DataSetConfig
from medseg.data.findings import Findings
from medseg.data.layouts.archive import open_data
from medseg.errors import ArchiveError, DataError
from medseg.radiograph import read_radiograph
from tests.support.annotation_files import LABELS, make_images
from tests.support.archives import ENDINGS, encrypt, list_files, write_archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images with masks of two classes."""
    root = tmp_path / "in"
    for place in ("images", "masks/heart", "masks/lungs"):
        (root / place).mkdir(parents=True)
        for name in "abc":
            pixels = np.zeros((16, 16), np.uint8)
            pixels[4:9, 4:9] = 255
            Image.fromarray(pixels).save(root / place / f"{name}.png")
    return root


def pack(folder: Path, name: str = "DATA.zip", before: str = "") -> Path:
    return write_archive(folder.parent / name, {before + path: data for path, data in list_files(folder).items()})


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("before", ["", "./", "DATA/", "deep/DATA/"])
def test_cases_are_those_of_the_folder(folder: Path, ending: str, before: str) -> None:
    expected = find_cases(DataSetConfig(root=folder))
    with open_data(DataSetConfig(root=pack(folder, f"a{ending}", before))) as data:
        found = find_cases(data)
        assert found.classes == expected.classes
        assert [(case.id, case.patient, case.split) for case in found.cases] == [
            (case.id, case.patient, case.split) for case in expected.cases
        ]
        pairs = zip(found.cases, expected.cases, strict=True)
        assert all(case.image.read_bytes() == other.image.read_bytes() for case, other in pairs)


def test_a_folder_stays_as_it_is(folder: Path) -> None:
    config = DataSetConfig(root=folder)
    with open_data(config) as data:
        assert data is config
    with open_data(DataSetConfig()) as data:
        assert data.root is None


def test_splits_at_the_top_are_no_folder_around_the_data(folder: Path) -> None:
    root = folder.rename(folder.parent / "train")
    with open_data(DataSetConfig(root=pack(root, before="train/"))) as data:
        assert data.root is not None
        assert [path.name for path in data.root.iterdir()] == ["train"]
        assert len(find_cases(data).cases) == 3


def test_the_manifest_counts_if_there_is_one(folder: Path) -> None:
    (folder / "cases.csv").write_text(
        "image,mask_heart,patient,split\nimages/a.png,masks/heart/a.png,P,test\nimages/b.png,masks/heart/b.png,P,test\n"
    )
    (folder / "notes.csv").write_text("name,value\n")
    with open_data(DataSetConfig(root=pack(folder, before="DATA/"))) as data:
        found = find_cases(data)
    assert [(case.id, case.patient, case.split) for case in found.cases] == [
        (name, "manifest\0P", "test") for name in "ab"
    ]
    (folder / "more.csv").write_bytes((folder / "cases.csv").read_bytes())
    with open_data(DataSetConfig(root=pack(folder))) as data:
        assert len(find_cases(data).cases) == 3


def test_annotation_files(tmp_path: Path) -> None:
    drawn = make_images(outlined=False)
    for image in drawn:
        (tmp_path / "in" / image.name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "in" / image.name)
    FORMATS["coco"].write(tmp_path / "in", drawn, LABELS)
    with open_data(DataSetConfig(root=pack(tmp_path / "in"))) as data:
        found = list_cases(data, Findings())
    assert [case.id for case in found.cases] == [Path(image.name).stem for image in drawn]
    assert all(mask.drawn is not None for case in found.cases for mask in case.masks.values())


def test_messages_name_files_in_the_archive(folder: Path) -> None:
    (folder / "images" / "a.png").write_bytes(b"")
    (folder / "masks" / "heart" / "c.png").unlink()
    path = pack(folder)
    with open_data(DataSetConfig(root=path)) as data:
        with pytest.raises(DataError, match=f"^{path}/images/a.png: is empty"):
            read_radiograph(find_cases(data.model_copy(update={"missing": "ignore"})).cases[0].image)
        with pytest.raises(DataError, match=f"^{path}: this data set cannot be used"):
            find_cases(data)


def test_faults_of_the_archive_are_errors_of_the_data(folder: Path) -> None:
    path = encrypt(pack(folder), "images/b.png")
    refused = pytest.raises(ArchiveError, match=f"^{path}/images/b.png: is encrypted")
    with refused, open_data(DataSetConfig(root=path)):
        pass


def test_an_archive_without_a_data_set(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.zip", {"notes.txt": b""})
    with open_data(DataSetConfig(root=path)) as data, pytest.raises(DataError, match=f"^{path}: not a CSV manifest"):
        list_cases(data, Findings())


@pytest.mark.parametrize("written", ["/etc/hostname", "../../outside.png", "{outside}"])
@pytest.mark.parametrize("column", ["image", "mask"])
def test_a_manifest_names_no_file_outside_of_the_archive(folder: Path, column: str, written: str) -> None:
    outside = (folder / "images" / "a.png").rename(folder.parent / "outside.png")
    written = written.format(outside=outside)
    row = {"image": "images/b.png", "mask": "masks/heart/b.png", column: written}
    (folder / "cases.csv").write_text(f"image,mask\nimages/c.png,masks/heart/c.png\n{row['image']},{row['mask']}\n")
    path = pack(folder, before="DATA/")
    refused = pytest.raises(ArchiveError, match=f"^{path}: names the file {written}, which is not in the archive")
    with open_data(DataSetConfig(root=path)) as data, refused:
        list_cases(data, Findings())


def test_annotations_name_no_file_outside_of_the_archive(tmp_path: Path) -> None:
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "outside.png")
    points = [[1, 1], [9, 1], [9, 9]]
    shape = {"label": "heart", "points": points, "shape_type": "polygon"}
    drawn = {"version": "5", "imagePath": str(tmp_path / "outside.png"), "shapes": [shape]}
    drawn |= {"imageHeight": 16, "imageWidth": 16, "imageData": None, "flags": {}}
    path = write_archive(tmp_path / "a.zip", {"a.json": json.dumps(drawn).encode(), "b.json": b"{}"})
    refused = pytest.raises(ArchiveError, match=f"^{path}: names the file {tmp_path}/outside.png, which is not")
    with open_data(DataSetConfig(root=path)) as data, refused:
        list_cases(data, Findings())


@pytest.mark.parametrize("name", ["README.txt", "readme.MD"])
def test_texts_beside_the_folder_of_the_data(folder: Path, name: str) -> None:
    path = write_archive(folder.parent / "a.zip", {f"DATA/{p}": c for p, c in list_files(folder).items()} | {name: b""})
    with open_data(DataSetConfig(root=path)) as data:
        assert len(find_cases(data).cases) == 3


def test_an_archive_in_an_archive_is_named(folder: Path) -> None:
    inner = pack(folder).read_bytes()
    path = write_archive(folder.parent / "a.zip", {"out/inner.zip": inner, "out/README.txt": b""})
    refused = pytest.raises(ArchiveError, match=f"^{path}/out/inner.zip: is an archive inside an archive. Unpack")
    with refused, open_data(DataSetConfig(root=path)):
        pass


@pytest.mark.parametrize("before", ["", "DATA/"])
def test_the_folder_of_the_only_image_is_no_folder_around_the_data(folder: Path, before: str) -> None:
    content = (folder / "images" / "a.png").read_bytes()
    names = ("images/case1.png", "masks/m1.png", "masks/m2.png")
    path = write_archive(folder.parent / "a.zip", {f"{before}case1/{name}": content for name in names})
    with open_data(DataSetConfig(root=path)) as data:
        (case,) = find_cases(data).cases
    assert (case.id, len(case.masks["foreground"].others)) == ("case1", 1)


def test_a_single_image_with_folders_of_classes_is_no_case_folder(folder: Path) -> None:
    kept = {f"DATA/{path}": content for path, content in list_files(folder).items() if path.endswith("a.png")}
    with open_data(DataSetConfig(root=write_archive(folder.parent / "a.zip", kept))) as data:
        assert find_cases(data).classes == ("heart", "lungs")
