from pathlib import Path

import pytest

from medseg.config import Section, flatten, leaf_fields, parse_args
from medseg.errors import ConfigError
from tests.support.config_sections import Data, Job, Optim


def test_result_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Job().seed = 3


def test_flat_form():
    flat = flatten(Job(data=Data(share=(0.25, 0.75))))
    assert flat["seed"] == 0
    assert flat["data.share"] == [0.25, 0.75]
    assert set(flat) == {key for key, _, _ in leaf_fields(Job)}


def test_home_folder_in_paths(tmp_path, monkeypatch):
    from medseg.inference.config import Addresses
    from medseg.tracking.config import StoreConfig

    class Command(Section):
        model: Addresses = ()
        data: Data = Data()
        optim: Optim = Optim()
        tracking: StoreConfig = StoreConfig()

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set").mkdir()
    given = ["data.root=~/set", "optim.resume=~/last.pt", "optim.note=~/set", "tracking.uri=sqlite:///~/m.db"]
    parsed = parse_args(Command, [*given, "model=[~/a.pt,runs:/1/model]"])
    assert (parsed.data.root, parsed.optim.resume) == (tmp_path / "set", tmp_path / "last.pt")
    assert parsed.optim.note == "~/set"
    assert parsed.model == (f"{tmp_path}/a.pt", "runs:/1/model")
    assert parsed.tracking.uri == f"sqlite:///{tmp_path}/m.db"
    assert Command(data=Data(root=Path("~/set"))).data.root == tmp_path / "set"
    with pytest.raises(ConfigError, match=r"data\.root: ~nobody-of-this-name/set: no such file or folder"):
        parse_args(Command, ["data.root=~nobody-of-this-name/set"])
