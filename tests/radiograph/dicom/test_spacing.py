import pytest

from medseg.radiograph.dicom.spacing import read_spacing
from tests.support.dicom_files import make_dataset

FACTOR = "EstimatedRadiographicMagnificationFactor"
NONE = "no pixel spacing; lengths and areas are unknown"


@pytest.mark.parametrize(
    ("tags", "spacing", "source", "num_warnings"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "detector", 0),
        ({"PixelSpacing": [0.2, 0.15], "ImagerPixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "detector", 0),
        ({"PixelSpacing": [0.18, 0.13], "ImagerPixelSpacing": [0.2, 0.15]}, (0.18, 0.13), "calibrated", 0),
        (
            {"PixelSpacing": [0.2, 0.15], "ImagerPixelSpacing": [0.2, 0.15], "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.2, 0.15),
            "calibrated",
            0,
        ),
        ({"PixelSpacing": [0.2, 0.15], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.2, 0.15), "calibrated", 0),
        (
            {"ImagerPixelSpacing": [0.3, 0.15], FACTOR: 1.5},
            (0.2, 0.1),
            "magnification",
            0,
        ),
        ({"ImagerPixelSpacing": [0.3, 0.15], FACTOR: 0}, (0.3, 0.15), "detector", 1),
        ({"ImagerPixelSpacing": [0.3, 0.15], FACTOR: -1}, (0.3, 0.15), "detector", 1),
        ({"PixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "unspecified", 0),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.15]}, (0.2, 0.15), "detector", 1),
        ({"PixelSpacing": [0.2, 0.15], "ImagerPixelSpacing": [-0.2, 0.15]}, (0.2, 0.15), "unspecified", 1),
        ({"PixelSpacing": [0.2], "NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "film", 1),
        ({"NominalScannedPixelSpacing": [0.1, 0.12]}, (0.1, 0.12), "film", 0),
        ({"PixelSpacing": [0, 0]}, None, "none", 2),
        ({"PixelSpacing": ["nan", "nan"]}, None, "none", 2),
        ({"PixelSpacing": ["inf", "inf"]}, None, "none", 2),
        ({"PixelSpacing": []}, None, "none", 1),
        ({}, None, "none", 1),
    ],
)  # fmt: skip
def test_spacing_follows_the_order_of_sources(tags, spacing, source, num_warnings):
    warnings = []
    found, found_source = read_spacing(make_dataset(**{"ImagerPixelSpacing": None, **tags}), warnings)
    assert found == (pytest.approx(spacing) if spacing else None)
    assert found_source == source
    assert len(warnings) == num_warnings
    assert (NONE in warnings) == (source == "none")
