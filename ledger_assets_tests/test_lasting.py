"""Imports that stay: the garbage collector does not look at them, and is afterwards as it was."""

import gc
import subprocess
import sys

import pytest

from ledger_assets.lasting import lasting_imports

PROGRAM = """
import gc, sys
{before}
from ledger_assets.lasting import lasting_imports
frozen = gc.get_freeze_count()
with lasting_imports():
    assert not gc.isenabled()
    import decimal, click
assert gc.isenabled()
print(gc.get_freeze_count() > frozen)
"""


def has_kept(before: str) -> bool:
    program = PROGRAM.format(before=before)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout == "True\n"


def test_what_is_imported_is_not_searched_for_garbage():
    assert has_kept("")


def test_where_duckdb_has_come_already_nothing_is_kept():
    """Its binding reports on stderr whatever it finds still there at the end."""
    assert not has_kept("import duckdb")


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was_also_by_an_import_that_fails(enabled: bool):
    was = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError), lasting_imports():
            import no_such_module  # noqa: F401, PLC0415
        assert gc.isenabled() == enabled
    finally:
        gc.unfreeze()  # what failed, and with it what conftest.py keeps
        gc.freeze()
        (gc.enable if was else gc.disable)()
