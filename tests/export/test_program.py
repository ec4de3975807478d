"""The masks of a program are those of `medseg.load_model`, whatever the settings of the model."""

import numpy as np
import pytest
import torch

import medseg
from medseg.data.config import PreprocessConfig
from medseg.export.program import Program
from medseg.model.config import InferenceConfig
from medseg.phantom.chest import draw_phantom
from medseg.radiograph.array import build_radiograph
from tests.support.model_files import write_color_model, write_model

EXACT = {"predict.backend": "torch", "predict.precision": "fp32", "predict.device": "cpu"}


def draw(size: int, seed: int = 0) -> np.ndarray:
    return draw_phantom(np.random.default_rng(seed), size).pixels.astype(np.float32)


def run(model: "medseg.Model", *images: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(np.stack(images))
    batch = batch[:, None] if batch.ndim == 3 else batch.permute(0, 3, 1, 2)
    with torch.no_grad():
        return Program(model._loaded, model._predictor.decision).eval()(batch).numpy()


def assert_same(model: "medseg.Model", *images: np.ndarray) -> None:
    for image, masks in zip(images, run(model, *images), strict=True):
        expected = model.predict(image).masks
        for name, mask in zip(model.classes, masks, strict=True):
            assert mask.shape == image.shape[:2]
            assert 0.001 < expected[name].mean() < 0.999  # a mask that could differ
            assert (mask != expected[name]).mean() < 1e-3, name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"equalize": True, "crop": "field"},
        {"fit": "stretch", "restore": "nearest"},
        {"intensity": "fixed", "range": (0, 4000), "size": (48, 32)},
        {"percentiles": (5, 95), "restore": "nearest", "crop": "field"},
    ],
    ids=lambda settings: "-".join(map(str, settings)) or "default",
)
def test_the_settings_of_a_model(tmp_path, settings):
    preprocess = PreprocessConfig(**{"size": (32, 32), **settings})
    path = write_model(tmp_path / "best.pt", preprocess=preprocess)
    model = medseg.load_model(path, EXACT, {"predict.components": {}, "predict.fill_holes": False})
    first, second = draw(200), draw(200, seed=1)
    columns = min(first.shape[1], second.shape[1])
    assert_same(model, first[:, :columns], second[:, :columns])
    assert_same(model, draw(21))  # smaller than the network
    framed = np.pad(draw(150), ((30, 60), (70, 20)))
    assert_same(model, framed)


def test_an_image_without_gray_is_not_equalized(tmp_path):
    preprocess = PreprocessConfig(size=(32, 32), equalize=True)
    model = medseg.load_model(write_model(tmp_path / "best.pt", preprocess=preprocess), EXACT)
    assert_same(model, np.kron(np.eye(2, dtype=np.float32), np.ones((16, 16), np.float32)))


def test_padding_is_nan(tmp_path):
    model = medseg.load_model(write_model(tmp_path / "best.pt"), EXACT)
    image = draw(150)
    padding = np.zeros(image.shape, bool)
    padding[:, :40] = True
    radiograph = build_radiograph(np.where(padding, 0, image))
    object.__setattr__(radiograph, "padding", padding)
    expected = model.predict(radiograph).masks
    masks = run(model, np.where(padding, np.nan, image).astype(np.float32))[0]
    without = run(model, image)[0]
    for index, name in enumerate(model.classes):
        assert (masks[index] != expected[name]).mean() < 1e-4
    assert (masks != without).any()


def test_several_networks_views_and_thresholds(tmp_path):
    inference = InferenceConfig(tta=("mirror", "gamma"))
    image, paths = draw(150), [tmp_path / "0.pt", tmp_path / "1.pt"]

    def load(**card):
        for seed, path in enumerate(paths):
            write_model(path, seed=seed, inference=inference, **card)
        return medseg.load_model(paths, EXACT, {"predict.threshold": "best"})

    found = load().predict(image).probabilities
    assert_same(load(thresholds={name: float(np.median(found[name])) for name in found}), image)


def test_red_green_and_blue(tmp_path):
    model = medseg.load_model(write_color_model(tmp_path / "best.pt"), EXACT)
    image = np.stack([draw(90), draw(90)[::-1], draw(90)[:, ::-1]], axis=2)
    expected = model.predict(build_radiograph(image)).masks["heart"]
    assert (run(model, image)[0, 0] != expected).mean() < 1e-4
