"""The gates as functions and the gates in SQL name the same ones, whatever is wrong with a staged batch."""

from collections.abc import Sequence
from typing import Final

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.gates import GATES, evaluate
from ledger_assets.storage import control_totals
from ledger_assets.storage.database import connect, statement
from ledger_assets_tests.scenario import FIRST_PERIOD, batch_of
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


def changes(at: Scene) -> st.SearchStrategy[str]:
    """Some change of the staged batch, its source, the chart or the records, as SQL."""
    patterns = {
        "UPDATE staging.je_line SET amount = amount + {amount} WHERE je_number = {number} AND line_number = {line}",
        "UPDATE staging.je_line SET account_id = {account} WHERE je_number = {number} AND line_number = {line}",
        "DELETE FROM staging.je_line WHERE je_number = {number} AND line_number = {line}",
        "UPDATE staging.je_header SET total_amount = total_amount + {amount} WHERE je_number = {number}",
        "DELETE FROM staging.je_header WHERE je_number = {number}",
        "UPDATE source.txn_source SET ujroh_amount = ujroh_amount + 1, {fund} = {fund} - 1 WHERE row_number = {number}",
        "DELETE FROM source.txn_source WHERE row_number = {number}",
        "UPDATE acct.chart_of_accounts SET {chart} WHERE account_code = '{code}'",
        "UPDATE control.batch_worker SET {record} WHERE worker_number = {worker}",
        "UPDATE control.period SET next_je_number = {worker}",
        AN_EXCEPTION,
        *(tampering.statements(at) for tampering in TAMPERINGS.values()),
    }
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
    return st.builds(lambda pattern, some: pattern.format(**some), st.sampled_from(sorted(patterns)), values)


FORGET_THE_CHANGES: Final = "UPDATE control.batch_worker SET content_version = 0"
"""As if nobody had told of them: what then remains is what the totals say."""


def test_functions_and_sql_name_the_same_gates(staged_url: str) -> None:
    batch = batch_of(staged_url, FIRST_PERIOD)
    seen: set[frozenset[str]] = set()
    any_change = changes(scene(staged_url, LEAF))

    @settings(deadline=None, max_examples=150)
    @given(st.lists(any_change, max_size=3), st.booleans(), st.booleans())
    def agree(statements: Sequence[str], is_measured_before: bool, is_told: bool) -> None:
        with connect(staged_url) as connection, connection.transaction(force_rollback=True):
            if is_measured_before and is_told:
                _measure(connection, batch.batch_id)
            for change in statements:
                _try(connection, change)
            if not is_told:
                connection.execute(FORGET_THE_CHANGES)
            _measure(connection, batch.batch_id)
            verdicts = evaluate(control_totals.read(connection, batch.batch_id))
            conditions = connection.execute(
                "SELECT gate, condition FROM control.failed_conditions(%s)", [batch.batch_id]
            )
            enforced = frozenset(gate for gate, _ in conditions)
        assert frozenset(verdict.gate for verdict in verdicts if not verdict.passed) == enforced
        seen.add(enforced)

    agree()
    assert frozenset() in seen
    assert frozenset().union(*seen) == GATES.keys()


def _measure(connection: psycopg.Connection, batch_id: str) -> None:
    for worker in (1, 2, 3):
        connection.execute(statement("control/measure_worker"), {"batch_id": batch_id, "worker_number": worker})
    connection.execute(statement("control/measure_load"), {"load_id": 1})


def _try(connection: psycopg.Connection, change: str) -> None:
    """Make the change, unless a constraint stands against it, or what it changes is gone already."""
    try:
        with connection.transaction():
            connection.execute(change.encode())
    except (psycopg.errors.IntegrityError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedObject):
        pass
