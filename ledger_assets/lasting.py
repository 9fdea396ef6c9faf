"""Imports that stay until the process ends, without the garbage collector's time.

Belongs here: nothing else.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """What is imported inside is not searched for garbage: not while it comes, nor while it is there, nor at the end.

    Dagster and its company are half a million objects of which none becomes garbage. Looking for it while they come
    took 0.3 s of CPU time of a close, looking once more when the process ends 0.5 s. They go as everything goes when a
    process ends. DuckDB has to come later: its binding reports on stderr whatever it finds still there at the end, so
    where it has come already nothing is kept.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if "duckdb" not in sys.modules:
            gc.freeze()
        if was_enabled:
            gc.enable()
