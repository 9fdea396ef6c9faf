"""Control totals: what the stored rows of a batch add up to, read by PostgreSQL itself.

`measure` lets the server read every leaf once and keep the result, stamped with the version of the rows; `read`
collects it for the gates. A leaf that nobody touched since is not read again, so the posting transaction can rely on
what the gates measured.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ledger_assets.accounting.gates import (
    AccountTotals,
    ControlTotals,
    LoadTotals,
    OriginTotals,
    SourceTotals,
    WorkerTotals,
)
from ledger_assets.storage.batches import explained
from ledger_assets.storage.database import in_transaction, statement


def measure(url: str, batch_id: str, *, connections: int = 2) -> None:
    """Have the server read what it has not read yet, over a few connections; each leaf is a transaction.

    Raises BatchStateError when another run has replaced the batch meanwhile.
    """
    workers = _listed(url, "control/batch_workers", batch_id)
    work: list[Callable[[], None]] = [partial(measure_worker, url, batch_id, number) for (number,) in workers]
    work += [partial(measure_loads, url, batch_id), partial(_read, url, "control/measure_origin", batch_id=batch_id)]
    with ThreadPoolExecutor(connections) as pool:
        for reading in [pool.submit(read_leaves) for read_leaves in work]:
            reading.result()


def measure_worker(url: str, batch_id: str, worker_number: int) -> None:
    """Have the server add up the two leaves of a worker that has completed, unless they are as it read them before."""
    _read(url, "control/measure_worker", batch_id=batch_id, worker_number=worker_number)


def measure_loads(url: str, batch_id: str) -> None:
    """Have the server add up the loads that a batch is made of, unless they are as it read them before."""
    for (load_id,) in _listed(url, "control/batch_loads", batch_id):
        _read(url, "control/measure_load", load_id=load_id)


def _listed(url: str, name: str, batch_id: str) -> list[tuple[Any, ...]]:
    return in_transaction(
        url, lambda connection: connection.execute(statement(name), {"batch_id": batch_id}).fetchall()
    )


def _read(url: str, name: str, **arguments: Any) -> None:
    with explained():
        in_transaction(url, lambda connection: connection.execute(statement(name), arguments))


def read(connection: psycopg.Connection, batch_id: str) -> ControlTotals:
    """The control totals as measured; amounts in minor units."""

    def rows(name: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement(f"control/{name}"), {"batch_id": batch_id}).fetchall()

    ((first_je_number, next_je_number),) = rows("batch_numbers")
    return ControlTotals(
        batch_id=batch_id,
        first_je_number=first_je_number,
        next_je_number=next_je_number,
        loads=[
            LoadTotals(load, count, int(was), now, int(checksum))
            for load, count, was, now, checksum in rows("load_control_totals")
        ],
        source={
            name: SourceTotals(
                count, {"tabarru_amount": int(tabarru), "tanahud_amount": int(tanahud), "ujroh_amount": int(ujroh)}
            )
            for name, count, tabarru, tanahud, ujroh in rows("source_control_totals")
        },
        staged=dict(rows("staged_control_totals")),
        workers=_workers(connection, batch_id),
        accounts=[
            AccountTotals(
                account_id,
                code,
                fund,
                kind,
                is_open,
                mirror,
                (source_type, component) if source_type else None,
                int(debit),
                int(credit),
            )
            for account_id, code, fund, kind, is_open, mirror, source_type, component, debit, credit in rows(
                "account_control_totals"
            )
        ],
        open_exceptions=dict(rows("open_exceptions")),
        origin=_origin(connection, batch_id),
    )


def _origin(connection: psycopg.Connection, batch_id: str) -> OriginTotals | None:
    parameters = {"batch_id": batch_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        totals = cursor.execute(statement("control/origin_totals"), parameters).fetchone()
    if totals is None:
        return None
    accounts = connection.execute(statement("control/expected_accounts"), parameters).fetchall()
    return OriginTotals(
        **totals, accounts={account_id: (code, int(debit), int(credit)) for account_id, code, debit, credit in accounts}
    )


def _workers(connection: psycopg.Connection, batch_id: str) -> list[WorkerTotals]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("control/worker_control_totals"), {"batch_id": batch_id}).fetchall()
    return [
        WorkerTotals(
            worker_number=row["worker_number"],
            reserved=_range(row["reserved_first"], row["reserved_last"]),
            reported_entries=row["reported_entries"],
            reported_lines=row["reported_lines"],
            numbers=_range(row["first_number"], row["last_number"]),
            entries=row["entries"],
            lines=row["lines"],
            debit=int(row["debit_total"]),
            credit=int(row["credit_total"]),
            unbalanced_entries=row["unbalanced_entries"],
            fund_unbalanced_entries=row["fund_unbalanced_entries"],
            header_line_mismatches=row["header_line_mismatches"],
            changes=row["changes"],
        )
        for row in rows
    ]


def _range(first: int | None, last: int | None) -> tuple[int, int] | None:
    return None if first is None or last is None else (first, last)
