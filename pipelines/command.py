"""How a command begins and ends: errors in one line on stderr, signals and exit codes as scripts rely on them."""

import os
import sys
from collections.abc import Callable

from medseg.errors import MedsegError


def run_command(main: Callable[[], int | None]) -> None:
    """Run `main` and end the process with its exit code.

    None is 0; 1 failed under way; 2 bad configuration or data; 130 or 143 on a signal.
    PyTorch's threads, which `main` imports, sleep after a millisecond or less of waiting for each other (GNU OpenMP;
    variables that are set stay). Its own 300000 rounds take the cores from whatever runs beside them: with other
    programs a training was half as fast. Fewer rounds than these 20000 cost time on a quiet machine (figures in
    docs/performance.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from medseg.training.interrupt import Interrupted, signals_raised

    code = 0
    try:
        with signals_raised():
            code = main() or 0
    except MedsegError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except Interrupted as stopped:
        print(f"stopped by {stopped}", file=sys.stderr)
        code = 128 + stopped.signum
    sys.exit(code)
