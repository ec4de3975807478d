from pathlib import Path

import pytest

from tests.support.large_archive import simulate_records


@pytest.mark.slow
def test_each_step_of_the_simulation_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate_records(200, tmp_path)
    steps = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert [step for step in steps if "bytes" not in step] == [
        "write the journal",
        "open the journal",
        "second run",
        "2 shards: journals and reports",
        "merge",
    ]
