"""The gates as functions and the gates in SQL name the same ones, whatever is wrong with a staged batch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.gates import GATES, evaluate
from ledger_assets.storage import control_totals
from ledger_assets.storage.database import connect, statement
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD
from ledger_assets_tests.tampering import LEAF, TAMPERINGS, Scene, account, scene

ACCOUNTS: Final = ("1100-10", "2320-10", "2330-10", "4210-10", "1310-20", "4110-20", "1310-30", "4110-30", "5110-20")

CHART: Final = (
    "is_open = false",
    "fund = 'TABARRU'",
    "mirror_account_code = NULL",
    "recognised_type = 'CLAIM', recognised_component = 'ujroh_amount'",
    "account_type = 'EXPENSE'",
)
RECORD: Final = (
    "line_count = line_count + 1",
    "entry_count = entry_count - 1",
    "first_je_number = first_je_number + 1",
    "last_je_number = last_je_number - 1",
)
AN_EXCEPTION: Final = (
    "INSERT INTO control.exception_queue (batch_id, attempt, period, load_id, row_number, txn_id, reason, detail) "
    "VALUES ('2024-01-MONTHEND', 1, '2024-01', 1, 1, 'X', 'NO_TEMPLATE', '')"
)


PATTERNS: Final = (
    "UPDATE staging.je_line SET amount = amount + {amount} WHERE je_number = {number} AND line_number = {line}",
    "UPDATE staging.je_line SET account_id = {account} WHERE je_number = {number} AND line_number = {line}",
    "DELETE FROM staging.je_line WHERE je_number = {number} AND line_number = {line}",
    "UPDATE staging.je_header SET total_amount = total_amount + {amount} WHERE je_number = {number}",
    "DELETE FROM staging.je_header WHERE je_number = {number}",
    "UPDATE source.txn_source SET ujroh_amount = ujroh_amount + 1, {fund} = {fund} - 1 WHERE row_number = {number}",
    "DELETE FROM source.txn_source WHERE row_number = {number}",
    "UPDATE acct.chart_of_accounts SET {chart} WHERE account_code = '{code}'",
    "UPDATE control.batch_worker SET {record} WHERE worker_number = {worker}",
    "DELETE FROM control.batch_worker WHERE worker_number = {worker}",
    "UPDATE control.period SET next_je_number = {worker}",
    AN_EXCEPTION,
)
FIRST_VALUES: Final = {
    "amount": 1,
    "fund": "tabarru_amount",
    "number": 7,
    "line": 6,
    "worker": 2,
    "account": account("4110-30"),
    "code": "4110-20",
}


BATCH: Final = f"{FIRST_PERIOD}-MONTHEND"


def single_changes(at: Scene) -> list[str]:
    """Every kind of change to the staged batch, its source, the chart or the records once, as SQL."""
    records, charts = [{"record": record} for record in RECORD], [{"chart": chart} for chart in CHART]
    patterned = [
        pattern.format(**FIRST_VALUES, **special)
        for pattern in PATTERNS
        for special in (records if "{record}" in pattern else charts if "{chart}" in pattern else [{}])
    ]
    return patterned + [tampering.statements(at) for tampering in TAMPERINGS.values()]


def any_change(at: Scene) -> st.SearchStrategy[str]:
    """Some change, as SQL."""
    values = st.fixed_dictionaries(
        {
            "amount": st.integers(-3, 3),
            "fund": st.sampled_from(["tabarru_amount", "tanahud_amount"]),
            "number": st.integers(1, 60),
            "line": st.integers(1, 8),
            "worker": st.integers(1, 3),
            "account": st.sampled_from(ACCOUNTS).map(account),
            "code": st.sampled_from(ACCOUNTS),
            "chart": st.sampled_from(CHART),
            "record": st.sampled_from(RECORD),
        }
    )
    return st.one_of(
        st.builds(lambda pattern, some: pattern.format(**some), st.sampled_from(PATTERNS), values),
        st.sampled_from([tampering.statements(at) for tampering in TAMPERINGS.values()]),
    )


def compared(
    connection: psycopg.Connection, statements: Sequence[str], *, is_measured_before: bool, is_told: bool
) -> frozenset[str]:
    """Make some changes, let both forms of the gates judge, take the changes back; what both say.

    Args:
        connection: to a database in which a month lies staged; the superuser's.
        statements: the changes.
        is_measured_before: the batch passed its gates before.
        is_told: whether the leaves know that they were changed. When not, only what the totals say remains.
    """
    with connection.transaction(force_rollback=True):
        if is_measured_before:
            _measure(connection, BATCH)
        for change in statements:
            _try(connection, change)
        if not is_told:
            connection.execute("DELETE FROM control.worker_measure")
            connection.execute("UPDATE control.batch_worker SET content_version = 0")
        _measure(connection, BATCH)
        verdicts = evaluate(control_totals.read(connection, BATCH))
        conditions = connection.execute("SELECT gate FROM control.failed_conditions(%s)", [BATCH]).fetchall()
    explained = frozenset(verdict.gate for verdict in verdicts if not verdict.passed)
    assert explained == {gate for (gate,) in conditions}, statements
    return explained


@pytest.mark.parametrize("is_told", [True, False])
def test_functions_and_sql_agree_on_every_kind_of_change(staged_url: str, is_told: bool) -> None:
    changes = [[], *([change] for change in single_changes(scene(staged_url, LEAF)))]
    with connect(superuser(staged_url)) as connection:
        seen = {compared(connection, change, is_measured_before=True, is_told=is_told) for change in changes}
    assert frozenset() in seen
    # Some gate by gate alone, so that neither form can leave a condition to the others.
    assert {frozenset({gate}) for gate in GATES} <= seen


def test_functions_and_sql_agree_on_changes_that_meet(staged_url: str) -> None:
    @settings(deadline=None, max_examples=100)
    @given(st.lists(any_change(scene(staged_url, LEAF)), min_size=2, max_size=3), st.booleans(), st.booleans())
    def agree(statements: Sequence[str], is_measured_before: bool, is_told: bool) -> None:
        compared(connection, statements, is_measured_before=is_measured_before, is_told=is_told)

    with connect(superuser(staged_url)) as connection:
        agree()


# The largest amounts there are, on lines of one account and in one entry: their sums are beyond bigint.
LARGEST: Final = (
    f"UPDATE staging.je_line SET amount = {2**63 - 1} WHERE je_number BETWEEN 3 AND 9 AND amount > 0",
    f"UPDATE staging.je_line SET amount = {-(2**63)} WHERE je_number = 9 AND amount < 0",
)


def test_what_is_measured_is_what_the_rows_add_up_to(staged_url: str) -> None:
    """Added up once more in Python, whatever was done to the rows."""
    at = scene(staged_url, LEAF)
    with connect(superuser(staged_url)) as connection:
        for change in ["", *single_changes(at), *LARGEST, "; ".join(LARGEST)]:
            with connection.transaction(force_rollback=True):
                connection.execute("DELETE FROM control.worker_measure")
                if change:
                    _try(connection, change)
                _measure(connection, BATCH)
                workers = connection.execute(
                    "SELECT worker_number, header_leaf::text, line_leaf::text FROM control.batch_worker "
                    "JOIN pg_class h ON h.oid = header_leaf JOIN pg_class l ON l.oid = line_leaf"
                ).fetchall()
                for worker_number, headers, lines in workers:
                    assert _measured(connection, worker_number) == _added_up(connection, headers, lines), change


def _measured(connection: psycopg.Connection, worker_number: int) -> tuple[Any, ...]:
    totals = connection.execute(
        "SELECT entry_count, line_count, first_je_number, last_je_number, debit_total, credit_total, "
        "unbalanced_entries, fund_unbalanced_entries, header_line_mismatches "
        "FROM control.worker_measure WHERE worker_number = %s",
        [worker_number],
    ).fetchone()
    accounts = connection.execute(
        "SELECT account_id, line_count, debit_total, credit_total FROM control.worker_measure_account "
        "WHERE worker_number = %s ORDER BY account_id",
        [worker_number],
    ).fetchall()
    return totals, accounts


def _added_up(connection: psycopg.Connection, headers: str, lines: str) -> tuple[Any, ...]:
    fund_of = dict(connection.execute("SELECT account_id, fund FROM acct.chart_of_accounts").fetchall())
    numbers = [number for (number,) in connection.execute(f"SELECT je_number FROM {headers}".encode()).fetchall()]
    totals = Counter[int]()  # added up: a number that is there twice has two totals
    for number, total in connection.execute(f"SELECT je_number, total_amount FROM {headers}".encode()).fetchall():
        totals[number] += total
    rows = connection.execute(f"SELECT je_number, account_id, amount FROM {lines}".encode()).fetchall()
    most_accounts = max(sorted(set(fund_of.values())), key=list(fund_of.values()).count)
    net, debit, funds = Counter[int](), Counter[int](), Counter[tuple[int, str]]()
    accounts: dict[int, list[int]] = {}
    for number, account_id, amount in rows:
        net[number] += amount
        debit[number] += max(amount, 0)
        funds[number, fund_of.get(account_id, most_accounts)] += amount
        account_totals = accounts.setdefault(account_id, [0, 0, 0])
        for position, part in enumerate((1, max(amount, 0), max(-amount, 0))):
            account_totals[position] += part
    return (
        len(numbers), len(rows), min(numbers, default=None), max(numbers, default=None),
        sum(debit.values()), sum(debit.values()) - sum(net.values()),
        sum(sums != 0 for sums in net.values()),
        len({number for (number, _), sums in funds.items() if sums}),
        sum(totals[number] != debit[number] for number in totals.keys() | net.keys()),
    ), [(account_id, *accounts[account_id]) for account_id in sorted(accounts)]  # fmt: skip


def _measure(connection: psycopg.Connection, batch_id: str) -> None:
    this = {"batch_id": batch_id}
    for (worker_number,) in connection.execute(statement("control/batch_workers"), this).fetchall():
        connection.execute(statement("control/measure_worker"), this | {"worker_number": worker_number})
    for (load_id,) in connection.execute(statement("control/batch_loads"), this).fetchall():
        connection.execute(statement("control/measure_load"), {"load_id": load_id})


def _try(connection: psycopg.Connection, change: str) -> None:
    """Make the change, unless a constraint stands against it, or what it changes is gone already."""
    try:
        with connection.transaction():
            connection.execute(change.encode())
    except (psycopg.errors.IntegrityError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject):
        pass
