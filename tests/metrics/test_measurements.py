import numpy as np
import pytest

from medseg.metrics.measurements import CTR, MEASUREMENTS, choose_measurements


@pytest.mark.parametrize(
    ("classes", "chosen"),
    [(("heart", "lungs"), [CTR]), (("clavicles", "lungs", "heart"), [CTR]), (("lungs",), []), ((), [])],
)
def test_classes_choose_what_is_measured(classes, chosen):
    assert choose_measurements(classes) == chosen


def test_names_are_told_apart():
    names = [each.name for each in MEASUREMENTS]
    assert len(set(names)) == len(names)


def test_the_ratio_takes_lungs_then_heart_and_says_what_it_is():
    lungs, heart = np.zeros((2, 20, 40), bool)
    lungs[4:16, 0:12] = lungs[4:16, 28:40] = heart[8:14, 14:32] = True
    found = CTR.measure(*({"heart": heart, "lungs": lungs}[name] for name in CTR.classes))
    assert found.value == 18 / 40
    assert found.words == "Cardiothoracic ratio 0.45"


def test_the_ratio_is_measured_on_frontal_views_with_a_warning_on_ap():
    assert CTR.views == {"PA": (), "AP": ("ctr of an AP view: the heart appears larger than in a PA view",)}
