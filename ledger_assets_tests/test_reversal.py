"""Answering a posted batch with a compensating one in the open month."""

from functools import partial
from pathlib import Path

import pytest

from ledger_assets.storage.batches import Batch, BatchStateError, BuiltUpon, GateFailed, NotConfirmed, PreflightFailed
from ledger_assets.storage.batches import batch as read_batch
from ledger_assets.storage.control_totals import measure
from ledger_assets.storage.database import connect
from ledger_assets.storage.derived_batches import _counter_entries, _opened, reverse_batch
from ledger_assets.storage.staging import stage_shards
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import (
    ACTOR,
    close_directly,
    deliver,
    execute,
    failing_balance_controls,
    failing_gates,
    fingerprint,
    post,
    rows_of,
    trial_balance,
    value_of,
)
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.test_rollback import HISTORY, MONTHEND, NEXT, aborted, rolled_back

MARCH = "2024-03"
REVERSAL = "2024-03-REVERSAL"


def reversed_(
    url: str, batch_id: str = MONTHEND, *, into: str = MARCH, typed: str | None = None, reason: str = "wrong"
) -> Batch:
    return reverse_batch(
        url,
        batch_id,
        opened_by=batch_admin(url),
        into_period=into,
        reason=reason,
        confirmation=batch_id if typed is None else typed,
        first_period=JANUARY,
        performed_by=ACTOR,
    )


def staged_reversal(url: str, batch_id: str = MONTHEND, into: str = MARCH) -> Batch:
    """Staged and not looked at."""
    opening = {"batch_id": batch_id, "period": into, "reason": "wrong", "confirmation": batch_id}
    batch = _opened(
        batch_admin(url), "control/open_reversal", opening | {"first_period": JANUARY, "performed_by": ACTOR}
    )
    stage_shards(url, batch, partial(_counter_entries, url, batch), performed_by=ACTOR)
    return batch


def test_a_reversal_takes_back_every_entry_with_sides_swapped(closed_url: str) -> None:
    before = fingerprint(closed_url)
    batch = reversed_(closed_url)
    assert (batch.batch_id, batch.state, batch.entry_count) == (REVERSAL, "COMMITTED", 60)
    columns = "je_number, line_number, account_code, fund"
    original = rows_of(
        closed_url,
        f"SELECT {columns}, credit_amount AS debit, debit_amount AS credit FROM ledger.ledger_entry_line "
        "WHERE batch_id = %s ORDER BY 1, 2",
        MONTHEND,
    )
    answer = f"SELECT {columns}, debit_amount AS debit, credit_amount AS credit FROM ledger.ledger_entry_line"
    assert rows_of(closed_url, f"{answer} WHERE batch_id = %s ORDER BY 1, 2", REVERSAL) == original
    assert fingerprint(closed_url)["attached leaves"] != before["attached leaves"]
    assert failing_balance_controls(closed_url, JANUARY) == frozenset()


def test_a_reversal_says_what_it_reverses_and_keeps_the_date(closed_url: str) -> None:
    reversed_(closed_url)
    same = "template_code, template_version, source_type, source_id, total_debit, total_credit"
    of = "FROM ledger.ledger_entry_header WHERE batch_id = %s ORDER BY je_number"
    described = f"'Reversal of {MONTHEND}: ' || description AS description"
    original = rows_of(closed_url, f"SELECT {same}, {described} {of}", MONTHEND)
    assert rows_of(closed_url, f"SELECT {same}, description {of}", REVERSAL) == original
    dates = """SELECT count(*) FROM ledger.je_header r JOIN ledger.je_header o
               ON o.period = '2024-01' AND o.je_number = r.je_number AND r.original_date = o.je_date
               WHERE r.period = '2024-03' AND r.je_date = '2024-03-01'"""
    assert value_of(closed_url, dates) == 60


def test_after_a_reversal_the_month_closes_and_the_balances_are_those_without_the_batch(closed_url: str) -> None:
    january = trial_balance(closed_url, JANUARY)
    february = trial_balance(closed_url, FEBRUARY)
    reversed_(closed_url)
    assert close_directly(closed_url, MARCH).outcome == "posted"  # a month without deliveries of its own
    for code, (*_, closing) in trial_balance(closed_url, MARCH).items():
        assert closing == february[code][3] - january[code][3]


def test_a_month_with_a_reversal_takes_its_deliveries_too(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, MARCH, folder=tmp_path, rows=7)
    reversed_(closed_url)
    assert close_directly(closed_url, MARCH).outcome == "posted"
    numbers = "SELECT first_je_number, last_je_number FROM control.batch WHERE period = %s ORDER BY 1"
    assert [tuple(row.values()) for row in rows_of(closed_url, numbers, MARCH)] == [(1, 60), (61, 67)]


def test_a_batch_is_reversed_once_until_the_reversal_is_rolled_back(closed_url: str) -> None:
    reversed_(closed_url)
    with pytest.raises(BatchStateError, match=f"reversed already, by {REVERSAL}"):
        reversed_(closed_url)
    with pytest.raises(BuiltUpon, match=REVERSAL):
        rolled_back(closed_url, NEXT)
    rolled_back(closed_url, REVERSAL)
    assert reversed_(closed_url).batch_id == f"{REVERSAL}-02"


def test_a_reversed_batch_cannot_be_rolled_back_while_its_reversal_stands(closed_url: str) -> None:
    rolled_back(closed_url, NEXT)
    deliver_into_february = reversed_(closed_url, into=FEBRUARY)
    assert deliver_into_february.batch_id == "2024-02-REVERSAL"
    with pytest.raises(BuiltUpon, match="2024-02-REVERSAL"):
        rolled_back(closed_url, MONTHEND)
    effects = rolled_back(closed_url, MONTHEND, chain=True)
    assert [effect.batch_id for effect in effects] == ["2024-02-REVERSAL", MONTHEND]


def test_a_reversal_of_a_reversal_books_the_original_again(closed_url: str) -> None:
    reversed_(closed_url)
    again = reversed_(closed_url, REVERSAL)
    assert again.batch_id == f"{REVERSAL}-02"
    close_directly(closed_url, MARCH)
    assert {code: row[3] for code, row in trial_balance(closed_url, MARCH).items()} == {
        code: row[3] for code, row in trial_balance(closed_url, FEBRUARY).items()
    }


def test_what_a_reversal_is_refused_for(closed_url: str) -> None:
    before = fingerprint(closed_url)
    with pytest.raises(NotConfirmed, match="not confirmed"):
        reversed_(closed_url, typed="yes")
    with pytest.raises(NotConfirmed, match="no reason"):
        reversed_(closed_url, reason=" ")
    with pytest.raises(BatchStateError, match="2024-02: it is closed"):
        reversed_(closed_url, into=FEBRUARY)
    with pytest.raises(BatchStateError, match="lies before"):
        reversed_(closed_url, NEXT, into=JANUARY)
    with pytest.raises(PreflightFailed, match="2024-05 waits for 2024-04"):
        reversed_(closed_url, into="2024-05")
    with pytest.raises(BatchStateError, match="there is no such batch"):
        reversed_(closed_url, "2023-01-MONTHEND")
    close_directly(closed_url, MARCH)
    with pytest.raises(BatchStateError, match="without entries"):
        reversed_(closed_url, "2024-03-MONTHEND", into="2024-04")
    rolled_back(closed_url, "2024-03-MONTHEND")
    with pytest.raises(BatchStateError, match="it is ROLLED_BACK"):
        reversed_(closed_url, "2024-03-MONTHEND")
    after = fingerprint(closed_url)
    kept = ("control.batch", *HISTORY)
    assert {key: after[key] for key in after if not key.startswith(kept)} == {
        key: before[key] for key in before if not key.startswith(kept)
    }


def test_one_open_batch_a_month_whatever_its_kind(closed_url: str, tmp_path: Path) -> None:
    batch = staged_reversal(closed_url)
    deliver(closed_url, MARCH, folder=tmp_path, rows=3)
    with pytest.raises(BatchStateError, match=f"{REVERSAL}: it is open .VALIDATING."):
        close_directly(closed_url, MARCH)
    aborted(closed_url, batch.batch_id)
    assert close_directly(closed_url, MARCH).outcome == "posted"


def test_a_reversal_that_was_left_halfway_is_begun_again(closed_url: str) -> None:
    staged_reversal(closed_url)
    assert reversed_(closed_url).batch_id == f"{REVERSAL}-02"
    assert (
        value_of(closed_url, "SELECT failure_reason FROM control.batch WHERE batch_id = %s", REVERSAL) == "begun again"
    )


CHANGES = {
    "UPDATE {lines} SET amount = amount + sign(amount)::bigint WHERE je_number = 5": {
        "record_count", "debit_credit_balance", "fund_reconciliation"},
    "UPDATE {lines} SET amount = -amount": {"record_count", "fund_reconciliation"},
    "DELETE FROM {lines} WHERE je_number = 5; DELETE FROM {headers} WHERE je_number = 5": {
        "record_count", "sequence_integrity", "fund_reconciliation"},
    "UPDATE {headers} SET je_date = je_date + 1": {"record_count"},
    "UPDATE {headers} SET total_amount = total_amount + 1": {"record_count", "debit_credit_balance"},
    "UPDATE acct.chart_of_accounts SET is_open = false WHERE account_code = '1100-10'": {"fund_reconciliation"},
    "SET session_replication_role = replica; DELETE FROM ledger.je_header WHERE period = '2024-01' AND je_number = 9": {
        "source_unchanged"},
    "SET session_replication_role = replica; UPDATE ledger.je_line SET amount = amount * 2 WHERE period = '2024-01' "
    "AND je_number = 9": {"source_unchanged"},
    "UPDATE control.batch SET state = 'ROLLED_BACK' WHERE batch_id = '2024-01-MONTHEND'": {"source_unchanged"},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_gates_explain_and_the_posting_enforces_the_same_of_a_reversal(closed_url: str, change: str) -> None:
    batch = staged_reversal(closed_url)
    leaves = {
        "headers": "staging.je_header_2024_03_reversal_a1_w001",
        "lines": "staging.je_line_2024_03_reversal_a1_w001",
    }
    execute(closed_url, change.format(**leaves))
    measure(closed_url, batch.batch_id)
    in_sql = rows_of(closed_url, "SELECT DISTINCT gate FROM control.failed_conditions(%s)", batch.batch_id)
    assert {row["gate"] for row in in_sql} == CHANGES[change]
    before = fingerprint(closed_url)
    with pytest.raises(GateFailed):
        post(closed_url, batch)
    assert failing_gates(closed_url, batch).keys() == CHANGES[change]
    assert fingerprint(closed_url) == before


def test_a_reversal_that_fails_its_gates_says_so_and_stays_staged(closed_url: str) -> None:
    execute(closed_url, "UPDATE acct.chart_of_accounts SET is_open = false WHERE account_code = '1100-10'")
    with pytest.raises(GateFailed, match=f"fund_reconciliation.*abort {REVERSAL}"):
        reversed_(closed_url)
    with connect(closed_url) as connection:
        assert read_batch(connection, REVERSAL).state == "FAILED"
