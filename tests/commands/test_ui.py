import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from medseg.commands.ui import main
from medseg.errors import ConfigError


def test_without_a_store_it_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="there is no MLflow store"):
        main([f"tracking.uri=sqlite:///{tmp_path}/none.db"])
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_an_error_with_the_remedy(tracking):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot serve on 127\.0\.0\.1:{port} .*Choose another port"):
            main([f"tracking.uri={tracking.uri}", f"ui.port={port}"])


def test_a_server_has_a_ui_of_its_own(capsys):
    assert main(["tracking.uri=https://joe:secret@mlflow.example"]) == 0
    assert capsys.readouterr().out == "The MLflow store is a server. Open https://***@mlflow.example in a browser.\n"


@pytest.mark.slow
def test_it_serves_the_runs_until_it_is_stopped(tmp_path, tracking):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "medseg", "ui", f"tracking.uri={tracking.uri}", f"ui.port={port}"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout.readline() == "Starting the MLflow UI.\n"
        address = process.stdout.readline().split()[1]
        assert address == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143, (tmp_path / "log").read_text()
    with socket.socket() as free:  # MLflow's own processes have ended too
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
