import unicodedata

import numpy as np
import pytest
from PIL import Image

from medseg.data.case import MaskSource
from medseg.data.cases import find_cases
from medseg.data.config import DataConfig
from medseg.errors import DataError

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def write_png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PICTURE).save(path)
    return path


def find(root, **settings):
    return find_cases(DataConfig(root=root, **settings))


def message_of(root, **settings):
    with pytest.raises(DataError) as caught:
        find(root, **settings)
    return str(caught.value)


def write_manifest(folder, text, files=("a.png", "b.png", "m/a.png", "m/b.png")):
    for name in files:
        write_png(folder / name)
    path = folder / "cases.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_manifest_with_all_columns(tmp_path):
    text = (
        "\ufeffimage , mask_lungs,mask_heart,patient,split,site,masked_by\r\n"
        "a.png,m/a.png,m/a.png,P1,train,north,X\r\n"
        "\r\n,,,,,,\r\n"
        f"{tmp_path}/b.png,m/b.png,m/b.png,P2,TEST,,\r\n"
    )
    found = find(write_manifest(tmp_path, text))
    assert found.classes == ("heart", "lungs")
    assert [case.id for case in found.cases] == ["a", "b"]
    assert [case.split for case in found.cases] == ["train", "test"]
    assert found.cases[0].metadata == {"site": "north", "masked_by": "X"}
    assert found.cases[1].image == tmp_path / "b.png"
    assert found.cases[0].patient != found.cases[1].patient
    assert found.cases[0].masks["lungs"] == MaskSource(tmp_path / "m" / "a.png", alone=True)


def test_manifest_of_label_maps(tmp_path):
    found = find(write_manifest(tmp_path, "image,mask\na.png,m/a.png\n"), classes=("lungs", "heart"))
    assert found.cases[0].masks["heart"].values == (2,)


def test_manifest_of_color_pairs(tmp_path):
    found = find(write_manifest(tmp_path, "image,target\na.png,m/a.png\n"), color="rgb")
    assert found.cases[0].target == tmp_path / "m" / "a.png"


def test_manifest_whose_patients_are_partly_given(tmp_path):
    text = "image,mask,patient\na.png,m/a.png,P1\nb.png,m/b.png,\n"
    first, second = find(write_manifest(tmp_path, text)).cases
    assert first.patient == "manifest\0P1"
    assert second.patient == "\0b"


def test_manifest_with_empty_split_column_names_no_split(tmp_path):
    cases = find(write_manifest(tmp_path, "image,mask,split\na.png,m/a.png,\n")).cases
    assert cases[0].split is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "image|mask\na.png|m/a.png\n",
            "found the columns ['image|mask']. A manifest needs 'image' and",
        ),
        ("picture,mask\n", "found the columns ['picture', 'mask']"),
        ("Image,mask, image\n", "found the columns ['image', 'mask', 'image']. Each column needs its own name"),
        ("image,mask\nMüller.png,a\n".encode("cp1252"), ". Save the manifest as CSV UTF-8."),
        ("image,mask\n~\0/a.png,m/a.png\n", "missing images (1):\n    ~\0/a.png"),
        ("image,mask\nimg\\c.png,m/a.png\n", "missing images (1):\n    img\\c.png"),
        ("", "found the columns []"),
        ("image,mask\n", "no images found"),
        ("image,mask,mask_lungs\n", "either 'mask' or 'mask_<class>'"),
        ("image,mask,mask\n", "Each column needs its own name"),
        (b"image,mask\n\xff\xfe.png,a\n", "not a CSV file in UTF-8"),
        ("image,mask\n" + "a" * 200_000 + ",m\n", "not a CSV file in UTF-8 (field larger than field limit"),
        ("image,mask\na.png,m/a.png,more\n", "lines without exactly 2 values (1):\n    line 2: 3 values"),
        ("image,mask\na.png\n", "lines without exactly 2 values (1):\n    line 2: 1 values"),
        ("image,mask\nc.png,m/a.png\n", "missing images (1):\n    c.png"),
        ("image,mask\na.png,m/c.png\n", "missing masks (1):\n    m/c.png"),
        ("image,mask\n,m/a.png\n", "missing images (1):\n    (empty)"),
        ("image,mask\na.png,\n", "images without a mask (1):\n    a.png"),
        ("image,mask\na.png,m/a.png\n./a.png,m/a.png\n", "names that several images share (1):\n    a"),
        ("image,mask_left lung\na.png,m/a.png\n", "invalid class names (use up to 32"),
        ("image,mask,split\na.png,m/a.png,train\nb.png,m/b.png,\n", "train, validation, test (1):\n    b: (empty)"),
        ("image,mask,split\na.png,m/a.png,vali\n", "train, validation, test (1):\n    a: vali"),
    ],
)
def test_manifest_problems(tmp_path, text, said):
    assert said in message_of(write_manifest(tmp_path, text))


def test_file_that_is_no_manifest(tmp_path):
    assert "not a CSV file in UTF-8" in message_of(write_png(tmp_path / "a.png"))


def test_equal_names_in_different_folders_get_ids_that_stay_in_one_folder(tmp_path):
    for name in ("one/IMG1.png", "two/IMG1.png", "m.png"):
        write_png(tmp_path / "set" / name)
    text = f"image,mask\none/IMG1.png,m.png\n{tmp_path}/set/two/IMG1.png,m.png\n../set/one/../m.png,m.png\n"
    found = find(write_manifest(tmp_path / "set", text))
    assert all("/" not in case.id and not case.id.startswith(".") for case in found.cases)
    assert len({case.id for case in found.cases}) == 3


LINES = [["image", "mask", "site", "split"], ["a.png", "m/a.png", "Ulm, Süd", "train"], ["b.png", "m/b.png", "", "val"]]


def write_lines(delimiter, end="\n"):
    """The lines as csv.writer of another program would: what holds the delimiter is quoted."""
    quoted = [[f'"{value}"' if delimiter in value else value for value in line] for line in LINES]
    return "".join(delimiter.join(line) + end for line in quoted)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_manifest_of_any_spreadsheet(tmp_path, delimiter, end, encoding):
    found = find(write_manifest(tmp_path, write_lines(delimiter, end).encode(encoding)))
    assert [case.image for case in found.cases] == [tmp_path / "a.png", tmp_path / "b.png"]
    assert [case.split for case in found.cases] == ["train", "validation"]
    assert found.cases[0].metadata == {"site": "Ulm, Süd"}


def test_header_decides_what_parts_columns(tmp_path):
    text = 'image;mask;"site, city; ward"\na.png;m/a.png;"a;b,c,d"\n'
    assert find(write_manifest(tmp_path, text)).cases[0].metadata == {"site, city; ward": "a;b,c,d"}


def test_columns_in_any_case_and_with_blanks(tmp_path):
    found = find(write_manifest(tmp_path, " Image ,MASK_Lungs, Patient,SPLIT,Site\na.png,m/a.png,P1,Test,X\n"))
    assert found.classes == ("Lungs",)
    assert (found.cases[0].patient, found.cases[0].split) == ("manifest\0P1", "test")
    assert found.cases[0].metadata == {"Site": "X"}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *(("train", "train"), ("Training", "train"), ("val", "validation"), ("VALID", "validation")),
        *(("validation", "validation"), ("Test", "test"), ("testing", "test")),
    ],
)
def test_names_of_splits(tmp_path, said, meant):
    assert find(write_manifest(tmp_path, f"image,mask,split\na.png,m/a.png,{said}\n")).cases[0].split == meant


@pytest.mark.parametrize("before", ["sep=;\r\n", '"sep=;"\n', "\n \n", "\ufeffsep=;\n\n"])
def test_lines_before_the_header(tmp_path, before):
    text = f'{before}image; "mask"; split\na.png; "m/a.png"; train\nb.png;;\n'
    (case,) = find(write_manifest(tmp_path, text.replace("b.png;;\n", ""))).cases
    assert (case.masks["foreground"].path, case.split) == (tmp_path / "m" / "a.png", "train")
    line = 4 + text[: text.index("image")].count("\n") - 1
    assert f"line {line}: 2" in message_of(write_manifest(tmp_path, text.replace("b.png;;", "b.png;")))


def test_mask_that_a_program_writes_as_nothing_is_none(tmp_path):
    text = "image,mask_lungs,mask_heart\na.png,m/a.png,nan\nb.png,m/b.png,m/b.png\n"
    first, second = find(write_manifest(tmp_path, text), missing="ignore").cases
    assert (set(first.masks), set(second.masks)) == ({"lungs"}, {"lungs", "heart"})


@pytest.mark.parametrize("nobody", ["", "nan", "NaN", "NaT", "None", "NA", "N/A", "#N/A", "null", "<NA>"])
def test_patient_that_is_nobody(tmp_path, nobody):
    text = f"image,mask,patient\na.png,m/a.png,{nobody}\nb.png,m/b.png,{nobody}\n"
    assert [case.patient for case in find(write_manifest(tmp_path, text)).cases] == ["\0a", "\0b"]


def test_split_column_of_nothing_names_no_split(tmp_path):
    assert find(write_manifest(tmp_path, "image,mask,split\na.png,m/a.png,nan\n")).cases[0].split is None


def test_backslashes_are_slashes_unless_a_file_has_them(tmp_path):
    text = "image,mask\n.\\img\\a.png,m\\a.png\nodd\\b.png,m\\b.png\n"
    path = write_manifest(tmp_path, text, ("img/a.png", "m/a.png", "m/b.png", "odd\\b.png", "odd/b.png"))
    first, second = find(path).cases
    assert (first.id, first.image) == ("a", tmp_path / "img" / "a.png")
    assert second.image == tmp_path / "odd\\b.png"


def test_equal_names_below_backslashes_get_ids_of_their_folders(tmp_path):
    text = "image,mask\none\\a.png,m\\a.png\ntwo\\a.png,m\\a.png\n"
    found = find(write_manifest(tmp_path, text, ("one/a.png", "two/a.png", "m/a.png")))
    assert [case.id for case in found.cases] == ["one_a", "two_a"]


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_the_other_normalization(tmp_path, written, stored):
    name = unicodedata.normalize(stored, "Müller.png")
    text = unicodedata.normalize(written, "image,mask\nMüller.png,m/Müller.png\n")
    (case,) = find(write_manifest(tmp_path, text, (name, f"m/{name}"))).cases
    assert (case.id, case.image.name) == (unicodedata.normalize("NFC", "Müller"), name)


@pytest.mark.parametrize(("written", "stored"), [("a.PNG", "a.png"), ("a.png", "a.PNG"), ("A.Nii.GZ", "A.nii.gz")])
def test_extension_in_other_letters(tmp_path, written, stored):
    (tmp_path / stored).write_bytes(b"")
    assert find(write_manifest(tmp_path, f"image,mask\n{written},{written}\n", ())).cases[0].image == tmp_path / stored


def test_empty_columns_at_the_end(tmp_path):
    (case,) = find(write_manifest(tmp_path, "image;mask;;\na.png;m/a.png;;\n;;;\n")).cases
    assert case.metadata == {}


def test_home_folder_in_a_manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_png(tmp_path / "home" / "a.png")
    assert find(write_manifest(tmp_path, "image,mask\n~/a.png,m/a.png\n")).cases[0].image == tmp_path / "home" / "a.png"


def test_a_colored_file_in_the_column_of_a_class_without_a_color(tmp_path):
    root = write_manifest(tmp_path, "image,mask_lungs,mask_heart\na.png,m.png,m.png\n")
    colored = Image.fromarray(np.full((8, 8, 3), (255, 0, 0), np.uint8))
    colors = {"lungs": "#ff0000", "background": "#00ff00"}
    for mask in (colored, colored.quantize()):
        mask.save(tmp_path / "m.png")
        message = message_of(root, classes=("lungs", "heart"), colors=colors)
        assert message == f"{tmp_path / 'm.png'}: is in color, but data.colors has no color of heart. Add its color"
    colored.convert("L").save(tmp_path / "m.png")
    assert not find(root, classes=("lungs", "heart"), colors=colors).cases[0].masks["heart"].as_colors
