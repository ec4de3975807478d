"""Open the MLflow UI on the recorded runs. Research use only. Not for clinical use.

usage: medseg ui [tracking.uri=sqlite:///FILE] [ui.port=5000]

The command serves mlruns/mlflow.db of the working folder until it is stopped with Ctrl-C. Open the address that it
prints in a browser. MLflow has no passwords: on 127.0.0.1, the default, only this machine can open the address.
Exit code 0: stopped; 2: there is no such store, or MLflow could not start; 130, 143: stopped by a signal.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated
from urllib.request import ProxyHandler, build_opener

from pydantic import Field

from medseg.config import Section, parse_args
from medseg.errors import ConfigError
from medseg.tracking.config import StoreConfig

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs score language models; their workers take seconds to start
    "PYTHONWARNINGS": "ignore",
}


class AddressConfig(Section):
    """Address of the UI."""

    host: str = "127.0.0.1"
    """Network address to serve on. 127.0.0.1: only this machine can open the UI."""

    port: Annotated[int, Field(ge=1, le=65535)] = 5000
    """Port to serve on. Choose another one if it is taken."""


class UiConfig(Section):
    """Settings of the MLflow UI."""

    tracking: StoreConfig = StoreConfig()
    ui: AddressConfig = AddressConfig()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the MLflow UI until it is stopped; the exit code of MLflow."""
    config = parse_args(UiConfig, argv)
    from medseg.tracking.store import find_store

    store = find_store(config.tracking)
    if store.is_server:
        print(f"The MLflow store is a server. Open {store.ui_command} in a browser.")
        return 0
    if store.database is not None and not store.database.exists():
        raise ConfigError(
            f"{store.database}: there is no MLflow store. Train a model first, or name a store with tracking.uri"
        )
    address = config.ui.host, config.ui.port
    try:
        socket.create_server(address).close()
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"ui.port: cannot serve on {address[0]}:{address[1]} ({reason}). Choose another port"
        ) from error
    print("Starting the MLflow UI.", flush=True)
    place = ["--host", address[0], "--port", str(address[1])]
    quiet = ["--uvicorn-opts", "--log-level error"]
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store.uri, *place, *quiet]
    environment = os.environ | _QUIET
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            if not _answers(process, f"http://{address[0]}:{address[1]}/health"):
                raise ConfigError("MLflow could not start. Its own messages are above")
            print(f"Open http://{address[0]}:{address[1]} in a browser. Stop with Ctrl-C.", flush=True)
            return process.wait()
        finally:
            _end(process)


def _answers(process: "subprocess.Popen[bytes]", address: str) -> bool:
    """Wait until the server answers; False if it has ended instead."""
    opener = build_opener(ProxyHandler({}))  # a proxy does not lead to this machine
    while process.poll() is None:
        try:
            with opener.open(address, timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End MLflow and the processes that it has started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    else:
        process.terminate()
