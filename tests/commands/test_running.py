import logging
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from medseg.commands.running import run_command
from medseg.errors import ConfigError


def fail():
    raise ConfigError("train.minutes: too few")


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1)])
def test_what_main_returns_is_the_exit_code(result, code):
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: result)
    assert ended.value.code == code


def test_an_error_is_one_line_on_stderr(capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(fail)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: train.minutes: too few\n"


def test_what_the_library_logs_is_shown_before_the_error(capsys):
    def log_and_fail():
        logging.getLogger("medseg.data").info("reading")
        fail()

    with pytest.raises(SystemExit):
        run_command(log_and_fail)
    assert capsys.readouterr().err == "reading\nerror: train.minutes: too few\n"


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_soon_sleep_unless_the_user_says_otherwise(monkeypatch, given, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that what `run_command` sets is undone
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        run_command(lambda: 0)
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_a_broken_pipe_other_than_stdout_is_an_error():
    def lose_a_worker():
        raise BrokenPipeError

    with Path(os.devnull).open("w") as read, redirect_stdout(read), pytest.raises(BrokenPipeError):
        run_command(lose_a_worker)


@pytest.mark.parametrize("unread", ["stdout", "stderr"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_error_keeps_its_code_when_nobody_reads(unread, unbuffered):
    reading, writing = os.pipe()
    os.close(reading)
    code = (
        "from medseg.commands.running import run_command; from medseg.errors import ConfigError\n"
        "def fail():\n    print('begun')\n    raise ConfigError('too few')\nrun_command(fail)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, unread: writing}
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run([sys.executable, "-c", code], **pipes, env=env, text=True, check=False)
    os.close(writing)
    lost = unread == "stdout" and unbuffered  # the command could not go on
    assert done.returncode == (128 + signal.SIGPIPE if lost else 2)
    assert done.stderr in (None, "" if lost else "error: too few\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_streams_may_be_closed_from_the_start(closed):
    code = "from medseg.commands.running import run_command; run_command(lambda: print('done'))"
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
