"""The frame of every command: errors in one line on stderr, signals, exit codes. Scripts rely on them."""

import os
import sys
from collections.abc import Callable

from medseg.errors import MedsegError


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process with its exit code.

    The code is 0 if `main` returns None; 1 if it failed while it ran; 2 for bad configuration or data; 130 or 143 on a
    signal. GNU OpenMP lets PyTorch's waiting threads spin for 300000 rounds, which takes the cores from other programs
    and halved the speed of a training. Here they sleep after 20000 rounds, about a millisecond; 1000 rounds cost a
    sixth on a quiet machine (docs/speed.md has the figures). Variables that are set stay.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from medseg.log import show_log
    from medseg.signals import Interrupted, signals_raised

    code = 0
    try:
        with show_log(), signals_raised():
            code = main() or 0
    except MedsegError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except Interrupted as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        code = 128 + stopped.signum
    sys.exit(code)
