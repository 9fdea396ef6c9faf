"""A connection whose errors quote no data.

PostgreSQL puts the row that it refuses into the DETAIL of its error, the line of a COPY into the CONTEXT, and a value
that it cannot read into the message itself; psycopg makes one text of all of them, which ends in event logs, run
failures and tracebacks. The parts stay readable in `error.diag`, for code that knows what it may show.
"""

from typing import Any

import psycopg

from ledger_assets.accounting.masking import masked_text, without_quotes

_DATA_EXCEPTION = "22"


class DiscreetConnection(psycopg.Connection[Any]):
    """psycopg's own, but what its errors say as text is the message and the hint, masked."""

    def wait(self, *args: Any, **options: Any) -> Any:
        """Every statement, fetch, COPY and commit comes through here."""
        try:
            return super().wait(*args, **options)
        except psycopg.Error as error:
            _make_discreet(error)
            raise


def _make_discreet(error: psycopg.Error) -> None:
    message = error.diag.message_primary
    if message is None:
        return  # not an answer of the server: the connection is gone
    if (error.sqlstate or "").startswith(_DATA_EXCEPTION):
        message = without_quotes(message)
    hint = f"\nHINT:  {error.diag.message_hint}" if error.diag.message_hint else ""
    error.args = (masked_text(message + hint), *error.args[1:])
