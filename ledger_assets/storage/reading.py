"""Rows of a named statement, column by column: for people to read, personal data masked, and for programs."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.masking import masked_record
from ledger_assets.storage.database import statement


def rows(connection: psycopg.Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of `sql/<name>.sql` as mappings of column to value, personal data masked."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [masked_record(row) for row in cursor.execute(statement(name), parameters).fetchall()]


def records(connection: psycopg.Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """As `rows`, as they are: for what is computed with, and shown to nobody."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), parameters).fetchall()
