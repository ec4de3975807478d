import zipfile
from pathlib import Path
from typing import get_args

import pytest
import torch

from medseg.data.config import PreprocessConfig
from medseg.errors import CheckpointError, StorageError
from medseg.model.checkpoint import (
    NETWORKS,
    Accepts,
    ModelCard,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from medseg.model.config import ModelConfig
from medseg.model.unet import UNet

CARD = ModelCard(
    classes=("lungs", "heart"),
    model=ModelConfig(width=4, depth=2),
    preprocess=PreprocessConfig(size=(32, 48)),
    thresholds={"lungs": 0.4, "heart": 0.6},
    train_digests=("a" * 64,),
    metrics={"dice": 0.9},
    run_id="r",
)


def save(path: Path, seed: int = 0, training: dict[str, object] | None = None) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = CARD.build_network()
    save_checkpoint(path, CARD, network.state_dict(), training)
    return network.eval()


def test_round_trip_gives_card_and_outputs(tmp_path: Path) -> None:
    network = save(tmp_path / "best.pt")
    card, loaded = load_model(tmp_path / "best.pt")
    assert card == CARD
    image = torch.rand(1, 1, 32, 48)
    assert torch.equal(loaded(image), network(image))
    assert not loaded.training


def test_accepted_terms_are_in_capitals_as_in_dicom() -> None:
    accepts = Accepts(modalities=("dx",), body_parts=(" chest ",), views=("pa", "AP"))
    assert accepts == Accepts(modalities=("DX",), body_parts=("CHEST",), views=("PA", "AP"))


def test_cards_name_the_networks_that_can_be_built() -> None:
    annotation = ModelCard.model_fields["network"].annotation
    assert list(get_args(annotation)) == list(NETWORKS)


def test_a_file_that_names_no_network_holds_a_unet(tmp_path: Path) -> None:
    save(tmp_path / "best.pt")
    card, content = load_checkpoint(tmp_path / "best.pt")
    assert "network" not in content["card"]
    assert (card.network, type(card.build_network())) == ("unet", UNet)


def test_a_network_that_is_not_known_is_refused(tmp_path: Path) -> None:
    network = save(tmp_path / "best.pt")
    save_checkpoint(tmp_path / "best.pt", CARD.model_copy(update={"network": "transformer"}), network.state_dict())
    with pytest.raises(
        CheckpointError, match=r"best\.pt: the metadata of the model file are not valid: Input should be 'unet'"
    ):
        load_model(tmp_path / "best.pt")


def test_previous_is_kept(tmp_path: Path) -> None:
    first, second = save(tmp_path / "last.pt", 0), save(tmp_path / "last.pt", 1)
    for path, network in ((tmp_path / "last.previous.pt", first), (tmp_path / "last.pt", second)):
        weights = load_checkpoint(path)[1]["weights"]
        assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "text", "pickle"])
def test_damage_is_named(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "last.pt"
    save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda info: info.file_size)
    content[largest.header_offset + 300] ^= 1
    harmed = {
        "cut": bytes(content[: len(content) // 2]),
        "flipped": bytes(content),
        "emptied": b"",
        "text": b"no model",
        "pickle": b"\x80\x04\x95\x10",
    }
    path.write_bytes(harmed[harm])
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        load_checkpoint(path)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"format": "medseg-model-1", "card": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_other_files_of_torch_are_no_models(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a model file of medseg"):
        load_checkpoint(tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")


def test_full_disk_leaves_the_file_before_whole(tmp_path: Path) -> None:
    import resource
    import signal

    network = save(tmp_path / "last.pt")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(StorageError, match=r"last\.pt"):
            save(tmp_path / "last.pt", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    weights = load_checkpoint(tmp_path / "last.pt")[1]["weights"]
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
