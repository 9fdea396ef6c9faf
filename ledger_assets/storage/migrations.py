"""Bring a ledger database to the current schema: Alembic runs the numbered SQL files of `sql/migrations/`.

Alembic keeps the list of what ran; the SQL stays SQL. All pending files run in one transaction behind an advisory lock:
two processes that migrate at once do it once, and a process killed in the middle leaves the schema as it was.
"""

import logging
from pathlib import Path

import alembic.command
import sqlalchemy
from alembic import op
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ledger_assets.storage.database import connect, sqlalchemy_url

SCRIPTS = Path(__file__).resolve().parents[2] / "sql" / "migrations"

# Any number that nothing else of ours uses: the lock under which one process migrates and the others wait.
MIGRATION_LOCK = 7_305_051_910


_VERSION_TABLE = {"version_table": "ledger_assets_migration", "version_table_schema": "public"}
_RECORD = sqlalchemy.text(
    "SELECT audit.record_operation('MIGRATE', session_user::text, 'SUCCESS', "
    "details => jsonb_build_object('before', CAST(:before AS text), 'after', CAST(:after AS text)))"
)


def apply_file(name: str) -> None:
    """Run one file of `sql/migrations/` as a whole, inside Alembic's transaction."""
    text = (SCRIPTS / f"{name}.sql").read_text(encoding="utf-8")
    driver_connection = op.get_bind().connection.driver_connection
    if driver_connection is None:
        raise RuntimeError("Alembic handed over a connection that is not open")
    with driver_connection.cursor() as cursor:
        cursor.execute(text)


def current_revision(url: str) -> str | None:
    """The newest migration that the database has, None for a database without any."""
    with connect(url) as connection:
        found = connection.execute("SELECT to_regclass('public.ledger_assets_migration') IS NOT NULL").fetchone()
        if found is None or not found[0]:
            return None
        row = connection.execute("SELECT version_num FROM public.ledger_assets_migration").fetchone()
        return None if row is None else str(row[0])


def newest_revision() -> str | None:
    """The newest migration that the code has."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


def migrate(url: str) -> None:
    """Apply what is missing; does nothing on a current database.

    Raises `sqlalchemy.exc.DBAPIError` with the server's own message when a statement fails; nothing of it stays then.
    """
    if current_revision(url) == newest_revision():
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=sqlalchemy.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        before = MigrationContext.configure(connection, opts=_VERSION_TABLE).get_current_revision()
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
        if before != newest_revision():  # another process may have been faster
            connection.execute(_RECORD, {"before": before, "after": newest_revision()})
