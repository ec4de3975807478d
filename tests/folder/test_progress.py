from types import SimpleNamespace

import pytest

from medseg.folder.progress import Progress, Tally


def test_a_tally_counts_by_status_and_code():
    tally = Tally()
    for status, reason in (
        ("done", ""),
        ("rejected", "damaged: a"),
        ("rejected", "damaged: b"),
        ("skipped", "view: LL"),
    ):
        tally.add(status, reason)
    assert tally.rejected == 2
    assert tally.reasons == {"rejected: damaged": 2, "skipped: view": 1}


def test_a_line_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch):
    clock = SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr("medseg.folder.progress.time", clock)
    tally = Tally()
    with Progress(tally, range(10)) as progress:
        progress._counter.join()
        clock.monotonic = lambda: 10.0
        for _ in range(4):
            tally.add("done", "")
        tally.add("rejected", "damaged: x")
        assert progress.describe() == "5 of 10 files  1 rejected  0.5 files/s  0:10 left"
