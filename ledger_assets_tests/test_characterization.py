"""What others' software does that ours relies on: one test for each fact, so that an upgrade tells."""

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from ledger_assets.storage import server_site
from ledger_assets.storage.server import EmbeddedServer

# The embedded server


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_initdb_wants_an_account_with_a_name(tmp_path: Path):
    program = server_site._binaries(server_site.SERVER_ACCOUNT) / "initdb"
    result = subprocess.run(
        [program, "-D", tmp_path / "data"], capture_output=True, text=True, check=False, cwd="/",
        user=server_site.SERVER_ACCOUNT, group=server_site.SERVER_ACCOUNT, extra_groups=[],
    )  # fmt: skip
    assert "user does not exist" in result.stderr


def test_the_build_has_no_lz4_and_our_settings_are_in_force(run_home: Path):
    url = EmbeddedServer(run_home).ensure_running()
    with psycopg.connect(url, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            connection.execute("SET wal_compression = lz4")
        settings = dict(connection.execute("SELECT name, setting FROM pg_settings").fetchall())
    expected = {
        "data_checksums": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_level": "minimal",
        "listen_addresses": "", "jit": "off", "max_locks_per_transaction": "256", "server_encoding": "UTF8",
    }  # fmt: skip
    assert {name: settings[name] for name in expected} == expected


def test_a_refused_connection_carries_no_sqlstate(run_home: Path):
    EmbeddedServer(run_home).ensure_running()
    with pytest.raises(psycopg.OperationalError, match='database "none" does not exist') as caught:
        psycopg.connect(EmbeddedServer(run_home).url_for("none"))
    assert caught.value.sqlstate is None


def test_sqlalchemy_takes_a_bare_url_for_psycopg_3():
    assert sqlalchemy.make_url("postgresql://u@h/d").get_dialect().driver == "psycopg"
