import torch

from medseg.benchmark.limit import enter_product


def test_work_of_a_product():
    product = enter_product("fp32", torch.device("cpu"), 0.001)
    assert product.gflop == 2 * product.tell({})["size"] ** 3 / 1e9
    assert product.turn() > 0


def test_size_follows_the_time():
    sizes = [enter_product("fp32", torch.device("cpu"), seconds).tell({})["size"] for seconds in (1e-9, 0.02)]
    assert sizes[0] == 256
    assert sizes[1] > 256
