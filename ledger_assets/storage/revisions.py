"""Which migrations there are, and which of them a ledger database has.

Belongs here: looking. Not here: migrating (migrations.py). They are apart because every command looks and hardly one
migrates: Alembic and SQLAlchemy cost `ledger-assets status` a quarter of a second of imports.
"""

from pathlib import Path

import psycopg

from ledger_assets.storage.database import DatabaseError, connect

SCRIPTS = Path(__file__).resolve().parents[2] / "sql" / "migrations"


def current_revision(url: str) -> str | None:
    """The newest migration that the database has, None for a database without any.

    Raises DatabaseError for a login that has no rights on this ledger.
    """
    with connect(url) as connection:
        found = connection.execute("SELECT to_regclass('public.ledger_assets_migration') IS NOT NULL").fetchone()
        if found is None or not found[0]:
            return None
        try:
            row = connection.execute("SELECT version_num FROM public.ledger_assets_migration").fetchone()
        except psycopg.errors.InsufficientPrivilege as fault:
            user = connection.info.user
            raise DatabaseError(
                f'user {user} has no role in this ledger: let an administrator run GRANT ledger_engine TO "{user}", '
                "or grant batch_admin, batch_operator, finance_viewer or auditor"
            ) from fault
        return None if row is None else str(row[0])


def newest_revision() -> str:
    """The newest migration that the code has, by the numbers of its files: what Alembic calls its head."""
    return max(path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*_*.py"))


def is_current(url: str) -> bool:
    """Whether there is nothing to migrate. Raises DatabaseError for a login that has no rights on this ledger."""
    return current_revision(url) == newest_revision()
