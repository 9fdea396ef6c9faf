"""Worn tables and indexes put right: VACUUM, REINDEX (C5). What autovacuum does anyway it is left to do.

Each piece is a statement of its own that PostgreSQL can be killed in at any time. It waits a second for a lock and then
leaves the table for the next time, and it begins nothing while a month is being closed. It takes the rights of
ledger_owner: PostgreSQL lets nobody else vacuum a table, and says so only in a warning.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import psycopg
from psycopg import sql

from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.reading import records

OWNER: Final = "ledger_owner"
FULL_ENOUGH: Final = 50
"""An index whose leaf pages are less full, in percent, is built anew; one that is new has 90."""
UNKNOWN_DENSITY: Final = (
    "how full the indexes are was not looked at: it takes the extension pgstattuple, which the embedded server has not "
    "got (CREATE EXTENSION pgstattuple; GRANT pg_stat_scan_tables TO ledger_owner)"
)


@dataclass(frozen=True)
class Worn:
    """From when on a table or index is worn.

    Attributes:
        dead_rows: that many dead rows, and a fifth of the living: autovacuum should have come by then.
        pages: that many pages that are not all-visible, and a fifth of the table: index-only scans read the table then.
        age: transactions since the oldest in the table; None = half of what makes autovacuum come, whatever it is at.
        index_bytes: indexes below are not worth it.
    """

    dead_rows: int = 10_000
    pages: int = 1_000
    age: int | None = None
    index_bytes: int = 2**20


@dataclass(frozen=True)
class Piece:
    """Something to do; `left` says why it was not done: somebody has the table, or a close has begun."""

    what: str
    of: str
    why: str
    done: bool = False
    left: str = ""


@dataclass(frozen=True)
class Maintenance:
    """What was done, or would be, and what could not be looked at."""

    pieces: list[Piece] = field(default_factory=list)
    not_looked_at: str = ""


def maintain(url: str, *, worn: Worn = Worn(), dry_run: bool = False) -> Maintenance:
    """Vacuum worn tables, rebuild worn indexes, take away what killed rebuilds have left.

    Args:
        url: the ledger, with the rights of ledger_owner.
        dry_run: only say what would be done.
    """
    with closing(connect(url, autocommit=True, application_name="ledger-assets maintain")) as connection:
        # As gentle as autovacuum, and of no consequence to whoever waits for nothing.
        connection.execute("SET lock_timeout = '1s'; SET vacuum_cost_delay = '2ms'")
        (ours,) = records(connection, "housekeeping/hold_maintenance")
        if not ours["is_ours"]:
            return Maintenance(not_looked_at="somebody else is doing it just now")
        pieces: list[Piece] = []
        not_looked_at: list[str] = []
        for piece, command in _worn(connection, worn, not_looked_at.append):
            pieces.append(piece if dry_run else _done(connection, piece, command))
    return Maintenance(pieces, "; ".join(not_looked_at))


def _worn(
    connection: psycopg.Connection, worn: Worn, could_not: Callable[[str], None]
) -> Iterator[tuple[Piece, sql.Composed]]:
    """What there is to do, with the statement that does it."""
    limits = asdict(worn)
    for index in records(connection, "housekeeping/worn_indexes", **limits):
        if index["is_left_behind"]:
            name, shown = sql.Identifier(index["schema"], index["name"]), f"{index['schema']}.{index['name']}"
            piece = Piece("DROP INDEX", shown, "a rebuild that was killed has left it")
            yield piece, sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name)
    for table in records(connection, "housekeeping/worn_tables", **limits):
        freeze = sql.SQL("FREEZE, " if table["is_leaf"] else "")
        name = sql.Identifier(table["schema"], table["name"])
        # TRUNCATE would lock out readers, and has nothing to give back that will not be written again.
        command = sql.SQL("VACUUM ({}ANALYZE, TRUNCATE false) {}").format(freeze, name)
        yield Piece("VACUUM", f"{table['schema']}.{table['name']}", table["why"]), command
    yield from _bloated(connection, worn, could_not)


def _bloated(
    connection: psycopg.Connection, worn: Worn, could_not: Callable[[str], None]
) -> Iterator[tuple[Piece, sql.Composed]]:
    extension = records(connection, "housekeeping/pgstattuple")
    if not extension:
        could_not(UNKNOWN_DENSITY)
        return
    for index in records(connection, "housekeeping/worn_indexes", **asdict(worn)):
        if index["is_left_behind"]:
            continue
        name, shown = sql.Identifier(index["schema"], index["name"]), f"{index['schema']}.{index['name']}"
        asked = sql.SQL(statement("housekeeping/index_density")).format(
            pgstattuple=sql.Identifier(extension[0]["schema"]), index=sql.Literal(name.as_string())
        )
        ((density,),) = connection.execute(asked).fetchall()
        if density < FULL_ENOUGH:
            why = f"its pages are {density:.0f} % full"
            yield Piece("REINDEX", shown, why), sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(name)


def _done(connection: psycopg.Connection, piece: Piece, command: sql.Composed) -> Piece:
    """The piece, done or left. What a rebuild that gave up has made is taken away the next time."""
    for close in records(connection, "housekeeping/running_close"):
        return replace(piece, left=f"{close['batch_id']} is being closed ({close['state']})")
    try:
        connection.execute(command)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return replace(piece, left="somebody has it locked")
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject):
        return replace(piece, left="it is gone")
    except psycopg.errors.InsufficientPrivilege:  # the index of a TOAST table
        return replace(piece, left="it takes a superuser")
    return replace(piece, done=True)
