import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.data.case import Case, MaskSource, as_text, case_id
from medseg.data.cases import check_patients, count_sites, find_cases, list_cases, name_layout
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.errors import DataError
from tests.support.dicom_files import write_dicom

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def write_png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(path)
    return path


def write_set(root, names, classes=("heart", "lungs")):
    for name in names:
        write_png(root / "images" / f"{name}.png")
        for label in classes:
            write_png(root / "masks" / label / f"{name}.png")
    return root


def message_of(root, **settings):
    with pytest.raises(DataError) as caught:
        find_cases(DataConfig(root=root, **settings))
    return str(caught.value)


def test_cases_are_ordered_by_id_with_their_masks(tmp_path):
    found = find_cases(DataConfig(root=write_set(tmp_path, ["b", "a.b", "c"])))
    assert [case.id for case in found.cases] == ["a.b", "b", "c"]
    assert found.classes == ("heart", "lungs")
    assert found.cases[0].masks["lungs"] == MaskSource(tmp_path / "masks" / "lungs" / "a.b.png", alone=True)


def test_classes_are_those_asked_for_in_their_order(tmp_path):
    found = find_cases(DataConfig(root=write_set(tmp_path, "a"), classes=("lungs",)))
    assert found.classes == ("lungs",)
    assert set(found.cases[0].masks) == {"lungs"}
    assert find_cases(DataConfig(root=tmp_path, classes=("lungs", "heart"))).classes == ("lungs", "heart")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "a"),
        ("a.b.nii.gz", "a.b"),
        ("1.2.840.113619.2.5", "1.2.840.113619.2.5"),
        ("1.2.840.5.dcm", "1.2.840.5"),
        ("x.seg.nrrd", "x"),
        ("IMG0001", "IMG0001"),
        ("A.JPEG", "A"),
        ("JPCLN001.IMG", "JPCLN001"),
        ("JPCLN001.gif", "JPCLN001"),
        ("png", "png"),
        ("v1.5", "v1.5"),
    ],
)
def test_id_is_the_name_without_a_known_extension(name, expected):
    assert case_id(Path("folder.png") / name) == expected


def test_name_that_is_no_utf8(tmp_path):
    name = os.fsdecode(b"r\xf6ntgen")
    root = write_set(tmp_path, [name])
    (case,) = find_cases(DataConfig(root=root)).cases
    assert case.id == r"r\udcf6ntgen"
    assert case.image.is_file()
    (root / "masks" / "lungs" / f"{name}.png").unlink()
    assert "r\\udcf6ntgen.png" in message_of(root)
    as_text(name).encode()


def test_all_problems_in_one_message(tmp_path):
    root = write_set(tmp_path, [f"case{number:02d}" for number in range(14)])
    for number in range(12):
        (root / "masks" / "heart" / f"case{number:02d}.png").unlink()
    for label in ("heart", "lungs"):
        (root / "masks" / label / "case12.png").unlink()
    write_png(root / "masks" / "lungs" / "ghost.png")
    write_png(root / "images" / "case13.jpg")
    message = message_of(root)
    assert message.splitlines()[0] == f"{root}: this data set cannot be used because of these errors"
    assert "images without the class heart (12):\n    case00.png\n" in message
    assert "case09.png\n    and 2 more" in message
    assert "case10.png" not in message
    assert "images without a mask (1):\n    case12.png" in message
    assert "masks of lungs without an image (1):\n    ghost.png" in message
    assert "files whose names differ only in their extension (1):\n    case13.jpg, case13.png" in message


def test_missing_class_is_left_out_on_demand_but_not_all_of_them(tmp_path):
    root = write_set(tmp_path, "ab")
    (root / "masks" / "heart" / "a.png").unlink()
    found = find_cases(DataConfig(root=root, missing="ignore"))
    assert set(found.cases[0].masks) == {"lungs"}
    (root / "masks" / "lungs" / "a.png").unlink()
    assert "images without a mask (1):\n    a.png" in message_of(root, missing="ignore")


def test_list_goes_on_past_what_is_wrong(tmp_path):
    root = write_set(tmp_path, "abc")
    for label in ("heart", "lungs"):
        (root / "masks" / label / "a.png").unlink()
    (root / "masks" / "heart" / "b.png").unlink()
    findings = Findings(root)
    found = list_cases(DataConfig(root=root), findings)
    assert [case.id for case in found.cases] == ["a", "b", "c"]
    assert [(f.code, f.severity, f.cases) for f in findings.listed()] == [
        ("image_without_mask", "error", ("a",)),
        ("class_missing", "error", ("b",)),
    ]


def test_unknown_class(tmp_path):
    assert "unknown classes; this data set has heart, lungs (1):\n    liver" in message_of(
        write_set(tmp_path, "a"), classes=("lungs", "liver")
    )


def test_folder_whose_name_is_no_class_name(tmp_path):
    write_set(tmp_path, "a", classes=("lungs", "linke lunge", "x" * 33))
    message = message_of(tmp_path)
    assert "invalid class names (use up to 32 letters, digits, _ or -; not ending in _ci95) (2):" in message
    assert "linke lunge" in message


def test_class_whose_name_an_interval_has(tmp_path):
    assert "not ending in _ci95) (1):\n    a_ci95" in message_of(write_set(tmp_path, "a", classes=("a", "a_ci95")))


def test_class_named_twice(tmp_path):
    assert "classes that are listed twice (1):\n    lungs" in message_of(
        write_set(tmp_path, "a"), classes=("lungs", "lungs")
    )


@pytest.mark.parametrize("litter", [".DS_Store", "Thumbs.db", ".ipynb_checkpoints/a.png", "__MACOSX/a.png"])
def test_litter_is_passed_over(tmp_path, litter):
    root = write_set(tmp_path, "a")
    for folder in ("images", "masks", "masks/lungs"):
        (root / folder / litter).parent.mkdir(exist_ok=True)
        (root / folder / litter).write_bytes(b"x")
    assert len(find_cases(DataConfig(root=root)).cases) == 1


def test_empty_folders(tmp_path):
    assert "not an annotation file, and not a folder with images/ or dataset.json" in message_of(tmp_path)
    (tmp_path / "images").mkdir()
    assert "images: no images found" in message_of(tmp_path)
    write_png(tmp_path / "images" / "patient1" / "a.png")
    assert "Put the images into this folder, not into subfolders." in message_of(tmp_path)
    write_png(tmp_path / "images" / "a.png")
    assert message_of(tmp_path) == f"{tmp_path}: no folder masks/ beside images/"
    (tmp_path / "masks").mkdir()
    assert "images without a mask (1):\n    a.png" in message_of(tmp_path)


def test_no_root():
    with pytest.raises(DataError, match=r"data\.root is not set"):
        find_cases(DataConfig())


def test_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    root = write_set(tmp_path, "a")
    listed = Path.iterdir

    def refuse(path):
        if path.name == "images":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert message_of(root) == f"{root}/images: cannot be read (Permission denied)"


def test_patient_is_the_dicom_id_with_its_issuer(tmp_path):
    for name, tags in {
        "a": {"PatientID": "7", "IssuerOfPatientID": "NORTH"},
        "b": {"PatientID": "7", "IssuerOfPatientID": "SOUTH"},
        "c": {"PatientID": "7 ", "IssuerOfPatientID": "NORTH"},
    }.items():
        (tmp_path / "images").mkdir(exist_ok=True)
        write_dicom(tmp_path / "images" / f"{name}.dcm", **tags)
        write_png(tmp_path / "masks" / "lungs" / f"{name}.png")
    first, second, third = (case.patient for case in find_cases(DataConfig(root=tmp_path)).cases)
    assert first == third != second


def test_patients_are_the_same_whether_the_manifest_or_the_file_names_them(tmp_path):
    for name, identifier in {"a": "7", "b": "7", "c": "9", "d": "8", "e": "ANON", "f": "ANON"}.items():
        write_dicom(tmp_path / f"{name}.dcm", PatientID=identifier)
        write_png(tmp_path / f"{name}_mask.png")
    write_png(tmp_path / "g.png")
    write_png(tmp_path / "g_mask.png")
    given = {"a": "Anna", "e": "Emil", "g": "8"}  # b is Anna by its PatientID, d is g's patient
    lines = [f"{n}.{'png' if n == 'g' else 'dcm'},{n}_mask.png,{given.get(n, '')}\n" for n in "abcdefg"]
    (tmp_path / "set.csv").write_text("image,mask_lungs,patient\n" + "".join(lines))
    a, b, c, d, e, f, g = (case.patient for case in find_cases(DataConfig(root=tmp_path / "set.csv")).cases)
    assert (a, d) == (b, g)
    assert len({a, c, d, e, f}) == 5


def test_picture_of_a_nameless_patient_is_its_own(tmp_path):
    first, second = find_cases(DataConfig(root=write_set(tmp_path, "ab"))).cases
    assert first.patient != second.patient
    assert "patient" not in repr(first)


def test_dicom_whose_id_is_the_file_name_groups_as_png(tmp_path):
    write_set(tmp_path / "png", ["a1"])
    write_set(tmp_path / "dicom", ["a1"])
    (tmp_path / "dicom" / "images" / "a1.png").unlink()
    write_dicom(tmp_path / "dicom" / "images" / "a1.dcm", PatientID="a1")
    patients = {find_cases(DataConfig(root=tmp_path / kind)).cases[0].patient for kind in ("png", "dicom")}
    assert len(patients) == 1


def placeholders_among(cases):
    findings = Findings()
    check_patients(cases, findings)
    return findings.cases("placeholder_patients")


@pytest.mark.parametrize(
    "patient",
    ["", " ", "ANONYMOUS", "anon", "Anonymized", "unknown", "000000", "XXX", "n/a", "-", "___", "NO ID", "none"],
)
def test_placeholder_that_many_share_stops(patient):
    cases = [Case(name, Path(name), {}, f"issuer\0{patient}") for name in "ab"]
    assert placeholders_among(cases) == {"a", "b"}
    assert placeholders_among(cases[:1]) == set()


@pytest.mark.parametrize("patient", ["ANON0017", "anon-3", "P1", "1", "100", "Unknown7", "test12", "Noel"])
def test_pseudonym_is_no_placeholder(patient):
    assert placeholders_among([Case(name, Path(name), {}, f"\0{patient}") for name in "ab"]) == set()


def test_layouts_are_named(tmp_path):
    folder = write_set(tmp_path / "folder", ["a"])
    assert name_layout(folder, find_cases(DataConfig(root=folder)).cases) == "folders of images and masks"
    manifest = folder / "cases.csv"
    manifest.write_text("image,mask_lungs\nimages/a.png,masks/lungs/a.png\n")
    assert name_layout(manifest, find_cases(DataConfig(root=manifest)).cases) == "CSV manifest"
    objects = tmp_path / "objects"
    for name in ("images/a.png", "masks/1.png"):
        write_png(objects / "a" / name)
    assert name_layout(objects, find_cases(DataConfig(root=objects)).cases) == "a folder for each image"


def test_sites_are_counted_and_a_name_that_occurs_once_is_not_told():
    def case(name, **columns):
        return Case(name, Path(name), {}, metadata=columns)

    cases = [case("a", Site="north"), case("b", Centre="north"), case("c", Site="Dr Doe"), case("d", view="PA")]
    assert count_sites(cases) == {"north": 2, "others": 1}
    assert count_sites(cases[3:]) == {}
