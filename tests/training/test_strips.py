from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medseg.data.frame import whole
from medseg.data.loaders import CachedCases, CaseFacts
from medseg.hardware.device import AutocastInferer, find_hardware
from medseg.training.config import TrainingConfig
from medseg.training.strips import Strips

FACTS = CaseFacts("case", "", "", None, None, None, None, None, whole((8, 8)))
INFERER = AutocastInferer(find_hardware("cpu", "fp32", channels_last=False))


def strips(folder: Path, burned_in: list[bool | None]) -> tuple[Strips, list[tuple[str, int]]]:
    logged: list[tuple[str, int]] = []
    run = SimpleNamespace(log_image=lambda image, key, step: logged.append((key, step)))
    num = len(burned_in)
    labels = torch.zeros(num, 1, 32, 48, dtype=torch.uint8)
    labels[:, :, 8:16, 8:16] = 1
    facts = tuple(replace(FACTS, burned_in=value) for value in burned_in)
    images = torch.linspace(0, 1, num * 32 * 48).reshape(num, 1, 32, 48)
    cached = CachedCases(facts, images, labels, torch.ones(num, 1, dtype=torch.bool))
    train = TrainingConfig(num_strips=2)
    return Strips(nn.Conv2d(1, 1, 1), cached, ["box"], train, INFERER, run, folder), logged  # type: ignore[arg-type]


def test_image_is_written_and_recorded(tmp_path: Path) -> None:
    drawn, logged = strips(tmp_path, [None, False, None])
    drawn.show(7)
    picture = np.asarray(Image.open(tmp_path / "epoch-0007.png"))
    assert picture.shape[1] == 3 * 48
    assert picture.shape[0] >= 2 * 32
    assert logged == [("val/cases", 7)]


@pytest.mark.parametrize(("burned_in", "kept"), [([True, None, True, False], [1, 3]), ([True, True], [])])
def test_images_with_burned_in_text_are_left_out(burned_in: list[bool | None], kept: list[int], tmp_path: Path) -> None:
    drawn, logged = strips(tmp_path, burned_in)
    drawn.show(1)
    assert drawn.indices == kept
    assert bool(logged) == bool(kept)
