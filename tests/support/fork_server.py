"""A process that has imported what the commands need, and forks itself for each command that is asked for.

`forked` runs it and speaks with it: `python -m tests.support.fork_server ADDRESS`. A connection is one command: JSON
comes in with the descriptors of stdin, stdout and stderr; the process id goes out, then the exit code.
"""

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HEAVY = (
    *("mlflow", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "monai.losses", "ignite.engine"),
    *("matplotlib.figure", "highdicom", "nibabel", "SimpleITK", "scipy.stats", "imagehash", "jinja2"),
)
"""Imported by functions of the commands, as they get there."""


def import_all() -> None:
    """Import what commands import, but none of `pipelines`: `runpy` wants to be the first to do so."""
    from medseg.tracking.store import import_mlflow

    import_mlflow()
    for name in HEAVY:
        import_module(name)
    for path in sorted(Path("medseg").rglob("*.py")):
        import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def serve(address: str) -> dict[str, Any] | None:
    """Answer until stdin ends; None then. In a fork that is to run a command: which one, and with what."""
    commands: dict[int, tuple[int, socket.socket]] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as waiting:
        listener.bind(address)
        listener.listen()
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            for key, _ in waiting.select():
                if key.fd == 0:
                    for pid, _ in commands.values():
                        os.kill(pid, signal.SIGKILL)
                    return None
                if key.fileobj is not listener:
                    pid, connection = commands.pop(key.fd)
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with connection, suppress(BrokenPipeError):
                        connection.sendall(b"%d" % code)
                    continue
                connection, _ = listener.accept()
                request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                pid = os.fork()
                if pid == 0:
                    for number, descriptor in enumerate(descriptors):
                        os.dup2(descriptor, number)
                        os.close(descriptor)
                    for watch, (_, other) in commands.items():
                        os.close(watch)
                        other.close()
                    connection.close()
                    return json.loads(request)  # type: ignore[no-any-return]
                for descriptor in descriptors:
                    os.close(descriptor)
                watch = os.pidfd_open(pid)
                commands[watch] = pid, connection
                waiting.register(watch, selectors.EVENT_READ)
                connection.sendall(b"%d" % pid)


def run(request: dict[str, Any]) -> None:
    """`python -m MODULE ARGUMENTS`, from here on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    np.random.seed()  # of the global generator; Python's own reseeds itself
    if request["session"]:
        os.setsid()
    tempfile.tempdir = None  # which an import may have looked up
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which end this process
    import_all()
    gc.collect()
    gc.freeze()
    asked = serve(sys.argv[1])
    if asked is not None:
        run(asked)
