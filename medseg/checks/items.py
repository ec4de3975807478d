"""A look at a case that MONAI's transforms have loaded."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medseg.checks.survey import CaseSurvey, summarize_case
from medseg.data.transforms import as_radiograph


def summarize_item(item: Mapping[str, Any], image: Tensor, masks: Tensor | None, classes: Sequence[str]) -> CaseSurvey:
    """What the checks of a data set need of a loaded item; see `summarize_case`. Without `masks` it has a target."""
    files, notes = item.get("mask_files", {}), item.get("mask_warnings", ())
    fitted = torch.zeros(0, *image.shape[-2:]) if masks is None else masks
    shown = () if masks is None else classes
    return summarize_case(item["id"], as_radiograph(item["image"]), files, notes, image, fitted, shown)
