"""Check of the operating system: only Linux can predict folders."""

import os
import sys

from medseg.errors import ConfigError


def check_system() -> None:
    """Raise `ConfigError` unless this is Linux: the workers need its event descriptors and parent-death signals."""
    if sys.platform != "linux" or not hasattr(os, "eventfd"):
        raise ConfigError(
            "Predicting a folder needs Linux. On other systems, predict single images from Python: "
            "medseg.load_model(MODEL).predict(IMAGE)"
        )
