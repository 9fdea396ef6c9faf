"""The audit trail: what clients have to write into it, and its proof (A9).

What changes the books is recorded where it happens, in PostgreSQL, in the same transaction. Here is the rest: an
attempt that was refused (its transaction is rolled back, with everything that it wrote), and what changes nothing but
is to be known (gates, exports, verifications).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from ledger_assets.accounting.audit_chain import ChainFinding, Link, Witness, verify
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.masking import masked_text
from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.unstorable_text import storable

_LOG = logging.getLogger(__name__)
_AT_A_TIME = 10_000
_RECORDED = "_ledger_assets_recorded"
_TO_RECORD_A_REFUSAL = "SET lock_timeout = '5s'; SET statement_timeout = '10s'"


def record(
    connection: psycopg.Connection,
    operation: str,
    *,
    performed_by: str,
    outcome: Literal["SUCCESS", "FAILED"] = "SUCCESS",
    batch_id: str | None = None,
    period: str | None = None,
    **details: Any,
) -> None:
    """Write an operation in the connection's transaction. Details are masked as `masking.masked_text` does it.

    Only operations that change nothing in the books can be recorded as SUCCESS: the others record themselves.
    """
    connection.execute(
        statement("audit/record_operation"),
        {
            "operation": operation,
            "performed_by": performed_by,
            "outcome": outcome,
            "batch_id": batch_id,
            "period": period,
            "details": Jsonb(details),
        },
    )


@contextmanager
def attempting(
    where: str | psycopg.Connection,
    operation: str,
    *,
    performed_by: str,
    batch_id: str | None = None,
    period: str | None = None,
    **details: Any,
) -> Iterator[None]:
    """Around an operation: when it raises, a FAILED row says so, in a transaction and a connection of its own.

    The error itself is raised on, always; that it could not be recorded is a note on it and a line in the log. Nested
    uses record once, the innermost. Wants to stand outside of the operation's transaction: `with attempting(…),
    connection.transaction():`.

    Args:
        where: the URL, or a connection to the same database as the same user.
        operation: its name as in the trail: POST, ROLLBACK, REOPEN …
        performed_by: the person or program that tries.
        batch_id, period: what it is about.
        details: what else the row should say.
    """
    url = _url(where)  # now: of a connection that broke nobody can ask it any more
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as fault:
        if not getattr(fault, _RECORDED, False):
            particulars = {"performed_by": performed_by, "batch_id": batch_id, "period": period, **details}
            # What was given may be why it is refused.
            told = {name: storable(value) if isinstance(value, str) else value for name, value in particulars.items()}
            _record_refusal(url, operation, fault, told)
        raise


def _record_refusal(url: str, operation: str, fault: BaseException, particulars: dict[str, Any]) -> None:
    told = {name: particulars[name] for name in ("performed_by", "batch_id", "period") if particulars.get(name)}
    # INFO: without a set-up Python shows warnings on stderr, and the refusal is told there anyway.
    _LOG.info("attempt refused: %s", operation, extra={"operation": operation, **told, **_refusal(fault)})
    try:
        # Marked also when the recording fails: what stands around would only fail in the same way.
        setattr(fault, _RECORDED, True)
        with connect(url, autocommit=True) as connection:
            connection.execute(_TO_RECORD_A_REFUSAL)  # whoever waits for the answer is not to wait for the record
            record(connection, operation, outcome="FAILED", **{**particulars, **_told(fault)})
    except Exception as failure:  # noqa: BLE001 - whatever it is, the refusal itself has to get through
        note = f"this attempt could not be recorded in the audit trail: {_words(failure)}"
        fault.add_note(note)
        # Without a traceback, which may quote data.
        _LOG.error("%s by %s: %s", operation, particulars["performed_by"], note)


def _refusal(fault: BaseException) -> dict[str, str]:
    return {"error": type(fault).__name__, "refusal": _words(fault)}


def _told(fault: BaseException) -> dict[str, str]:
    told = {"error": type(fault).__name__, "message": _words(fault)}
    state = getattr(fault if isinstance(fault, psycopg.Error) else fault.__cause__, "sqlstate", None)
    return told | ({"sqlstate": str(state)} if state else {})


def _words(fault: BaseException) -> str:
    """What an error says if it is one of ours or of the database; others may quote what they choked on."""
    told = isinstance(fault, LedgerError | psycopg.Error)
    return masked_text(str(fault)) if told else type(fault).__name__


def _url(where: str | psycopg.Connection) -> str:
    """The URL of a connection's database; its own `dsn` leaves the password out."""
    if isinstance(where, str):
        return where
    if where.closed:
        return ""  # what is attempted on it will fail, and so will the recording, which says so
    return make_conninfo(where.info.dsn, **({"password": where.info.password} if where.info.password else {}))


def trail(
    connection: psycopg.Connection,
    *,
    period: str | None = None,
    batch_id: str | None = None,
    since: datetime | None = None,
) -> Iterator[Link]:
    """The trail in its order, operations without link last; streamed, however long it is. All of one moment."""
    with connection.transaction(), connection.cursor("audit_trail") as cursor:
        cursor.itersize = _AT_A_TIME
        cursor.execute(statement("audit/trail"), {"period": period, "batch_id": batch_id, "since": since})
        for position, operation_id, version, previous_hash, own_hash, *fields in cursor:
            is_there = fields[0] is not None
            yield Link(position, operation_id, version, previous_hash, own_hash, tuple(fields) if is_there else None)


def verify_trail(connection: psycopg.Connection, witnesses: Iterable[Witness] = ()) -> list[ChainFinding]:
    """Compute the whole chain again outside of the database; what is wrong with it, empty when it is whole.

    That its end was cut off shows only against `witnesses`: links that were noted elsewhere.
    """
    return list(verify(trail(connection), witnesses))


def last_link(connection: psycopg.Connection) -> Witness | None:
    """The end of the chain as it is now, to be noted outside of the database; None while nothing was recorded."""
    row = connection.execute(statement("audit/last_link")).fetchone()
    return None if row is None else Witness(*row)
