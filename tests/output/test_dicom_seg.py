"""DICOM SEG, read back by three readers and examined by dciodvfy. Names are those of PS3.5, annexes H to J."""

import hashlib
import logging
import pickle
import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.data import get_charset_files
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from medseg.errors import RadiographError, StorageError
from medseg.output.dicom_seg import Maker, build_segmentation, read_reference, write_segmentation
from medseg.radiograph.dicom.seg import read_segmentation
from tests.support.dicom_files import phantom, write_dicom

MAKER = Maker("0123456789abcdef", "fedcba9876543210", "ab" * 32, datetime(2026, 3, 4, 5, 6, 7, 890), "0.1.0")
LONG = "a-class_of-thirty-two_characters"
CLASSES = ("lungs", "left_lung", "nothing", LONG)
MASKS = np.stack([phantom(31, 29) > 500, phantom(31, 29) > 900, np.zeros((31, 29), bool), phantom(31, 29) % 2 == 0])
CR, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
SOURCES = {
    "dx": {},
    "inverse": {
        "PhotometricInterpretation": "MONOCHROME1",
        "PixelSpacing": [0.2, 0.2],
        "PresentationLUTShape": "INVERSE",
    },
    "cr": {"SOPClassUID": CR, "Modality": "CR", "ImagerPixelSpacing": None, "PatientOrientation": ["L", "F"]},
    "secondary": {"SOPClassUID": SC, "Modality": "CR", "PixelSpacing": [0.15, 0.15], "PatientOrientation": ""},
    "frame": {"FrameOfReferenceUID": "1.2.3.99", "PositionReferenceIndicator": "", "PixelSpacing": [0.2, 0.2]},
    "position": {"FrameOfReferenceUID": "1.2.3.99", "ImagePositionPatient": [0, 0, 0], "SliceThickness": None},
    "unknown class": {"SOPClassUID": "1.2.826.0.1.3680043.8.498.77", "Modality": "CR"},
    "lossy": {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10", "LossyImageCompressionMethod": None},
}
SECRETS = ("Secret", "SECRET", "19700101", "1.2.826.0.1.3680043.8.498")
CHARSETS = {Path(path).stem: Path(path) for path in get_charset_files("*.dcm")}

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of dicom3tools")


def refer(path):
    with path.open("rb") as file:
        return read_reference(file)


def reference(folder, **tags):
    return refer(write_dicom(folder / "source.dcm", phantom(31, 29), **tags))


def write_raw(path, keyword, raw, **tags):
    """A file whose attribute holds exactly these bytes."""
    write_dicom(path, phantom(31, 29), **{keyword: "#" * len(raw)}, **tags)
    data = bytearray(path.read_bytes())
    tag = pydicom.tag.Tag(keyword)
    start = data.index(struct.pack("<HH", tag.group, tag.element)) + 8
    assert data[start : start + len(raw)] == b"#" * len(raw)
    data[start : start + len(raw)] = raw
    path.write_bytes(data)
    return path


def find_errors(path):
    shown = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, errors="replace", check=False)
    lines = (shown.stderr + shown.stdout).splitlines()
    assert "Segmentation" in lines
    return [line for line in lines if line.startswith("Error")]


def check_readback(path, masks=MASKS, classes=CLASSES):
    plain = pydicom.dcmread(path)
    np.testing.assert_array_equal(plain.pixel_array.reshape(masks.shape), masks)
    segmentation = highdicom.seg.segread(path)
    source = plain.SourceImageSequence[0].ReferencedSOPInstanceUID
    pixels = segmentation.get_pixels_by_source_instance([source], assert_missing_frames_are_empty=False)
    np.testing.assert_array_equal(np.moveaxis(pixels[0], -1, 0), masks)
    ours = read_segmentation(path)
    assert ours.source_uids == {source}
    assert list(ours.masks) == list(classes)
    np.testing.assert_array_equal(np.stack(list(ours.masks.values())), masks)


@pytest.mark.slow
@pytest.mark.parametrize("tags", SOURCES.values(), ids=SOURCES)
def test_masks_are_read_back_as_they_were(tmp_path, tags):
    write_segmentation(tmp_path / "seg.dcm", reference(tmp_path, **tags), MASKS, CLASSES, MAKER)
    check_readback(tmp_path / "seg.dcm")


@pytest.mark.slow
@needs_dciodvfy
@pytest.mark.parametrize("tags", SOURCES.values(), ids=SOURCES)
def test_dciodvfy_finds_no_error(tmp_path, tags):
    write_segmentation(tmp_path / "seg.dcm", reference(tmp_path, **tags), MASKS, CLASSES, MAKER)
    assert find_errors(tmp_path / "seg.dcm") == []


@needs_dciodvfy
@pytest.mark.parametrize(
    ("masks", "classes"),
    [
        (np.zeros((2, 31, 29), bool), ("lungs", "heart")),
        (np.ones((1, 31, 29), bool), ("heart",)),
        (np.zeros((1, 16, 8), bool), ("tumour",)),
        (np.ones((3, 8, 16), bool), ("a", "b", "c")),
    ],
    ids=["all empty", "one class", "one empty class", "whole bytes"],
)
def test_empty_and_single_masks(tmp_path, masks, classes):
    write_segmentation(tmp_path / "seg.dcm", reference(tmp_path), masks, classes, MAKER)
    check_readback(tmp_path / "seg.dcm", masks, classes)
    assert find_errors(tmp_path / "seg.dcm") == []


def test_source_is_referred_to(tmp_path):
    made = build_segmentation(reference(tmp_path, **SOURCES["unknown class"]), MASKS, CLASSES, MAKER)
    series = made.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == "1.2.826.0.1.3680043.8.498.3"
    references = [*series.ReferencedInstanceSequence, *made.SourceImageSequence]
    for group in made.PerFrameFunctionalGroupsSequence:
        references += group.DerivationImageSequence[0].SourceImageSequence
    assert len(references) == 2 + len(CLASSES)
    for item in references:
        assert item.ReferencedSOPClassUID == "1.2.826.0.1.3680043.8.498.77"
        assert item.ReferencedSOPInstanceUID == "1.2.826.0.1.3680043.8.498.1"


def test_patient_and_study_are_taken_over_and_nothing_more(tmp_path):
    source = {
        "PatientName": "Yamada^Tarou^^Dr=",
        "PatientSex": "F",
        "StudyTime": "120000.5",
        "AccessionNumber": "A 12/3",
        "ReferringPhysicianName": "Doe^Jane",
        "StudyID": "S1",
    }
    more = {
        **{"IssuerOfPatientID": "XX-issuer", "OtherPatientIDs": "XX-other", "PatientAge": "045Y", "PatientWeight": 70},
        **{"PatientComments": "XX-comments", "StudyDescription": "XX-study", "SeriesDescription": "XX-series"},
        **{"InstitutionName": "XX-institution", "Manufacturer": "XX-maker", "StationName": "XX-station"},
        **{"PatientIdentityRemoved": "YES", "ClinicalTrialSubjectID": "XX-trial", "OperatorsName": "XX^operator"},
        **{"FrameOfReferenceUID": "1.2.3.99", "AcquisitionDate": "20200101", "DeviceSerialNumber": "XX-serial"},
        **{"InstanceCreationDate": "20200101", "SeriesDate": "20200101", "TimezoneOffsetFromUTC": "+0100"},
    }
    write_segmentation(tmp_path / "seg.dcm", reference(tmp_path, **source, **more), MASKS, CLASSES, MAKER)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword, value in {**source, "PatientName": "Yamada^Tarou^^Dr", "PatientID": "SECRET-ID"}.items():
        assert made[keyword].value == value
    assert (made.PatientBirthDate, made.StudyDate) == ("19700101", "20200101")
    assert made.StudyInstanceUID == "1.2.826.0.1.3680043.8.498.2"
    taken = (set(source) | set(more)) & {element.keyword for element in made}
    assert taken - set(source) == {"Manufacturer", "SeriesDescription", "DeviceSerialNumber"}
    assert b"XX" not in (tmp_path / "seg.dcm").read_bytes()
    assert {element.keyword for element in made if element.tag.group == 0x10} == {
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
    }


@pytest.mark.slow
@needs_dciodvfy
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chrH31", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrI2", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1", "Wang^XiaoDong=王^小東"),
        ("chrX2", "Wang^XiaoDong=王^小东"),
        ("chrJapMulti", "やまだ^たろう"),
        ("chrKoreanMulti", "김희중"),
        ("chrFrenMulti", "Buc^Jérôme"),
        ("chrGerm", "Äneas^Rüdiger"),
        ("chrGreek", "Διονυσιος"),
        ("chrHbrw", "שרון^דבורה"),
        ("chrRuss", "Люкceмбypг"),  # noqa: RUF001
        ("chrArab", "قباني^لنزار"),
    ],
)
def test_every_character_set_becomes_utf8(tmp_path, name, expected):
    found = refer(CHARSETS[name])
    assert found.warnings == ()
    write_segmentation(tmp_path / "seg.dcm", found, MASKS, CLASSES, MAKER)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert made.PatientName.components == tuple(expected.split("="))
    assert expected.encode() in (tmp_path / "seg.dcm").read_bytes()
    assert find_errors(tmp_path / "seg.dcm") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        ("GB18030", b"\x81\x5c-1", "乗-1"),
        (["", "ISO 2022 IR 87"], b"\x1b$B\x30\x5c\x30\x5e\x30\x3d\x1b(B-1", "移緯綾-1"),
        (["", "ISO 2022 IR 87"], b"\x1b$B\x30\x5c\x1b(J-1", "移-1"),
        (["ISO 2022 IR 6", "ISO 2022 IR 58"], b"\x1b$)A\xd5\xc5-1", "张-1"),
        (["ISO 2022 IR 100", "ISO 2022 IR 126"], b"\xe9-\x1b-F\xe1\xe2", "é-αβ"),
        ("ISO-IR_100", b"\xe9-1", "é-1"),
    ],
    ids=["backslash in a character", "delimiters in characters", "roman", "chinese", "greek", "misspelt"],
)
def test_characters_that_look_like_something_else(tmp_path, charset, raw, expected):
    found = refer(write_raw(tmp_path / "source.dcm", "PatientID", raw, SpecificCharacterSet=charset))
    assert found.warnings == ()
    made = build_segmentation(found, MASKS, CLASSES, MAKER)
    assert made.PatientID == expected


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        (None, b"M\xfcller^"),
        ("ISO_IR 192", b"M\xfcller^"),
        ("ISO_IR 999", b"M\xfcller^"),
        (["", "ISO 2022 IR 149"], b"\x1b$)C\xfb\xf3^\xd1\xce"),
    ],
    ids=["none", "not utf8", "unknown", "set lost at the delimiter"],
)
def test_undecodable_name_is_left_empty(tmp_path, charset, raw):
    found = refer(write_raw(tmp_path / "source.dcm", "PatientName", raw, SpecificCharacterSet=charset))
    assert found.warnings == ("PatientName cannot be decoded with SpecificCharacterSet and was left empty in the SEG",)
    assert build_segmentation(found, MASKS, CLASSES, MAKER).PatientName == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "raw"),
    [
        ("PatientName", b"A^" + b"x" * 63),
        ("PatientName", b"A=B=C=D"),
        ("PatientName", b"A^B^C^D^E^F"),
        ("PatientName", b"A\\B"),
        ("PatientName", b"A\tB"),
        ("ReferringPhysicianName", b"A\x1b%Z"),
        ("PatientID", b"x" * 65),
        ("PatientID", b"12\n34"),
        ("PatientID", b"12\\34"),
        ("PatientBirthDate", b"f4a8c1d2"),
        ("PatientBirthDate", b"1970.01.01"),
        ("PatientBirthDate", b"19701301"),
        ("PatientSex", b"m"),
        ("StudyDate", b"20200132"),
        ("StudyTime", b"12:00:00"),
        ("StudyTime", b"240000"),
        ("StudyID", b"x" * 17),
        ("AccessionNumber", b"x" * 56),
    ],
)
def test_value_against_the_rules_is_left_empty_and_not_shown(tmp_path, keyword, raw):
    found = refer(write_raw(tmp_path / "source.dcm", keyword, raw))
    assert found.warnings == (f"{keyword} is not valid and was left empty in the SEG",)
    made = build_segmentation(found, MASKS, CLASSES, MAKER)
    assert made[keyword].value in ("", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keyword", "raw"),
    [
        ("PatientName", b"x" * 64 + b"=" + b"y" * 64),
        ("PatientName", b"=B"),
        ("PatientName", b"A^B^C^D^E"),
        ("PatientName", ("患" * 64 + "=" + "者" * 64).encode()),
        ("PatientID", b"x" * 64),
        ("PatientID", ("患" * 64).encode()),
        ("StudyTime", b"07"),
        ("StudyTime", b"235960.123456"),
        ("AccessionNumber", b"x" * 16),
        ("PatientSex", b"O"),
    ],
)
def test_value_within_the_rules_stays(tmp_path, keyword, raw):
    found = refer(write_raw(tmp_path / "source.dcm", keyword, raw, SpecificCharacterSet="ISO_IR 192"))
    assert found.warnings == ()
    write_segmentation(tmp_path / "seg.dcm", found, MASKS, CLASSES, MAKER)
    assert pydicom.dcmread(tmp_path / "seg.dcm")[keyword].value == raw.decode()


@pytest.mark.parametrize(("vr", "value"), [("SQ", [pydicom.Dataset()]), ("US", 7), ("FD", [1.5, 2.5])])
def test_value_of_another_kind_is_left_empty(tmp_path, vr, value):
    path = write_dicom(tmp_path / "source.dcm")
    dataset = pydicom.dcmread(path)
    dataset["PatientID"] = pydicom.DataElement("PatientID", vr, value)
    dataset.save_as(path)
    found = refer(path)
    assert [warning.split()[0] for warning in found.warnings] == ["PatientID"]
    assert found.attributes["PatientID"] == ""


def test_absent_and_empty_attributes_are_empty_without_a_warning(tmp_path):
    found = reference(tmp_path, PatientName=None, PatientID="", StudyDate=None, PatientSex="", StudyID=None)
    assert found.warnings == ()
    made = build_segmentation(found, MASKS, CLASSES, MAKER)
    assert [made[keyword].is_empty for keyword in ("PatientName", "PatientID", "StudyDate", "StudyID")] == [True] * 4


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("value", [None, "", "1.2.03", "1.2..3", "9.2.3", "1.2.x", "1." + "1" * 63])
def test_no_seg_without_valid_uids(tmp_path, keyword, value):
    path = write_dicom(tmp_path / "source.dcm", **{} if keyword.startswith("SOP") else {keyword: value})
    if keyword.startswith("SOP"):  # pydicom wants both for the file meta information
        path = write_raw(path, keyword, (value or " ").encode())
    found = refer(path)
    assert found.problem == f"{keyword} is missing or not valid"
    with pytest.raises(RadiographError, match=f"^a SEG cannot be made: {keyword} is missing or not valid$"):
        build_segmentation(found, MASKS, CLASSES, MAKER)


def test_a_reference_shows_and_prints_nothing_and_travels(tmp_path, caplog, capfd):
    path = write_dicom(tmp_path / "source.dcm", PatientBirthDate="SECRET19700101", AccessionNumber="SECRET" * 9)
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    found = refer(path)
    build_segmentation(found, MASKS, CLASSES, MAKER)
    assert len(found.warnings) == 2
    shown = repr(found) + "".join(found.warnings) + "".join(capfd.readouterr())
    assert not any(secret in shown for secret in SECRETS)
    assert not any(secret in caplog.text for secret in SECRETS[:3])
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("form", ["deflated", "bare", "implicit"])
def test_any_form_of_file_is_read(tmp_path, form):
    syntaxes = {"deflated": DeflatedExplicitVRLittleEndian, "implicit": ImplicitVRLittleEndian}
    plain = reference(tmp_path)
    path = write_dicom(tmp_path / "other.dcm", **({"syntax": syntaxes[form]} if form in syntaxes else {}))
    if form == "bare":
        path.write_bytes(path.read_bytes()[132:])
    assert refer(path) == plain


def test_what_is_not_dicom_is_refused(tmp_path):
    (tmp_path / "text.dcm").write_text("nothing of the kind " * 20)
    with pytest.raises(RadiographError):
        refer(tmp_path / "text.dcm")


def test_a_lossy_source_is_told(tmp_path):
    found = reference(tmp_path, LossyImageCompression="01", LossyImageCompressionRatio=["10", "2.5"])
    made = build_segmentation(found, MASKS, CLASSES, MAKER)
    assert (made.LossyImageCompression, list(made.LossyImageCompressionRatio)) == ("01", [10, 2.5])
    assert "LossyImageCompressionMethod" not in made
    methods = ["ISO_10918_1", "ISO_15444_1"]
    found = reference(tmp_path, LossyImageCompression="01", LossyImageCompressionMethod=methods)
    assert build_segmentation(found, MASKS, CLASSES, MAKER).LossyImageCompressionMethod == methods
    found = reference(tmp_path, LossyImageCompression="01", LossyImageCompressionMethod="DOE JANE")
    assert found.warnings == ("LossyImageCompressionMethod is not valid and was left empty in the SEG",)
    gray = phantom(31, 29).astype(np.uint8)
    path = write_dicom(tmp_path / "jpeg.dcm", gray, syntax=JPEGBaseline8Bit, frame=b"\xff\xd8\xff\xd9")
    assert build_segmentation(refer(path), MASKS, CLASSES, MAKER).LossyImageCompression == "01"
    assert build_segmentation(reference(tmp_path), MASKS, CLASSES, MAKER).LossyImageCompression == "00"


def test_segments_say_what_they_show(tmp_path):
    made = build_segmentation(reference(tmp_path), MASKS, CLASSES, MAKER)
    assert [(item.SegmentNumber, item.SegmentLabel) for item in made.SegmentSequence] == list(enumerate(CLASSES, 1))
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in made.SegmentSequence]
    assert [kind.CodingSchemeDesignator for kind in kinds] == ["SCT", "SCT", "99MEDSEG", "99MEDSEG"]
    assert [kind.CodeValue for kind in kinds[:3]] == ["39607008", "39607008", "nothing"]
    assert (kinds[3].LongCodeValue, kinds[3].CodeMeaning, "CodeValue" in kinds[3]) == (LONG, LONG, False)
    sides = [kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue for kind in kinds[:2]]
    assert sides == ["51440002", "7771000"]
    for item in made.SegmentSequence:
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("medseg", MAKER.model)
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
        assert MAKER.configuration in algorithm.AlgorithmParameters
    assert made.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99MEDSEG"


def test_it_says_what_it_is_for(tmp_path):
    made = build_segmentation(reference(tmp_path), MASKS, CLASSES, MAKER)
    assert made.ContentDescription == "Research use only. Not for clinical use."
    assert "research use only" in made.SeriesDescription
    assert (made.Manufacturer, made.SoftwareVersions, made.DeviceSerialNumber) == ("medseg", "0.1.0", MAKER.model)
    assert (made.Modality, made.BurnedInAnnotation) == ("SEG", "NO")


def test_no_clock_but_the_makers(tmp_path):
    aware = Maker(MAKER.model, MAKER.configuration, MAKER.source, datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC), "0.1.0")
    for maker, time in ((MAKER, "050607.000890"), (aware, "050607.000000")):
        made = build_segmentation(reference(tmp_path), MASKS, CLASSES, maker)
        dated = [item for item in made.iterall() if item.VR in ("DA", "TM", "DT") and item.value]
        times = {item.keyword: str(item.value) for item in dated}
        assert times == {
            **{"ContentDate": "20260304", "ContentTime": time, "StudyDate": "20200101", "StudyTime": "120000"},
            "PatientBirthDate": "19700101",
        }


def test_uids_tell_apart_what_differs(tmp_path):
    found = reference(tmp_path)
    other_study = reference(tmp_path, StudyInstanceUID="1.2.3")
    other_image = reference(tmp_path, SOPInstanceUID="1.2.3")

    def uids(reference=found, **changes):
        maker = Maker(**{**vars(MAKER), **changes})
        made = build_segmentation(reference, MASKS, CLASSES, maker)
        used = [item.value for item in made.iterall() if item.keyword == "DimensionOrganizationUID"]
        assert len(used) == 2
        assert len(set(used)) == 1
        for value in (made.SeriesInstanceUID, made.SOPInstanceUID, used[0]):
            assert UID(value).is_valid
            assert value.startswith("2.25.")
        assert len({made.SeriesInstanceUID, made.SOPInstanceUID, used[0]}) == 3
        return made.SeriesInstanceUID, made.SOPInstanceUID

    series, instance = uids()
    assert uids(version="9", date=datetime(1999, 1, 1)) == (series, instance)
    for same_series in (uids(source="cd" * 32), uids(other_image)):
        assert (same_series[0] == series, same_series[1] == instance) == (True, False)
    for other in (uids(model="f" * 16), uids(configuration="f" * 16), uids(other_study)):
        assert (other[0] == series, other[1] == instance) == (False, False)


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    found = reference(tmp_path, PatientName="Yamada^Tarou")
    write_segmentation(tmp_path / "seg.dcm", found, MASKS, CLASSES, MAKER)
    job = tmp_path / "job.pickle"
    job.write_bytes(pickle.dumps((tmp_path / "other.dcm", found, MASKS, CLASSES, MAKER)))
    code = "import pickle, sys; from pathlib import Path; from medseg.output.dicom_seg import write_segmentation;"
    code += "write_segmentation(*pickle.loads(Path(sys.argv[1]).read_bytes()))"
    command = [sys.executable, "-W", "error", "-c", code, str(job)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"})
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("seg.dcm", "other.dcm")}
    assert len(digests) == 1


def test_what_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/seg\.dcm"):
        write_segmentation(tmp_path / "file" / "seg.dcm", reference(tmp_path), MASKS, CLASSES, MAKER)


@pytest.mark.slow
@pytest.mark.shared
@needs_dciodvfy
def test_real_files(shared_data, tmp_path):
    made = {}
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        found = refer(path)
        made[path.stem] = found
        if found.problem is None:
            write_segmentation(tmp_path / path.name, found, MASKS, CLASSES, MAKER)
            check_readback(tmp_path / path.name)
            assert find_errors(tmp_path / path.name) == []
    assert len(made) == 16
    problems = {name: found.problem for name, found in made.items() if found.problem}
    assert problems == {"CR_CR-ModalitySequenceLUT": "SOPInstanceUID is missing or not valid"}
    warned = {name: [line.split()[0] for line in found.warnings] for name, found in made.items() if found.warnings}
    assert warned == {
        "DX_966": ["PatientBirthDate", "AccessionNumber"],
        "DX_966_fixed": ["PatientBirthDate", "AccessionNumber"],
        "MG_GH133": ["PatientBirthDate"],
    }
