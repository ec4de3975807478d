"""The frame of every command: errors in one line on stderr, signals, exit codes. Scripts rely on them."""

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from medseg.errors import ConfigError, MedsegError


def run_command(main: Callable[[], int | None], *, together: bool = False) -> None:
    """Run `main` and end the process with its exit code.

    Of several processes that torchrun starts, only the first one prints, and every error is printed once. Commands that
    do not work `together` refuse several processes.

    The code is 0 if `main` returns None; 1 if it failed while it ran; 2 for bad configuration or data; 130 or 143 on a
    signal; 141 if the reader of stdout ended first. GNU OpenMP lets PyTorch's waiting threads spin for 300000 rounds,
    which takes the cores from other programs and halved the speed of a training. Here they sleep after 20000 rounds,
    about a millisecond; 1000 rounds cost a sixth on a quiet machine (docs/speed.md has the figures). Variables that are
    set stay.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from medseg.hardware.processes import Processes
    from medseg.log import show_log
    from medseg.signals import Interrupted, signals_raised

    code, processes = 0, Processes.from_environment()
    is_first = processes.is_first
    try:
        with ExitStack() as stack:
            stack.enter_context(show_log(logging.INFO if is_first else logging.WARNING))
            stack.enter_context(signals_raised())
            if not is_first:
                stack.enter_context(redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            if processes.size > 1 and not together:
                raise ConfigError(_refuse(processes.size))
            code = main() or 0
    except MedsegError as error:
        if is_first if error.told is None else not error.told:
            _tell(f"error: {error}")
        code = error.exit_code
    except Interrupted as stopped:
        if is_first:
            _tell(f"stopped by {stopped}")
        code = 128 + stopped.signum
    except BrokenPipeError:
        if not _is_unread(sys.stdout):
            raise
        code = 128 + signal.SIGPIPE
    sys.exit(_finish_output(code))


def _finish_output(code: int) -> int:
    """The exit code of a command that would end with `code`, after its last output."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]  # None: closed from the start
    for stream in streams:
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 128 + signal.SIGPIPE
        if _is_unread(stream):  # what is left to print goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _tell(text: str) -> None:
    with suppress(OSError):  # nobody reads on
        print(text, file=sys.stderr)


def _is_unread(stream: TextIO) -> bool:
    """Whether `stream` is a pipe whose reader has ended, as `| head` does."""
    poll = select.poll()
    with suppress(OSError):  # no file, as in a notebook
        poll.register(stream, 0)  # errors alone
    return bool(poll.poll(0))


def _refuse(count: int) -> str:
    return (
        f"torchrun started {count} processes, but only the train command runs on several. Start this command without "
        "torchrun. The folds of a cross-validation can be trained one by one: medseg train with split.folds and "
        "split.fold"
    )
