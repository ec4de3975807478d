import signal
import subprocess
import sys

import pytest

from medseg.signals import Interrupted

AT_ONCE = """
import os, signal, sys, time
from medseg.signals import Interrupted, signals_raised
signum = int(sys.argv[1])
before = signal.getsignal(signum)
try:
    with signals_raised():
        os.kill(os.getpid(), signum)
        time.sleep(5)
except Interrupted as caught:
    print(caught.signum == signum, signal.getsignal(signum) is before)
"""
DEFERRED = """
import os, signal, time
from medseg.signals import Interrupted, signals_deferred, signals_raised
with signals_raised(), signals_deferred() as pending:
    print(pending.signum is None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    print(pending.signum == signal.SIGTERM)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except Interrupted:
        print(True)
"""
TWICE = """
import os, signal
from medseg.signals import signals_deferred, signals_raised
with signals_raised(), signals_deferred() as pending:
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    print(pending.signum == signal.SIGTERM)
"""
UNASKED = """
import signal
from medseg.signals import signals_deferred
before = signal.getsignal(signal.SIGINT)
with signals_deferred() as pending:
    print(signal.getsignal(signal.SIGINT) is before, pending.came())
"""
BESIDE = """
import signal, threading
from medseg.signals import signals_deferred, signals_raised
def block():
    with signals_raised(), signals_deferred() as pending:
        print(signal.getsignal(signal.SIGINT) is before, pending.came())
before = signal.getsignal(signal.SIGINT)
thread = threading.Thread(target=block)
thread.start()
thread.join()
"""


def run(script: str, *arguments: int) -> str:
    """What it prints, in a process of its own: a signal that comes late would end the one that runs the tests."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_raised_at_once(signum: signal.Signals) -> None:
    assert run(AT_ONCE, signum) == "True True\n"


def test_first_is_deferred_second_is_raised() -> None:
    assert run(DEFERRED) == "True\nTrue\nTrue\n"


def test_a_launcher_may_pass_on_the_signal_that_came() -> None:
    assert run(TWICE) == "True\n"


@pytest.mark.parametrize("script", [UNASKED, BESIDE])
def test_handlers_are_left_alone_outside_a_command_and_outside_the_main_thread(script: str) -> None:
    assert run(script) == "True False\n"


def test_nothing_takes_it_for_a_failure() -> None:
    assert not issubclass(Interrupted, Exception)
