"""Survey of a case that was loaded by MONAI transforms."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medseg.checks.survey import CaseSurvey, summarize_case
from medseg.data.transforms import as_radiograph


def summarize_item(item: Mapping[str, Any], image: Tensor, masks: Tensor | None, classes: Sequence[str]) -> CaseSurvey:
    """Summarize a loaded item for the checks (see `summarize_case`). An item without `masks` has an RGB target."""
    files, notes = item.get("mask_files", {}), item.get("mask_warnings", ())
    fitted = torch.zeros(0, *image.shape[-2:]) if masks is None else masks
    shown = () if masks is None else classes
    return summarize_case(item["id"], as_radiograph(item["image"]), files, notes, image, fitted, shown)
