"""The folder of real data beside the checkout, where there is one."""

from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "data"
