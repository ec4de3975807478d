"""How a command begins and ends: errors in one line on stderr, signals and exit codes as scripts rely on them."""

import os
import sys
from collections.abc import Callable

from medseg.errors import MedsegError


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process with its exit code.

    None is 0; 1 failed under way; 2 bad configuration or data; 130 or 143 on a signal.
    PyTorch's threads, which `main` imports, sleep where they have waited for each other for a millisecond or less (GNU
    OpenMP; variables that are set stay). Its own 300000 rounds take the cores from whatever runs beside them, so that
    a training was down to half; 1000 cost a sixth on a quiet machine (docs/performance.md has the figures).
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
