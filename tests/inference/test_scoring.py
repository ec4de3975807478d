from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score
from torch import nn

from medseg.data.cases import find_cases
from medseg.data.config import DataConfig, PreprocessConfig
from medseg.data.findings import Findings
from medseg.data.loaders import cache_cases
from medseg.inference.config import PredictConfig
from medseg.inference.predictor import Predictor
from medseg.inference.scoring import score_cases, search_thresholds
from medseg.model.checkpoint import ModelCard
from medseg.model.config import ModelConfig
from tests.support.shape_images import draw_case, write_png_folder


class Brightness(nn.Module):
    """The image itself is the probability of both classes."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.logit(images.clamp(1e-4, 1 - 1e-4)).expand(-1, 2, -1, -1)


@pytest.mark.slow
def test_scores_are_those_at_the_references_own_size(tmp_path: Path) -> None:
    root = write_png_folder(tmp_path, 5)
    data = DataConfig(root=root)
    preprocess = PreprocessConfig(size=(48, 40), fit="stretch", intensity="fixed")
    found = find_cases(data)
    cached = cache_cases(found.cases, found.classes, data, preprocess, tmp_path, Findings())[0]
    card = ModelCard(classes=found.classes, model=ModelConfig(), preprocess=preprocess)
    predictor = Predictor(card, [Brightness()], PredictConfig(threshold=0.55))
    measured = score_cases(predictor, found.cases, cached, data, tmp_path / "masks")
    scores, intervals = measured.compute(), measured.find_intervals([case.patient for case in found.cases], seed=0)
    wanted = []
    for index in range(5):
        picture, masks = draw_case(index)
        wanted.append(f1_score(masks["disc"].ravel(), picture.ravel() / 255 >= 0.55))
    assert scores["dice_disc"] == pytest.approx(np.mean(wanted), abs=0.005)
    assert intervals.keys() == scores.keys()
    assert all(intervals[name].low <= scores[name] <= intervals[name].high for name in scores)
    picture = np.asarray(Image.open(root / "images" / "case03.png"))
    mask = np.asarray(Image.open(tmp_path / "masks" / "disc" / "case03.png"))
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) == (picture / 255 >= 0.55)).mean() > 0.995
    thresholds = search_thresholds(predictor, found.cases, cached, data)
    best = max(
        (
            np.mean(
                [f1_score(draw_case(i)[1]["disc"].ravel(), draw_case(i)[0].ravel() / 255 >= t / 40) for i in range(5)]
            ),
            t / 40,
        )
        for t in range(1, 40)
    )
    assert thresholds["disc"] == pytest.approx(best[1], abs=0.03)


def test_ignored_pixels_do_not_count(tmp_path: Path) -> None:
    root = write_png_folder(tmp_path, 2)
    for path in (root / "masks").rglob("*.png"):
        values = np.array(Image.open(path))
        values[:, 20:] = 9
        Image.fromarray(values).save(path)
    data, preprocess = DataConfig(root=root, ignore_value=9), PreprocessConfig(size=(48, 40), fit="stretch")
    found = find_cases(data)
    cached = cache_cases(found.cases, found.classes, data, preprocess, tmp_path, Findings())[0]
    card = ModelCard(classes=found.classes, model=ModelConfig(), preprocess=preprocess)
    predictor = Predictor(card, [Brightness()], PredictConfig(threshold=1e-5))  # all foreground
    scores = score_cases(predictor, found.cases, cached, data).compute()
    shares = [np.mean([draw_case(index)[1][name][:, :20].mean() for index in range(2)]) for name in found.classes]
    assert scores["miou"] == pytest.approx(np.mean(shares) / 2)
