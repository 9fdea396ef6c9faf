"""Taking a batch out: abort before it is posted, rollback after."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.storage.batches import (
    BatchStateError,
    BuiltUpon,
    GateFailed,
    NotConfirmed,
    PreflightFailed,
)
from ledger_assets.storage.corrections import RolledBack, abort_batch, roll_back
from ledger_assets.storage.database import connect
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.periods import lock, reopen
from ledger_assets.storage.source_loads import withdraw
from ledger_assets.storage.validation import validate
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import ready_to_post, stage_opened
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import (
    ACTOR,
    batch_of,
    close_directly,
    deliver,
    execute,
    fingerprint,
    post,
    rows_of,
    staged_tables,
    value_of,
)
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

HISTORY = ("batch_seal", "seal_", "period_close", "closed_balance", "period_reopening")
MONTHEND, LATE, NEXT = "2024-01-MONTHEND", "2024-01-MONTHEND-02", "2024-02-MONTHEND"


def aborted(url: str, batch_id: str, reason: str = "wrong file") -> bool:
    with connect(batch_admin(url)) as connection:
        return abort_batch(connection, batch_id, reason=reason, performed_by=ACTOR)


def rolled_back(
    url: str, batch_id: str, *, reason: str = "wrong file", typed: str | None = None, chain: bool = False
) -> list[RolledBack]:
    with connect(batch_admin(url)) as connection:
        return roll_back(
            connection,
            batch_id,
            reason=reason,
            confirmation=batch_id if typed is None else typed,
            performed_by=ACTOR,
            chain=chain,
        )


def balances_and_entries(url: str) -> dict[str, str]:
    """Digests of the tables of the schema ledger, but for those that keep what has been: a rollback adds to them."""
    digests = fingerprint(url).items()
    return {name: digest for name, digest in digests if not name.startswith(("control.", "attached", *HISTORY))}


# ------------------------------------------------------------------------------------------------ abort


def test_an_aborted_batch_leaves_no_staged_row_and_the_month_can_be_closed(staged_url: str) -> None:
    batch, before = batch_of(staged_url, JANUARY), fingerprint(staged_url)
    assert aborted(staged_url, batch.batch_id)
    assert staged_tables(staged_url) == []
    assert fingerprint(staged_url) == before
    record = "SELECT state, failure_reason, ended_by, aborted_at IS NOT NULL AS at FROM control.batch"
    assert rows_of(staged_url, record) == [
        {"state": "ABORTED", "failure_reason": "wrong file", "ended_by": ACTOR, "at": True}
    ]
    assert not aborted(staged_url, batch.batch_id, "once more")
    assert close_directly(staged_url, JANUARY).outcome == "posted"
    assert batch_of(staged_url, JANUARY).batch_id == LATE


def test_who_works_on_an_aborted_batch_is_told_who_aborted_it_and_why(staged_url: str) -> None:
    batch = batch_of(staged_url, JANUARY)
    aborted(staged_url, batch.batch_id)
    told = f"{MONTHEND} was aborted by {ACTOR}: wrong file"
    with pytest.raises(BatchStateError, match=told):
        stage_opened(staged_url, batch)
    with pytest.raises(BatchStateError, match=told):
        validate(staged_url, batch, performed_by=ACTOR)
    with pytest.raises(BatchStateError, match=told):
        post(staged_url, batch)
    assert value_of(staged_url, "SELECT state FROM control.batch") == "ABORTED"
    assert value_of(staged_url, "SELECT failure_reason FROM control.batch") == "wrong file"


def test_a_posted_batch_is_not_aborted(closed_url: str) -> None:
    before = fingerprint(closed_url)
    with pytest.raises(BatchStateError, match="it is COMMITTED, there is nothing to abort"):
        aborted(closed_url, MONTHEND)
    with pytest.raises(BatchStateError, match="there is no such batch"):
        aborted(closed_url, "2024-01-MONTHEND-07")
    assert fingerprint(closed_url) == before


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_nothing_is_undone_without_a_reason(closed_url: str, tmp_path: Path, reason: str) -> None:
    with pytest.raises(NotConfirmed, match="no reason"):
        rolled_back(closed_url, NEXT, reason=reason)
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=3, seed=9)
    batch = scenario.staged(closed_url, FEBRUARY)
    with pytest.raises(NotConfirmed, match="no reason"):
        aborted(closed_url, batch.batch_id, reason)


# ------------------------------------------------------------------------------------------------ rollback


def test_a_month_without_its_only_batch_is_as_if_it_had_never_been_posted(closed_url: str) -> None:
    (effect,) = rolled_back(closed_url, NEXT)
    assert effect.numbers == (1, 60)
    assert (effect.entries, effect.loads) == (60, [2])
    assert (effect.month_before, effect.month_after) == ("CLOSED", "OPEN")
    assert effect.fund_balances_before.keys() == {"OPERATOR", "TABARRU", "TANAHUD"}
    assert effect.fund_balances_after == {}
    assert rows_of(closed_url, "SELECT * FROM ledger.ledger_entry_header WHERE period = %s", FEBRUARY) == []
    assert rows_of(closed_url, "SELECT * FROM ledger.ledger_entry_line WHERE period = %s", FEBRUARY) == []
    assert rows_of(closed_url, "SELECT * FROM ledger.account_balance_snapshot WHERE period = %s", FEBRUARY) == []
    assert value_of(closed_url, "SELECT next_je_number FROM control.period WHERE period = %s", FEBRUARY) == 1
    assert rows_of(closed_url, "SELECT load_id FROM control.unprocessed_load") == [{"load_id": 2}]
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"


def test_what_was_rolled_back_lies_in_quarantine_with_who_why_and_when(closed_url: str) -> None:
    columns = "period, batch_id, je_number, line_number, account_code, fund, debit_amount, credit_amount"
    of = f"WHERE period = '{FEBRUARY}' ORDER BY je_number, line_number"
    posted = rows_of(closed_url, f"SELECT {columns} FROM ledger.ledger_entry_line {of}")
    headers = rows_of(closed_url, f"SELECT * FROM ledger.ledger_entry_header WHERE period = '{FEBRUARY}' ORDER BY 3")
    rolled_back(closed_url, NEXT)
    assert rows_of(closed_url, f"SELECT {columns} FROM quarantine.rolled_back_line {of}") == posted
    kept = rows_of(closed_url, "SELECT * FROM quarantine.rolled_back_header ORDER BY je_number")
    assert {(row.pop("reason"), row.pop("rolled_back_by")) for row in kept} == {("wrong file", ACTOR)}
    assert all(row.pop("rolled_back_at") for row in kept)
    assert kept == headers
    released = rows_of(closed_url, "SELECT * FROM control.sequence_reservation_log WHERE released_at IS NOT NULL")
    assert [(row["batch_id"], row["released_by"], row["entry_count"]) for row in released] == [(NEXT, ACTOR, 60)]
    trail = rows_of(closed_url, "SELECT * FROM audit.batch_operation WHERE operation = 'ROLLBACK'")
    assert [(row["batch_id"], row["state_after"], row["details"]["reason"]) for row in trail] == [
        (NEXT, "ROLLED_BACK", "wrong file")
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {lines} SET amount = amount + 1",
        "DELETE FROM {headers}",
        "TRUNCATE {lines}",
        "INSERT INTO {headers} SELECT * FROM quarantine.je_header LIMIT 1",
    ],
)
@pytest.mark.parametrize("place", ["leaf", "parent"])
def test_quarantined_entries_never_change(closed_url: str, change: str, place: str) -> None:
    rolled_back(closed_url, NEXT)
    suffix = "_2024_02_monthend_a1_w001" if place == "leaf" else ""
    names = {"lines": f"quarantine.je_line{suffix}", "headers": f"quarantine.je_header{suffix}"}
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        execute(closed_url, change.format(**names))
    assert value_of(closed_url, "SELECT count(*) FROM quarantine.rolled_back_header") == 60


def test_a_batch_is_rolled_back_only_when_its_id_is_typed(closed_url: str) -> None:
    before = fingerprint(closed_url)
    for typed in ("", "yes", MONTHEND, NEXT.lower()):
        with pytest.raises(NotConfirmed, match=f"{NEXT}: it was not confirmed"):
            rolled_back(closed_url, NEXT, typed=typed)
    assert fingerprint(closed_url) == before


def test_a_month_that_later_ones_build_on_stays_and_they_are_named(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=3, seed=9)
    close_directly(closed_url, FEBRUARY)
    before = fingerprint(closed_url)
    with pytest.raises(BuiltUpon) as refusal:
        rolled_back(closed_url, MONTHEND)
    assert "(2024-02-MONTHEND-02, 2024-02-MONTHEND)" in refusal.value.rule
    assert "2024-02-MONTHEND-02, 2024-02-MONTHEND, 2024-01-MONTHEND" in refusal.value.fix
    with pytest.raises(BuiltUpon, match="2024-02-MONTHEND-02"):
        rolled_back(closed_url, NEXT)
    assert fingerprint(closed_url) == before
    effects = rolled_back(closed_url, MONTHEND, chain=True)
    assert [effect.batch_id for effect in effects] == ["2024-02-MONTHEND-02", NEXT, MONTHEND]
    assert value_of(closed_url, "SELECT count(*) FROM ledger.ledger_entry_line") == 0
    assert close_directly(closed_url, JANUARY).outcome == "posted"
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"


def test_a_batch_is_rolled_back_once_and_only_when_it_is_posted(closed_url: str) -> None:
    rolled_back(closed_url, NEXT)
    with pytest.raises(BatchStateError, match="it is ROLLED_BACK"):
        rolled_back(closed_url, NEXT)
    batch = scenario.staged(closed_url, FEBRUARY)
    with pytest.raises(BatchStateError, match=r"it is VALIDATING.*abort"):
        rolled_back(closed_url, batch.batch_id)
    with pytest.raises(BatchStateError, match="there is no such batch"):
        rolled_back(closed_url, "2024-09-MONTHEND")


def test_a_locked_month_keeps_its_batches(closed_url: str) -> None:
    execute(closed_url, "UPDATE control.period SET status = 'LOCKED' WHERE period = '2024-02'")
    before = fingerprint(closed_url)
    for batch_id, chain in ((NEXT, False), (MONTHEND, True)):
        with pytest.raises(BatchStateError, match=r"2024-02 is locked and published.*reverse"):
            rolled_back(closed_url, batch_id, chain=chain)
    assert fingerprint(closed_url) == before


def test_a_late_batch_of_an_open_month_is_taken_out_and_the_month_is_closed_as_before(
    closed_url: str, tmp_path: Path
) -> None:
    rolled_back(closed_url, NEXT)
    before = balances_and_entries(closed_url)
    deliver(closed_url, JANUARY, folder=tmp_path, rows=5, seed=4)
    batch = ready_to_post(closed_url)
    assert post(closed_url, batch)
    assert value_of(closed_url, "SELECT status FROM control.period WHERE period = %s", JANUARY) == "CLOSING"
    (effect,) = rolled_back(closed_url, batch.batch_id)
    assert (effect.numbers, effect.month_before, effect.month_after) == ((61, 65), "CLOSING", "CLOSED")
    assert balances_and_entries(closed_url) == before
    assert close_directly(closed_url, JANUARY).outcome == "posted"  # and again, to take it out of the closed month
    (effect,) = rolled_back(closed_url, "2024-01-MONTHEND-03")
    assert (effect.numbers, effect.month_before, effect.month_after) == ((61, 65), "CLOSED", "CLOSED")
    assert balances_and_entries(closed_url) == before


def test_a_load_can_be_withdrawn_after_its_batch_was_rolled_back(closed_url: str) -> None:
    rolled_back(closed_url, NEXT)
    with connect(closed_url) as connection:
        withdraw(connection, 2, reason="sent in error", by=ACTOR)
    assert rows_of(closed_url, "SELECT * FROM control.unprocessed_load") == []


def test_a_rollback_that_would_leave_the_month_in_disorder_does_not_happen(closed_url: str, tmp_path: Path) -> None:
    """A superuser has taken a row out of the batch that remains: the books are not touched before that is looked at."""
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=3, seed=9)
    close_directly(closed_url, FEBRUARY)
    execute(
        closed_url,
        "SET session_replication_role = replica; "
        "DELETE FROM ledger.je_header_2024_02_monthend_a1_w001 WHERE je_number = 7",
    )
    before = fingerprint(closed_url)
    with pytest.raises(GateFailed, match="numbers_continue"):
        rolled_back(closed_url, "2024-02-MONTHEND-02")
    assert fingerprint(closed_url) == before


def test_a_batch_whose_table_is_gone_can_be_taken_out_and_posted_again(closed_url: str) -> None:
    execute(closed_url, "DROP TABLE ledger.je_line_2024_02_monthend_a1_w002")
    rolled_back(closed_url, NEXT)
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"


def test_the_next_month_waits_until_the_one_before_is_closed_again(closed_url: str) -> None:
    rolled_back(closed_url, MONTHEND, chain=True)
    with pytest.raises(PreflightFailed, match="is not closed"):
        scenario.staged(closed_url, FEBRUARY)


# ------------------------------------------------------------------------------------------------ the month it was in


def month_trail(url: str, period: str) -> list[tuple[Any, ...]]:
    """The last operation on the month itself: what, from which status, to which."""
    operations = rows_of(
        url,
        "SELECT operation, state_before, state_after FROM audit.batch_operation WHERE period = %s "
        "AND operation LIKE '%%PERIOD' AND outcome = 'SUCCESS' ORDER BY operation_id DESC LIMIT 1",
        period,
    )
    return [tuple(row.values()) for row in operations]


def closes_of(url: str, period: str) -> list[tuple[Any, ...]]:
    query = "SELECT close_number, batches FROM ledger.close_history WHERE period = %s ORDER BY 1"
    return [tuple(row.values()) for row in rows_of(url, query, period)]


def test_a_month_taken_out_and_closed_again_has_a_close_of_its_own(closed_url: str) -> None:
    """Its balances are the same ones; the close before names a batch that is not in the books any more."""
    rolled_back(closed_url, NEXT)
    assert month_trail(closed_url, FEBRUARY) == [("RESTORE_PERIOD", "CLOSED", "OPEN")]
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"
    assert closes_of(closed_url, FEBRUARY) == [(1, [NEXT]), (2, [f"{NEXT}-02"])]
    assert rows_of(closed_url, "SELECT * FROM ledger.close_difference") == []
    assert close_directly(closed_url, FEBRUARY).outcome == "nothing_new"
    assert len(closes_of(closed_url, FEBRUARY)) == 2


def test_a_late_batch_taken_out_of_its_closed_month_is_one_more_close(closed_url: str, tmp_path: Path) -> None:
    late = f"{NEXT}-02"
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=5, seed=4)
    assert post(closed_url, ready_to_post(closed_url, FEBRUARY))
    rolled_back(closed_url, late)  # before its balances were taken: the close that stood stands again
    assert month_trail(closed_url, FEBRUARY) == [("RESTORE_PERIOD", "CLOSING", "CLOSED")]
    assert closes_of(closed_url, FEBRUARY) == [(1, [NEXT])]
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"
    rolled_back(closed_url, f"{NEXT}-03")
    assert closes_of(closed_url, FEBRUARY) == [(1, [NEXT]), (2, [NEXT, f"{NEXT}-03"]), (3, [NEXT])]


def test_a_month_that_was_reopened_by_hand_stays_open(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=5, seed=4)
    assert close_directly(closed_url, FEBRUARY).outcome == "posted"
    with connect(batch_admin(closed_url)) as connection:
        reopen(connection, JANUARY, reason="an invoice was missing", chain=True, performed_by=ACTOR)
    (effect,) = rolled_back(closed_url, f"{NEXT}-02")
    assert (effect.month_before, effect.month_after) == ("OPEN", "OPEN")
    assert month_trail(closed_url, FEBRUARY) == [("REOPEN_PERIOD", "CLOSED", "OPEN")]


def test_a_month_is_not_closed_again_on_one_that_a_late_batch_has_opened(closed_url: str, tmp_path: Path) -> None:
    for period in (FEBRUARY, JANUARY):
        deliver(closed_url, period, folder=tmp_path, rows=5, seed=4)
        assert post(closed_url, ready_to_post(closed_url, period))
    (effect,) = rolled_back(closed_url, f"{NEXT}-02")
    assert (effect.month_before, effect.month_after) == ("CLOSING", "CLOSING")
    (effect,) = rolled_back(closed_url, LATE, chain=True)[-1:]
    assert (effect.month_before, effect.month_after) == ("CLOSING", "CLOSED")


# ------------------------------------------------------------------------------------------------ who tried


def test_a_refused_attempt_changes_nothing_and_is_on_record(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=3, seed=9)
    staged = scenario.staged(closed_url, FEBRUARY).batch_id
    before = fingerprint(closed_url)

    def try_all(url: str, reason: str, typed: str) -> None:
        def reversal() -> None:
            reverse_batch(
                closed_url, MONTHEND, opened_by=url, into_period="2024-03", reason=reason, confirmation=typed,
                first_period=JANUARY, performed_by=ACTOR,
            )  # fmt: skip

        with connect(url) as connection:
            attempts: tuple[Callable[[], object], ...] = (
                lambda: roll_back(connection, NEXT, reason=reason, confirmation=typed, performed_by=ACTOR),
                lambda: reopen(connection, FEBRUARY, reason=reason, performed_by=ACTOR),
                lambda: abort_batch(connection, staged, reason=reason, performed_by=ACTOR),
                lambda: lock(connection, "2024-03", performed_by=ACTOR),
                reversal,
            )
            for attempt in attempts:
                with pytest.raises((LedgerError, psycopg.errors.InsufficientPrivilege)):
                    attempt()

    try_all(closed_url, "wrong file", NEXT)
    try_all(batch_admin(closed_url).replace("batch_admin", "finance_viewer"), "wrong file", NEXT)
    try_all(batch_admin(closed_url), " ", "yes")
    with pytest.raises(NotConfirmed):
        rolled_back(closed_url, NEXT, typed="yes")
    assert fingerprint(closed_url) == before
    recorded = rows_of(
        closed_url,
        "SELECT operation, count(*) AS n, count(*) FILTER (WHERE details ->> 'sqlstate' = '42501') AS without_right, "
        "bool_and(performed_by = %s AND details ->> 'message' <> '' AND details ? 'sqlstate') AS says_who_and_why "
        "FROM audit.batch_operation WHERE outcome = 'FAILED' GROUP BY 1",
        ACTOR,
    )
    attempted = dict.fromkeys(("ABORT", "REOPEN_PERIOD", "LOCK_PERIOD", "REVERSE"), (3, 2, True))
    assert {row.pop("operation"): tuple(row.values()) for row in recorded} == {**attempted, "ROLLBACK": (4, 2, True)}
