from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medseg.output.images import write_mask_png


def test_mask_is_0_and_255_with_rows_first(tmp_path: Path) -> None:
    mask = np.zeros((5, 9), bool)
    mask[1, 7] = True
    write_mask_png(tmp_path / "deep" / "mask.png", mask)
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "deep" / "mask.png")))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask * 255)
