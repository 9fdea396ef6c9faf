"""Waiting for what happens in another process, thread or server, however busy the machine is."""

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 120
"""Seconds after which something has gone wrong. Who waits for less fails on a machine that has other things to do."""


def wait_until(happens: Callable[[], object], *, pause: float = 0.01) -> None:
    """Ask again every `pause` seconds, until it is so. Raises AssertionError when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, f"it did not happen within {PATIENCE} s"
        time.sleep(pause)
