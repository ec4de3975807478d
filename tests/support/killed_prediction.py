"""Run the command again and again, each time killed at a random moment: argv is a number, a seed, then its arguments.

The imports are paid once; each run is a fork of this process, which uses neither threads nor the network before.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import medseg.folder.report  # noqa: F401
from medseg.commands.predict_dicom import main


def run_killed(arguments: list[str], output: Path, patience: float) -> int:
    """Fork, run, and kill `patience` seconds after the first change in the output folder; the number of files then."""
    before = count(output)
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os._exit(main(arguments))
    deadline = time.monotonic() + 30
    while count(output) <= before and time.monotonic() < deadline and os.waitpid(child, os.WNOHANG)[0] == 0:
        time.sleep(0.01)
    time.sleep(patience)
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    return count(output)


def count(output: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(output))


if __name__ == "__main__":
    number, seed, *rest = sys.argv[1:]
    folder = Path(next(a for a in rest if a.startswith("output.dir=")).partition("=")[2])
    rng = random.Random(int(seed))
    for _ in range(int(number)):
        print(run_killed(rest, folder, rng.uniform(0, 0.7)), flush=True)
