import os
import signal
import time

import pytest

from medseg.training.interrupt import Interrupted, signals_deferred, signals_raised


def send(signum: signal.Signals) -> None:
    """To this process, of whose threads another one may take it: the first one acts on it a moment later."""
    os.kill(os.getpid(), signum)
    time.sleep(0.5)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_raised_at_once(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as caught, signals_raised():
        send(signum)
    assert caught.value.signum == signum
    assert signal.getsignal(signum) is before


def test_first_is_deferred_second_is_raised() -> None:
    with signals_raised(), signals_deferred() as pending:
        assert pending.signum is None
        send(signal.SIGTERM)
        assert pending.signum == signal.SIGTERM
        with pytest.raises(Interrupted):
            send(signal.SIGINT)


def test_nothing_takes_it_for_a_failure() -> None:
    assert not issubclass(Interrupted, Exception)
