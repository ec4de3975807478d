"""Messages of PyTorch about other processes, as seen in PyTorch 2.13."""

from datetime import timedelta

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from medseg.errors import DataError, ProcessError
from medseg.hardware.failures import explain_failure, has_spoken, open_store


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 3000ms for recv operation", "for 3 seconds"),
        ("Application timeout caused pair closure", "for 3 seconds"),
        ("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:6890.", "has ended"),
    ],
)
def test_they_become_an_error_with_a_remedy(text: str, said: str) -> None:
    found = explain_failure(RuntimeError(text), 3)
    assert isinstance(found, ProcessError)
    assert said in str(found)
    assert "train.resume=true" in str(found)


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), DataError("Timed out"), OSError()])
def test_other_errors_stay(error: Exception) -> None:
    assert explain_failure(error, 3) is error


def test_without_a_store_the_first_process_speaks() -> None:
    assert [has_spoken(None, rank) for rank in range(3)] == [False, True, True]


def test_with_a_store_one_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    host = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(host.port))
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    for start in ("0", "1"):  # a new election after each restart
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", start)
        stores = [open_store(rank, 3, timedelta(seconds=10)) for rank in range(3)]
        assert [has_spoken(store, rank) for rank, store in enumerate(reversed(stores))] == [False, True, True]
