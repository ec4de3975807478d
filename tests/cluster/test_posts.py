import pytest

from medseg.cluster.config import FolderConfig
from medseg.cluster.posts import Plan
from medseg.inference.config import FolderPredictConfig, InputConfig

SMALL, HEAD = {"Resources": {"CPU": 2.0}}, {"Resources": {}}
GPUS = {"Resources": {"CPU": 8.0, "GPU": 2.0}}


@pytest.fixture
def plan(tmp_path):
    def build(backend, *, is_chosen=True, device="auto", **folder):
        predict = FolderPredictConfig(device=device)
        return Plan(FolderConfig(**folder), predict, InputConfig(dir=tmp_path), (), None, backend, is_chosen)

    return build


def test_every_node_with_cpus_reads_and_predicts(plan):
    assert plan("torch/cpu/fp32").staff(SMALL) == {"read": 1, "write": 0, "network": 1}
    assert plan("torch/cpu/fp32").staff(HEAD) == {"read": 0, "write": 0, "network": 0}


def test_networks_and_writers_have_their_own_numbers(plan):
    assert plan("torch/cpu/fp32", networks=3, writers=4).staff(SMALL) == {"read": 1, "write": 1, "network": 3}


def test_networks_of_gpus_are_where_gpus_are(plan):
    many = plan("torch/cuda/bf16", networks=4)
    assert many.staff(GPUS)["network"] == 2
    assert many.staff(SMALL) == {"read": 1, "write": 0, "network": 0}


def test_no_network_starts_before_its_backend_is_known(plan):
    assert plan("torch/cpu/fp32", is_chosen=False).staff(SMALL)["network"] == 0


@pytest.mark.parametrize(
    ("backend", "device", "wanted"),
    [("", "auto", True), ("", "cpu", False), ("torch/cpu/fp32", "auto", False), ("torch/cpu/fp32", "cuda", True)],
)
def test_a_gpu_is_wanted_unless_the_settings_or_the_journal_say_otherwise(plan, backend, device, wanted):
    assert plan(backend, device=device).wants_gpu(GPUS) is wanted
    assert not plan(backend, device=device).wants_gpu(SMALL)
