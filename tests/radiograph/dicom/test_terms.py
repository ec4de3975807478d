import pytest

from medseg.radiograph.dicom.terms import DEFINED


@pytest.mark.parametrize(
    ("keyword", "terms"),
    [
        ("Modality", {"CR", "DX", "MG", "XA", "SEG", "SR", "CT"}),
        ("BodyPartExamined", {"CHEST", "HAND", "HIP", "EXTREMITY", "BREAST", "CSPINE", "TMJ", "NECKCHESTABDPELV"}),
        ("ViewPosition", {"AP", "PA", "LL", "RLD", "MLO", "CC"}),
    ],
)
def test_terms_of_the_standard_are_known(keyword, terms):
    assert terms <= DEFINED[keyword]
    assert "DOE" not in DEFINED[keyword]
    assert all(term.isalnum() and term.isupper() and len(term) <= 16 for term in DEFINED[keyword])
