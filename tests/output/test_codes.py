"""The codes of the usual classes as SNOMED CT's browser shows them; membership after PS3.16 as pydicom ships it."""

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medseg.output.codes import _MANIFOLD, _PAIRED, _PLURALS, _SINGLE, find_codes

LEFT, RIGHT, BILATERAL = "7771000", "24028007", "51440002"
TABLE = _PAIRED | _MANIFOLD | _SINGLE
OUTSIDE_CID_7151 = {"ischium", "radius", "talus", "tibia", "ulna", "bone", "hand_bone", "metacarpal", "pelvis"}


@pytest.mark.parametrize(
    ("name", "code", "side"),
    [
        ("lungs", "39607008", BILATERAL),
        ("lung", "39607008", None),
        ("left_lung", "39607008", LEFT),
        ("Right-Lung", "39607008", RIGHT),
        ("LungRight", "39607008", RIGHT),
        ("lung_l", "39607008", LEFT),
        ("both_lungs", "39607008", BILATERAL),
        ("heart", "80891009", None),
        ("HEART", "80891009", None),
        ("clavicles", "51299004", BILATERAL),
        ("r_clavicle", "51299004", RIGHT),
        ("ribs", "113197003", None),
        ("left-ribs", "113197003", LEFT),
        ("scapulae", "79601000", BILATERAL),
        ("scapula", "79601000", None),
        ("femora", "71341001", BILATERAL),
        ("femurs", "71341001", BILATERAL),
        ("humerus_left", "85050009", LEFT),
        ("breasts", "76752008", BILATERAL),
        ("radius", "62413002", None),
        ("trachea", "44567001", None),
        ("mediastinum", "72410000", None),
        ("diaphragm", "5798000", None),
        ("spine", "421060004", None),
        ("vertebrae", "51282000", None),
        ("l1-vertebra", "66794005", None),
        ("pelvis", "118645006", None),
        ("hand_bones", "24097009", None),
        ("teeth", "38199008", None),
    ],
)
def test_known_classes_have_snomed_codes(name, code, side):
    found = find_codes(name)
    assert (found.category.value, found.category.scheme_designator) == ("91723000", "SCT")
    assert (found.structure.value, found.structure.scheme_designator) == (code, "SCT")
    assert (found.side and found.side.value) == side
    assert found.side is None or found.side in codes.cid244


@pytest.mark.parametrize(
    "name", ["pneumonia", "left_heart", "left", "l", "_", "s", "c1", "left_left_lung", "class", "lungs2", "x" * 32]
)
def test_unknown_classes_are_their_own_private_codes(name):
    found = find_codes(name)
    assert (found.category, found.side) == (Code("309825002", "SCT", "Spatial and Relational Concept"), None)
    assert found.category in codes.cid7150
    assert tuple(found.structure)[:3] == (name, "99MEDSEG", name)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_table_says_what_the_dictionary_says(name):
    code = TABLE[name]
    assert code.scheme_designator == "SCT"
    assert code.meaning.lower() == name.replace("_", " ")
    assert (code in codes.cid7151) == (name not in OUTSIDE_CID_7151)
    assert find_codes(name).structure == code


def test_plurals_lead_into_the_table():
    assert set(_PLURALS.values()) <= set(TABLE)
    assert set(_PLURALS).isdisjoint(TABLE)
