"""Worn tables and indexes: what is found and put right, what is left to others, and who may."""

from pathlib import Path

import psycopg
import pytest

from ledger_assets.storage.database import as_role, connect
from ledger_assets.storage.maintenance import UNKNOWN_DENSITY, Maintenance, Worn, maintain
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import deliver, execute, fingerprint, staged, value_of

LEAF = "ledger.je_line_2024_01_monthend_a1_w001"
NOTHING_WORN = Maintenance(not_looked_at=UNKNOWN_DENSITY)


def owner(url: str) -> str:
    return as_role(superuser(url), "ledger_owner")


def left(result: Maintenance) -> dict[str, str]:
    return {piece.of: piece.left for piece in result.pieces}


def test_old_and_dead_rows_are_vacuumed_and_the_books_stay_as_they_are(closed_url: str):
    before = fingerprint(closed_url)
    assert maintain(owner(closed_url)) == NOTHING_WORN
    execute(
        closed_url,
        "INSERT INTO source.rejected_row (load_id, row_number, reasons, raw) "
        "SELECT 1, n, ARRAY['X'], '{}' FROM generate_series(1, 60) AS n",
    )
    execute(closed_url, "DELETE FROM source.rejected_row")
    dead = maintain(owner(closed_url), worn=Worn(dead_rows=50), dry_run=True)
    assert [(piece.of, piece.why, piece.done) for piece in dead.pieces] == [
        ("source.rejected_row", "60 dead rows beside 0", False)
    ]
    assert [piece.done for piece in maintain(owner(closed_url), worn=Worn(dead_rows=50)).pieces] == [True]
    assert maintain(owner(closed_url), worn=Worn(dead_rows=50)) == NOTHING_WORN
    age = f"SELECT age(relfrozenxid) FROM pg_class WHERE oid = '{LEAF}'::regclass"
    old = value_of(closed_url, age)
    done = {piece.of: piece for piece in maintain(owner(closed_url), worn=Worn(age=old)).pieces}
    assert done[LEAF].done
    assert "transactions old" in done[LEAF].why
    assert value_of(closed_url, age) < old
    assert fingerprint(closed_url) == before


def test_what_somebody_has_locked_is_left_and_the_rest_is_done(closed_url: str):
    with connect(closed_url) as reader:
        reader.execute("LOCK TABLE control.batch IN ACCESS SHARE MODE")
        with connect(superuser(closed_url)) as other:
            other.execute(f"LOCK TABLE {LEAF} IN SHARE UPDATE EXCLUSIVE MODE")
            result = maintain(owner(closed_url), worn=Worn(age=1))
    told = left(result)
    assert told.pop(LEAF) == "somebody has it locked"
    assert set(told.values()) == {""}
    assert "control.batch" in told


def test_nothing_is_done_while_a_month_is_closed(closed_url: str, tmp_path: Path):
    deliver(closed_url, "2024-03", folder=tmp_path)
    staged(closed_url, "2024-03")
    told = left(maintain(owner(closed_url), worn=Worn(age=1)))
    assert set(told.values()) == {"2024-03-MONTHEND is being closed (VALIDATING)"}


def test_what_a_killed_rebuild_left_is_taken_away(closed_url: str):
    with connect(superuser(closed_url)) as reader, connect(owner(closed_url), autocommit=True) as rebuild:
        reader.execute("SELECT count(*) FROM audit.batch_operation")
        rebuild.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            rebuild.execute("REINDEX INDEX CONCURRENTLY audit.batch_operation_pkey")
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert value_of(closed_url, invalid) > 0
    assert {piece.what for piece in maintain(owner(closed_url)).pieces} == {"DROP INDEX"}
    assert value_of(closed_url, invalid) == 0


def test_only_the_owner_may(closed_url: str):
    """PostgreSQL only warns of a table that it may not vacuum: the rights are asked for before."""
    with connect(closed_url, autocommit=True) as engine:
        notices: list[str] = []
        engine.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        engine.execute("VACUUM control.batch")
    assert len(notices) == 1
    assert "permission denied to vacuum" in notices[0]
