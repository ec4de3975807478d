"""Servers of MLflow, such as its UI, in processes of their own, on loopback."""

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SHOWN = "(key => [...document.images].some(image => image.src.includes(key) && image.naturalWidth > 0))"
"""Whether a page shows an image whose address holds the key."""
SECONDS = 300
"""A slow machine is given to start it."""


LOG = "server.log"
"""What a server prints, in its folder."""


@contextmanager
def open_ui(command: str, folder: Path) -> Iterator[str]:
    """The address of the UI that `command`, the line a training prints, opens; it is stopped after the block."""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with open_server([*shlex.split(command), "--workers", "1"], folder, environment) as address:
        yield address


@contextmanager
def open_server(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a server of MLflow on a free port; it runs in `folder` and is stopped after the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / LOG
    with log.open("w") as file:
        process = subprocess.Popen(
            [*arguments, "--host", "127.0.0.1", "--port", str(port)],
            stdout=file,
            stderr=file,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_ready(address, process, log)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the group that this process leads
        process.wait()


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server of MLflow did not start: {log.read_text()[-2000:]}")
