"""Bring a ledger database to the current schema: Alembic runs the numbered SQL files of `sql/migrations/`.

Alembic keeps the list of what ran; the SQL stays SQL. All pending files run in one transaction behind an advisory lock:
two processes that migrate at once do it once, and a process killed in the middle leaves the schema as it was. The
transaction ends by handing everything to ledger_owner and giving the rights anew (`sql/access/grants.sql`): a file need
not say who may use what it makes, and a function that it replaces keeps what makes it safe.
"""

import logging

import alembic.command
import sqlalchemy
from alembic import op
from alembic.config import Config
from alembic.migration import MigrationContext

from ledger_assets.storage.database import DatabaseError, connect, ensure_roles, sqlalchemy_url, statement
from ledger_assets.storage.revisions import SCRIPTS, is_current, newest_revision

# Any number that nothing else of ours uses: the lock under which one process migrates and the others wait.
MIGRATION_LOCK = 7_305_051_910
_INSUFFICIENT_PRIVILEGE = "42501"


_VERSION_TABLE = {"version_table": "ledger_assets_migration", "version_table_schema": "public"}
_RECORD = sqlalchemy.text(
    "SELECT audit.record_operation('MIGRATE', session_user::text, 'SUCCESS', "
    "details => jsonb_build_object('before', CAST(:before AS text), 'after', CAST(:after AS text)))"
)


def apply_file(name: str) -> None:
    """Run one file of `sql/migrations/` as a whole, inside Alembic's transaction."""
    _run(op.get_bind(), (SCRIPTS / f"{name}.sql").read_text(encoding="utf-8"))


def _run(connection: sqlalchemy.Connection, text: str) -> None:
    """Through the driver, for which a % without parameters is a %."""
    driver_connection = connection.connection.driver_connection
    if driver_connection is None:
        raise RuntimeError("the connection is not open")
    with driver_connection.cursor() as cursor:
        cursor.execute(text)


def migrate(url: str) -> None:
    """Apply what is missing; does nothing on a current database.

    Raises DatabaseError when the login of the URL may not do it, and `sqlalchemy.exc.DBAPIError` with the server's own
    message when a statement fails; nothing of it stays then.
    """
    if is_current(url):
        return
    with connect(url, autocommit=True) as connection:
        user = connection.info.user
        try:
            ensure_roles(connection)
        except DatabaseError as fault:
            raise DatabaseError(
                f"the schema is not current and user {user} may not bring it up to date: {fault}"
            ) from fault
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    engine = sqlalchemy.create_engine(sqlalchemy_url(url), poolclass=sqlalchemy.pool.NullPool)
    try:
        with engine.begin() as transaction:
            transaction.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            before = MigrationContext.configure(transaction, opts=_VERSION_TABLE).get_current_revision()
            config.attributes["connection"] = transaction
            alembic.command.upgrade(config, "head")
            _run(transaction, statement("access/grants"))
            if before != newest_revision():  # another process may have been faster
                transaction.execute(_RECORD, {"before": before, "after": newest_revision()})
    except Exception as fault:
        cause = getattr(fault, "orig", fault)  # what the driver raised, by itself or through SQLAlchemy
        if getattr(cause, "pgcode", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        raise DatabaseError(
            f"the schema is not current and user {user} may not bring it up to date ({str(cause).strip()}): "
            "run ledger-assets migrate once with the LEDGER_DATABASE_URL of the database's owner"
        ) from fault
