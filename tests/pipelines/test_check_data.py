"""The command in a process of its own: exit codes and files; and that training refuses what it calls an error."""

import json
import os
import shutil
from pathlib import Path

import pytest

from medseg.data.rules import RULES, SEVERITIES
from medseg.errors import DataError
from medseg.notice import RESEARCH_USE
from pipelines import check_data, train_xray
from tests.support.planted_faults import (
    change_images,
    change_masks,
    copy_image,
    remove_masks,
    write_bytes,
    write_chests,
    write_manifest,
)
from tests.support.processes import ROOT, run_forked, run_fresh


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write_chests(tmp_path_factory.mktemp("chests"))


@pytest.fixture
def chests(clean, tmp_path):
    return Path(shutil.copytree(clean, tmp_path / "chests"))


@pytest.mark.slow
def test_sound_data(clean, tmp_path):
    done = run_fresh("pipelines.check_data", f"data.root={clean}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert "24 of 24 cases read" in done.stdout
    assert "errors 0, warnings 0" in done.stdout
    assert str(tmp_path / "out" / "check.html") in done.stdout
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    assert [finding for finding in report["findings"] if finding["severity"] != "info"] == []
    assert report["cases"] == report["read"] == 24


@pytest.mark.parametrize("recipe", ["chest_xray", "article_xray"])
def test_the_recipe_of_the_training_to_come(recipe, clean, tmp_path):
    path = ROOT / "configs" / f"{recipe}.yaml"
    assert check_data.main([str(path), f"data.root={clean}", f"output.dir={tmp_path / 'out'}"]) == 0


@pytest.mark.slow
def test_faults(chests, tmp_path):
    planted = {
        "unreadable": write_bytes("images/chest03.png", b"no picture", "chest03")(chests),
        "image_without_mask": remove_masks(5)(chests),
        "empty_mask": change_masks(lambda mask: mask * 0, 7, classes=["heart"])(chests),
    }
    done = run_forked("pipelines.check_data", f"data.root={chests}", f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    found = {finding["code"]: finding for finding in report["findings"]}
    for code, cases in planted.items():
        assert found[code] == {
            "code": code,
            "severity": RULES[code].severity,
            "cases": list(cases),
            "remedy": RULES[code].remedy,
        }
    assert [finding["severity"] for finding in report["findings"]] == sorted(
        (finding["severity"] for finding in report["findings"]), key=SEVERITIES.index
    )
    assert "images/chest03.png: is not a readable PNG file" in report["reasons"]["unreadable"]["chest03"]
    assert report["counts"]["error"] == 2
    assert report["research_use"] == RESEARCH_USE
    for line in ("severity  code", "error     unreadable", "warning   empty_mask"):
        assert line in done.stdout
    assert "chest03" in (tmp_path / "out" / "check.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "data.root: required"),
        (["data.root=/nowhere"], "no such file or folder"),
        (["data.rot=."], "did you mean 'data.root'"),
        (["data.root=EMPTY"], "not a folder with images/"),
    ],
)
def test_what_cannot_start_ends_with_2(arguments, named, tmp_path):
    given = [word.replace("EMPTY", str(tmp_path)) for word in arguments]
    done = run_forked("pipelines.check_data", *given, f"output.dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_file_names_of_any_kind(chests, tmp_path, capsys):
    name = "<script>alert(1)<script>"
    for path in chests.rglob("chest05.png"):
        path.rename(path.with_name(f"{name}.png"))
    for path in chests.rglob("chest06.png"):
        path.rename(path.with_name(os.fsdecode(b"r\xf6ntgen.png")))
    write_bytes("images/chest07.png", b"")(chests)
    (chests / "images" / f"{name}.png").write_bytes(b"")
    assert check_data.main([f"data.root={chests}", f"output.dir={tmp_path / 'out'}"]) == 1
    page = (tmp_path / "out" / "check.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    assert report["findings"][0]["cases"] == [name, "chest07"]


def test_patients_are_named_nowhere(tmp_path, capsys):
    from medseg.phantom.dicom import write_phantoms
    from tests.support.planted_faults import change_dicom

    root = write_phantoms(tmp_path / "data", 12, 64, 0)
    for number in range(12):
        change_dicom(number, PatientID=f"SECRET{number % 6}", PatientName="SECRET^NAME")(root)
    (root / "images" / "phantom-0003.dcm").write_bytes(b"")
    check_data.main([f"data.root={root}", f"output.dir={tmp_path / 'out'}"])
    printed = capsys.readouterr()
    texts = [path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".html")]
    for text in (*texts, printed.out, printed.err):
        assert "SECRET" not in text.upper()


FATAL = {
    "unreadable": write_bytes("images/chest03.png", b"no picture"),
    "no_content": change_images(lambda picture: picture * 0 + 7, 5),
    "image_without_mask": remove_masks(2),
    "class_missing": remove_masks(7, classes=["heart"]),
    "mask_without_image": write_bytes("masks/lungs/ghost.png", b""),
    "size_mismatch": change_masks(lambda mask: mask[:100], 9),
    "layout": write_bytes("images/chest10.jpg", b""),
    "class_empty": change_masks(lambda mask: mask * 0, *range(24), classes=["heart"]),
    "copies_across_splits": copy_image(0, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("code", FATAL)
def test_training_refuses_with_the_same_words(code, chests, tmp_path):
    FATAL[code](chests)
    root = write_manifest(chests, ["train", "test", "validation"]) if code == "copies_across_splits" else chests
    arguments = [f"data.root={root}", f"output.dir={tmp_path / 'out'}", "preprocess.size=[128,128]"]
    assert check_data.main(arguments) == 1
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    (finding,) = (finding for finding in report["findings"] if finding["severity"] == "error")
    assert finding["code"] == code
    with pytest.raises(DataError) as refused:
        train_xray.main([*arguments, "model.width=4", "model.depth=2"])
    assert finding["remedy"] in str(refused.value)
    for reason in list(report["reasons"][code].values())[:10]:
        for words in reason.rsplit(": ", 1):
            assert words in str(refused.value)
