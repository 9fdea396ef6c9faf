"""Batches that are derived from the books (A6, E4): the reversal of a posted batch, the year end.

They are staged, gated and posted as deliveries are. What may be opened is decided in PostgreSQL (migration 0011); which
entries they consist of, in `accounting/reversal.py` and `accounting/year_end.py`.
"""

from collections.abc import Generator, Sequence
from functools import partial

import psycopg
from psycopg import sql

from ledger_assets.accounting.posting import HEADERS, LINES, Expansion
from ledger_assets.accounting.reversal import reverse
from ledger_assets.accounting.year_end import ClosingBalance, carry_to_surplus
from ledger_assets.storage.audit import attempting
from ledger_assets.storage.batches import Batch, GateFailed, explained, post_batch, take_snapshot
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.database import in_transaction, statement
from ledger_assets.storage.packed_rows import read
from ledger_assets.storage.staging import Shard, Shards, stage_shards
from ledger_assets.storage.validation import validate


def reverse_batch(
    url: str,
    batch_id: str,
    *,
    opened_by: str,
    into_period: str,
    reason: str,
    confirmation: str,
    first_period: str,
    performed_by: str,
) -> Batch:
    """Book every entry of a posted batch once more with debits and credits swapped, in an open month.

    The original stays. Opened through the URL `opened_by`, of somebody with the role batch_admin; staged and posted by
    the engine. Returns the posted batch. Raises BatchStateError (not posted, reversed before, month not open),
    NotConfirmed, PreflightFailed, GateFailed; a batch that failed its gates stays staged until it is aborted.
    """
    opening = {"batch_id": batch_id, "period": into_period, "reason": reason, "confirmation": confirmation}
    opening |= {"first_period": first_period, "performed_by": performed_by}
    with attempting(
        opened_by, "REVERSE", performed_by=performed_by, period=into_period, original=batch_id, reason=reason
    ):
        batch = _opened(opened_by, "control/open_reversal", opening)
    _stage(url, batch, partial(_counter_entries, url, batch), performed_by)
    in_transaction(
        url,
        lambda connection: post_batch(connection, batch.batch_id, first_period=first_period, performed_by=performed_by),
    )
    return in_transaction(url, lambda connection: read_batch(connection, batch.batch_id))


def close_year(
    url: str, year: str, *, opened_by: str, reason: str, confirmation: str, first_period: str, performed_by: str
) -> Batch:
    """Carry the income and expense of a year to the surplus of each fund, in its closed December.

    Opened through the URL `opened_by`, of somebody with the role batch_admin; staged and posted by the engine. Returns
    the posted batch; December is closed again on the balances after it, in the same transaction. Raises BatchStateError
    (December not closed, nothing to carry, a fund without exactly one equity account), BuiltUpon (the next year has
    begun), NotConfirmed, GateFailed.
    """
    opening = {"year": year, "reason": reason, "confirmation": confirmation}
    opening |= {"first_period": first_period, "performed_by": performed_by}
    with attempting(opened_by, "YEAR_END", performed_by=performed_by, year=year, reason=reason):
        batch = _opened(opened_by, "control/open_year_end", opening)
    _stage(url, batch, partial(_year_end_entries, url, batch), performed_by)

    def post_and_close_again(connection: psycopg.Connection) -> None:
        with connection.transaction():
            post_batch(connection, batch.batch_id, first_period=first_period, performed_by=performed_by)
            take_snapshot(connection, batch.period, first_period=first_period, performed_by=performed_by)

    in_transaction(url, post_and_close_again)
    return in_transaction(url, lambda connection: read_batch(connection, batch.batch_id))


def _opened(url: str, name: str, parameters: dict[str, str]) -> Batch:
    """A batch whose opening was not confirmed, because the connection was lost, is given up by the next one."""

    def opened(connection: psycopg.Connection) -> Batch:
        row = connection.execute(statement(name), parameters).fetchone()
        if row is None:
            raise AssertionError(f"{name} returned no row")
        return read_batch(connection, row[0])

    with explained():
        return in_transaction(url, opened)


def _stage(url: str, batch: Batch, shards: Shards, performed_by: str) -> None:
    stage_shards(url, batch, shards, performed_by=performed_by)
    gates = validate(url, batch, performed_by=performed_by)
    failed = [gate.verdict for gate in gates if not gate.verdict.passed]
    if failed:
        problems = "; ".join(f"{verdict.gate}: {verdict.detail}" for verdict in failed)
        raise GateFailed(
            batch.batch_id, problems, f"look at the staged rows, then ledger-assets abort {batch.batch_id}"
        )


def _counter_entries(url: str, batch: Batch, numbers: Sequence[int]) -> Generator[Shard]:
    def entries(place: dict[str, str | int], first_number: int) -> tuple[Expansion, int]:
        headers, lines = in_transaction(
            url,
            lambda connection: (
                read(connection, _of("ledger/read_headers", place), HEADERS, order=["je_number"]),
                read(connection, _of("ledger/read_lines", place), LINES, order=["je_number", "line_number"]),
            ),
        )
        return reverse(headers, lines, first_je_number=first_number, period=batch.period), headers.height

    workers = in_transaction(
        url,
        lambda connection: connection.execute(
            statement("control/reversed_workers"), {"batch_id": batch.batch_id}
        ).fetchall(),
    )
    for worker_number, period, first, last in workers:
        if worker_number in numbers:
            place = {"period": period, "first_je_number": first, "last_je_number": last}
            yield worker_number, partial(entries, place)


def _year_end_entries(url: str, batch: Batch, numbers: Sequence[int]) -> Generator[Shard]:
    def entries(first_number: int) -> tuple[Expansion, int]:
        expansion = in_transaction(url, lambda connection: _carried(connection, batch, first_number))
        return expansion, expansion.headers.height

    for worker_number in numbers:  # it has one
        yield worker_number, entries


def _carried(connection: psycopg.Connection, batch: Batch, first_number: int) -> Expansion:
    rows = connection.execute(statement("snapshot/result_balances"), {"period": batch.period}).fetchall()
    surplus: dict[str, int] = dict(connection.execute(statement("acct/surplus_accounts")).fetchall())
    ((template_id,),) = connection.execute(statement("acct/year_end_template")).fetchall()
    return carry_to_surplus(
        [ClosingBalance(account_id, fund, int(minor)) for account_id, fund, minor in rows],
        surplus,
        template_id=template_id,
        first_je_number=first_number,
        period=batch.period,
    )


def _of(name: str, place: dict[str, str | int]) -> sql.Composed:
    return sql.SQL(statement(name)).format(**place)
