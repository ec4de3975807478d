"""Commands, `python -m MODULE ARGUMENTS`, in processes of their own.

A fresh process imports PyTorch, MONAI and MLflow for ten seconds. A forked one comes from a process that has done so
(`fork_server`); its arguments, environment, signals, exit code and what it prints are as usual. One test of each
command takes a fresh one, as do tests of the start itself, of a limit of the shell, of the memory of a process tree.
"""

import atexit
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Self

ROOT = Path(__file__).parents[2]


class Forked:
    """A running command, as `subprocess.Popen` has it in text mode with both pipes. A context manager."""

    def __init__(
        self,
        module: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> None:
        self.module = module
        request = {
            "module": module,
            "arguments": list(map(str, arguments)),
            "environment": {**os.environ, **(environment or {})},
            "session": start_new_session,
        }
        out, err = os.pipe(), os.pipe()
        self.stdout, self.stderr = (_open(start) for start, _ in (out, err))
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(_start_server())
        with Path(os.devnull).open() as nothing:
            socket.send_fds(self._server, [json.dumps(request).encode()], [nothing.fileno(), out[1], err[1]])
        os.close(out[1])
        os.close(err[1])
        self.pid = self._receive()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the command runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code once the command has ended; None where it has not after `timeout` seconds."""
        if self.returncode is None and select.select([self._server], [], [], timeout)[0]:
            self.returncode = self._receive()
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it printed up to its end. Killed after `timeout` seconds, which raises `subprocess.TimeoutExpired`."""
        with ThreadPoolExecutor(2) as readers:
            printed = [readers.submit(file.read) for file in (self.stdout, self.stderr)]
            _, late = futures.wait(printed, timeout)
            if late:
                self.kill()
                raise subprocess.TimeoutExpired(self.module, timeout)
        self.wait()
        return printed[0].result(), printed[1].result()

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        self.stdout.close()
        self.stderr.close()
        self.wait()
        self._server.close()

    def _receive(self) -> int:
        answer = self._server.recv(32)
        assert answer, "the fork server has ended"
        return int(answer)


def run_forked(
    module: str, *arguments: object, timeout: float = 240, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What a forked command printed, and how it ended."""
    with Forked(module, *arguments, environment=environment) as process:
        stdout, stderr = process.communicate(timeout)
    assert process.returncode is not None
    return subprocess.CompletedProcess([module, *map(str, arguments)], process.returncode, stdout, stderr)


def run_fresh(module: str, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The same in a process that shares nothing with others."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def _open(descriptor: int) -> IO[str]:
    return open(descriptor, errors="backslashreplace")


@functools.cache
def _start_server() -> str:
    """The address of the server of these tests, which ends with them."""
    folder = tempfile.mkdtemp(prefix="medseg-tests-")
    address = f"{folder}/server"
    command = [sys.executable, "-m", "tests.support.fork_server", address]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()

    def stop() -> None:
        process.stdin.close()
        process.wait()
        shutil.rmtree(folder)

    atexit.register(stop)
    return address
