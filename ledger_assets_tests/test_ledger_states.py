"""Three months of books that anybody may work on in any order: whatever is done, the ledger stays in order.

Hypothesis chooses what is done; every refusal of the product is a fine answer. After each step the ledger is read with
queries of its own, and everything that was ever posted has to be there, unchanged and adding up.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.close_result import Outcome
from ledger_assets.storage.batches import (
    Batch,
    BatchStateError,
    GateFailed,
    PreflightFailed,
    latest_batch,
    take_snapshot,
)
from ledger_assets.storage.database import connect
from ledger_assets.storage.source_loads import acknowledge_rejections, withdraw
from ledger_assets.storage.staging import stage
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import cloned
from ledger_assets_tests.logins import superuser

pytestmark = pytest.mark.slow

MONTHS: Final = ("2024-01", "2024-02", "2024-03")
REFUSALS: Final = (PreflightFailed, BatchStateError, GateFailed)

WAYS_TO_CLOSE: Final = (
    ("stage",), ("gates",), ("post",), ("balances",), ("stage", "post"), ("gates", "post"), ("post", "balances"),
    ("stage", "gates"), ("stage", "gates", "post"), ("stage", "gates", "post", "balances"), ("close",),
)  # fmt: skip

places = st.sampled_from((0, 0, 0, -1, 1))
choices = st.integers(0, 20)
# Hypothesis leaves most rules out of most runs: each may be followed by work, lest hardly any run closes a month.
followed_by = st.sampled_from(((), *WAYS_TO_CLOSE))

DEFECTS: Final = ("duplicate_id", "negative_amount", "wrong_month", "missing_policy", "unknown_product", "unknown_type")

STAGED_TAMPERINGS: Final = (
    "UPDATE {lines} SET amount = amount + sign(amount)::bigint WHERE line_number = 1",
    "UPDATE {lines} SET amount = -amount",
    "UPDATE staging.je_line SET line_number = line_number + 50 WHERE period = '{period}'",
    "DELETE FROM {lines} WHERE je_number = (SELECT min(je_number) FROM {lines})",
    "TRUNCATE {headers}",
    "UPDATE {headers} SET source_id = source_id || '-FORGED'",
    "UPDATE {headers} SET total_amount = total_amount + 1",
    "INSERT INTO {lines} SELECT amount, je_number, line_number + 50, account_id, period FROM {lines}",
)
POSTED_TAMPERINGS: Final = (
    "UPDATE ledger.je_line SET amount = amount + 1 WHERE period = '{period}'",
    "DELETE FROM ledger.je_header WHERE period = '{period}'",
    "UPDATE {lines} SET amount = amount + 1",
    "TRUNCATE {headers}",
    "TRUNCATE ledger.je_line",
    "UPDATE source.txn_source SET policy_id = 'POL-FORGED' WHERE load_id = {load_id}",
    "DELETE FROM source.txn_source WHERE load_id = {load_id}",
)


Delivery = tuple[str, int, int]  # month, rows, seed


class Books(RuleBasedStateMachine):
    """A database of its own, and what the test has to remember of it."""

    deliveries = Bundle("deliveries")

    def __init__(self, server: str, template: str, folder: Path) -> None:
        super().__init__()
        self.clone = cloned(server, template)
        self.url = self.clone.__enter__()
        self.folder = folder
        self.seed = 0
        self.changed_batches: set[tuple[str, int]] = set()
        self.changed_loads: set[int] = set()
        self.posted: dict[str, str] = {}

    # What is delivered

    @initialize(target=deliveries, rows=st.tuples(*(st.integers(0, 4) for _ in MONTHS)))
    def deliver_every_month(self, rows: tuple[int, ...]) -> Any:
        return multiple(
            *(self._deliver(period, count, ()) for period, count in zip(MONTHS, rows, strict=True) if count)
        )

    @rule(target=deliveries, where=places, defect=st.sampled_from((None, None, *DEFECTS)), then=followed_by)
    def deliver(self, where: int, defect: str | None, then: Sequence[str]) -> Delivery:
        delivery = self._deliver(self._month(where), 4, (defect,) if defect else ())
        self._work(delivery[0], then)
        return delivery

    def _deliver(self, period: str, rows: int, defects: Sequence[str]) -> Delivery:
        self.seed += 1
        scenario.deliver(self.url, period, folder=self.folder, rows=rows, seed=self.seed, defects=defects)
        return period, rows, self.seed

    @rule(delivery=deliveries, then=followed_by)
    def deliver_again_and_without_defects(self, delivery: Delivery, then: Sequence[str]) -> None:
        period, rows, seed = delivery
        scenario.deliver(self.url, period, folder=self.folder, rows=rows, seed=seed)
        self._work(period, then)

    # What a close does

    @rule(where=places, steps=st.sampled_from(WAYS_TO_CLOSE))
    def work(self, where: int, steps: Sequence[str]) -> None:
        self._work(self._month(where), steps)

    def _work(self, period: str, steps: Sequence[str]) -> None:
        for step in steps:
            with contextlib.suppress(*REFUSALS):
                match step:
                    case "stage":
                        self._stage(period)
                    case "gates":
                        self._run_gates(period)
                    case "post":
                        self._post(period)
                    case "balances":
                        self._take_balances(period)
                    case "close":
                        self._close(period)

    def _stage(self, period: str) -> None:
        batch, rules = scenario.opened(self.url, period, rows_per_worker=3)
        if batch is not None:
            stage(self.url, batch, rules.compiled(), performed_by="tester")

    def _run_gates(self, period: str) -> None:
        batch = self._latest(period)
        if batch is not None and batch.state not in {"COMMITTED", "ABORTED"}:
            passed = not scenario.failing_gates(self.url, batch)
            assert not (passed and self._is_forged(batch)), f"{batch} passed its gates"

    def _post(self, period: str) -> None:
        batch = self._latest(period)
        if batch is not None:
            is_forged, before = self._is_forged(batch), self._status_before(period)
            if scenario.post(self.url, batch):
                assert not is_forged, f"{batch} was posted"
                assert before in {"CLOSED", "LOCKED"}

    def _take_balances(self, period: str) -> None:
        with connect(self.url) as connection:
            take_snapshot(connection, period, first_period=MONTHS[0], performed_by="tester")

    def _close(self, period: str) -> Outcome:
        forged = any(load in self.changed_loads for (load,) in self._rows(UNPROCESSED, period))
        outcome = scenario.close_directly(self.url, period, rows_per_worker=3).outcome
        assert not (forged and outcome == Outcome.POSTED)
        return outcome

    # What is put right

    @rule(where=places, choice=choices, then=followed_by)
    def withdraw_a_load(self, where: int, choice: int, then: Sequence[str]) -> None:
        period = self._month(where)
        loads = self._rows("SELECT load_id FROM source.load WHERE period = %s ORDER BY load_id", period)
        if loads:
            self._withdraw(loads[choice % len(loads)][0])
        self._work(period, then)

    def _withdraw(self, load_id: int) -> None:
        with contextlib.suppress(LoadRefusedError), connect(self.url) as connection:
            withdraw(connection, load_id, reason="sent in error", by="tester")
            self.changed_loads.discard(load_id)

    @rule(where=places, then=followed_by)
    def give_up_the_batch(self, where: int, then: Sequence[str]) -> None:
        period = self._month(where)
        with (
            contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState),
            connect(superuser(self.url)) as connection,
        ):
            batch = latest_batch(connection, period)
            if batch is not None:
                by_hand = (
                    "SELECT control.set_batch_state(%(id)s, 'ABORTED', 'tester'), control.drop_staged_leaves(%(id)s)"
                )
                connection.execute(by_hand, {"id": batch.batch_id})
        self._work(period, then)

    @rule()
    def put_right_and_close(self) -> None:
        """What a person does in the end. Nothing may have happened that stands in the way for ever."""
        period = self._month(0)
        for month in MONTHS[: MONTHS.index(period) + 1]:  # it takes the late loads of those before along
            for (load_id,) in self._rows(DOUBTFUL, month, list(self.changed_loads)):
                self._withdraw(load_id)
            with connect(self.url) as connection:
                acknowledge_rejections(connection, month, reason="known", by="tester")
        assert self._close(period) in {Outcome.POSTED, Outcome.NOTHING_NEW}

    # What nobody should do

    @rule(where=places, tampering=st.sampled_from(STAGED_TAMPERINGS), choice=choices, then=followed_by)
    def change_staged_rows(self, where: int, tampering: str, choice: int, then: Sequence[str]) -> None:
        period = self._month(where)
        self._work(period, ("stage",))
        batch = self._latest(period)
        leaves = self._rows(LEAVES, batch.batch_id) if batch and batch.state != "COMMITTED" else []
        if batch is not None and leaves:
            headers, lines = leaves[choice % len(leaves)]
            with contextlib.suppress(psycopg.errors.IntegrityError):
                scenario.execute(self.url, tampering.format(period=period, headers=headers, lines=lines))
                self.changed_batches.add((batch.batch_id, batch.attempt))
        self._work(period, then)

    @rule(where=places, choice=choices, then=followed_by)
    def change_source_rows(self, where: int, choice: int, then: Sequence[str]) -> None:
        period = self._month(where)
        loads = self._rows(UNPROCESSED, period)
        if loads:
            load_id = loads[choice % len(loads)][0]
            forged = "rtrim(policy_id, '#')" if load_id in self.changed_loads else "policy_id || '#'"
            scenario.execute(self.url, f"UPDATE source.txn_source SET policy_id = {forged} WHERE load_id = {load_id}")
            self.changed_loads ^= {load_id}
        self._work(period, then)

    @rule(tampering=st.sampled_from(POSTED_TAMPERINGS), choice=choices)
    def change_posted_rows(self, tampering: str, choice: int) -> None:
        leaves = self._rows(POSTED_LEAVES)
        if leaves:
            period, headers, lines, load_id = leaves[choice % len(leaves)]
            statement = tampering.format(period=period, headers=headers, lines=lines, load_id=load_id)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                scenario.execute(self.url, statement)

    # What always holds

    @invariant()
    def the_ledger_is_in_order(self) -> None:
        for what, query in NEVER.items():
            assert self._rows(query) == [], what

    @invariant()
    def what_is_posted_stays_as_it_was(self) -> None:
        posted = {batch_id: digest(self._rows(OF_BATCH, batch_id, batch_id)) for (batch_id,) in self._rows(POSTED)}
        assert {batch_id: posted.get(batch_id) for batch_id in self.posted} == self.posted
        self.posted = posted

    def teardown(self) -> None:
        self.clone.__exit__(None, None, None)

    # Looking

    def _rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with connect(self.url) as connection:
            return connection.execute(query.encode(), arguments or None).fetchall()

    def _latest(self, period: str) -> Any:
        with connect(self.url) as connection:
            return latest_batch(connection, period)

    def _month(self, where: int) -> str:
        """The month that is to be closed next, or one of its neighbours."""
        ((closed,),) = self._rows("SELECT count(*) FROM control.period WHERE status IN ('CLOSED', 'LOCKED')")
        return MONTHS[max(0, min(closed + where, len(MONTHS) - 1))]

    def _is_forged(self, batch: Batch) -> bool:
        """Whether somebody has changed what the batch holds, or its source."""
        loads = {load for (load,) in self._rows(LOADS, batch.batch_id)}
        return (batch.batch_id, batch.attempt) in self.changed_batches or bool(loads & self.changed_loads)

    def _status_before(self, period: str) -> str:
        before = "SELECT status FROM control.period WHERE period = control.previous_period(%s)"
        return "CLOSED" if period == MONTHS[0] else "".join(status for (status,) in self._rows(before, period))


def digest(rows: Sequence[object]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


UNPROCESSED: Final = "SELECT load_id FROM control.unprocessed_load WHERE period = %s"
LOADS: Final = "SELECT load_id FROM control.batch_load WHERE batch_id = %s"
LEAVES: Final = (
    "SELECT header_leaf::text, line_leaf::text FROM control.batch_worker "
    "WHERE batch_id = %s AND line_leaf IS NOT NULL ORDER BY worker_number"
)
POSTED: Final = "SELECT batch_id FROM control.batch WHERE state = 'COMMITTED'"
POSTED_LEAVES: Final = (
    "SELECT b.period, w.header_leaf::text, w.line_leaf::text, s.load_id FROM control.batch b "
    "JOIN control.batch_worker w USING (batch_id) JOIN control.batch_worker_slice s USING (batch_id, worker_number) "
    "WHERE b.state = 'COMMITTED' AND w.line_leaf IS NOT NULL ORDER BY 2, 4"
)
DOUBTFUL: Final = """
    SELECT load_id FROM source.load WHERE period = %s AND status = 'LOADED' AND load_id >= (
        SELECT min(load_id) FROM source.txn_source
        WHERE load_id = ANY (%s) OR product_code LIKE 'UNKNOWN%%' OR txn_type = 'REFUND')
    ORDER BY load_id DESC"""
OF_BATCH: Final = """
    SELECT h::text, l::text
    FROM ledger.ledger_entry_header h FULL JOIN ledger.ledger_entry_line l USING (period, je_number)
    WHERE h.batch_id = %s OR l.batch_id = %s ORDER BY period, je_number, line_number"""

NEVER: Final = {
    "an entry is out of balance within a fund": """
        SELECT period, je_number, fund FROM ledger.ledger_entry_line
        GROUP BY period, je_number, fund HAVING sum(debit_amount) <> sum(credit_amount)""",
    "a header is not the sum of its lines": """
        SELECT period, je_number, h.total_debit, l.debit
        FROM ledger.ledger_entry_header h FULL JOIN (
            SELECT period, je_number, sum(debit_amount) AS debit FROM ledger.ledger_entry_line GROUP BY 1, 2) l
        USING (period, je_number) WHERE h.total_debit IS DISTINCT FROM l.debit""",
    "numbers have a gap": """
        SELECT period, p.next_je_number, h.* FROM control.period p
        LEFT JOIN (SELECT period, count(*) AS n, min(je_number) AS first, max(je_number) AS last
                   FROM ledger.ledger_entry_header GROUP BY period) h USING (period)
        WHERE (coalesce(h.n, 0), coalesce(h.first, 1), coalesce(h.last, 0))
              <> (p.next_je_number - 1, 1, p.next_je_number - 1)""",
    "ranges do not follow each other": """
        SELECT * FROM (SELECT *, lag(last_je_number, 1, 0) OVER (PARTITION BY period ORDER BY first_je_number) AS before
                       FROM control.sequence_reservation_log WHERE released_at IS NULL) r
        WHERE first_je_number <> before + 1""",
    "a load is in two posted batches": """
        SELECT load_id FROM control.batch_load JOIN control.batch USING (batch_id) WHERE state = 'COMMITTED'
        GROUP BY load_id HAVING count(*) > 1""",
    "a processed load and its posted batch do not know each other": """
        SELECT load_id, batch_id FROM control.load_batch EXCEPT
        SELECT load_id, batch_id FROM control.batch_load JOIN control.batch USING (batch_id) WHERE state = 'COMMITTED'
        UNION ALL (
        SELECT load_id, batch_id FROM control.batch_load JOIN control.batch USING (batch_id) WHERE state = 'COMMITTED'
        EXCEPT SELECT load_id, batch_id FROM control.load_batch)""",
    "a processed transaction is not posted once, or another one is": """
        SELECT * FROM (SELECT period, txn_id, count(*) AS n
                       FROM source.txn_source JOIN control.load_batch USING (load_id) GROUP BY 1, 2) t
        FULL JOIN (SELECT coalesce(l.original_period, h.period) AS period, h.source_id AS txn_id, count(*) AS n
                   FROM ledger.ledger_entry_header h LEFT JOIN ledger.late_entry l USING (period, je_number)
                   JOIN control.batch b ON b.batch_id = h.batch_id WHERE b.kind = 'MONTHEND'
                   GROUP BY 1, 2) h
        USING (period, txn_id) WHERE (t.n, h.n) IS DISTINCT FROM (1::bigint, 1::bigint)""",
    "a trial balance does not add up to zero": """
        SELECT period, fund FROM ledger.account_balance_snapshot GROUP BY period, fund
        HAVING sum(closing_balance) <> 0 OR sum(opening_balance) <> 0 OR sum(debit) <> sum(credit)""",
    "a closed month's balances are not its lines and all before": """
        SELECT period, account_code, s.closing_balance, l.closing, s.debit, s.credit, l.debit, l.credit
        FROM (SELECT * FROM ledger.account_balance_snapshot JOIN control.period USING (period)
              WHERE status IN ('CLOSED', 'LOCKED')) s
        FULL JOIN (
            SELECT p.period, account_code, sum(debit_amount - credit_amount) AS closing,
                   coalesce(sum(debit_amount) FILTER (WHERE e.period = p.period), 0) AS debit,
                   coalesce(sum(credit_amount) FILTER (WHERE e.period = p.period), 0) AS credit
            FROM control.period p JOIN ledger.ledger_entry_line e ON e.period <= p.period COLLATE "C"
            WHERE p.status IN ('CLOSED', 'LOCKED') GROUP BY 1, 2) l
        USING (period, account_code)
        WHERE (s.closing_balance, s.debit, s.credit) IS DISTINCT FROM (l.closing, l.debit, l.credit)""",
    "a closed month does not open with what the one before ended with": """
        SELECT s.period, s.account_code FROM ledger.account_balance_snapshot s
        JOIN control.period p ON p.period = s.period AND p.status IN ('CLOSED', 'LOCKED')
        LEFT JOIN ledger.account_balance_snapshot b
               ON b.period = control.previous_period(s.period) AND b.account_code = s.account_code
        WHERE s.opening_balance <> coalesce(b.closing_balance, 0)""",
    "a closed month follows one that is not": """
        SELECT period FROM control.period p
        WHERE status IN ('CLOSED', 'LOCKED') AND period > '2024-01' AND NOT EXISTS (
            SELECT FROM control.period b
            WHERE b.period = control.previous_period(p.period) AND b.status IN ('CLOSED', 'LOCKED'))""",
    "a posted month follows one without a posted batch": """
        SELECT period FROM control.batch p WHERE state = 'COMMITTED' AND period > '2024-01' AND NOT EXISTS (
            SELECT FROM control.batch b
            WHERE b.period = control.previous_period(p.period) AND b.state = 'COMMITTED')""",
    "a fund's balance is not its net assets": """
        SELECT f.period, f.fund, f.closing_balance, n.net FROM ledger.fund_balance f
        JOIN control.period p ON p.period = f.period AND p.status IN ('CLOSED', 'LOCKED')
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(debit_amount - credit_amount), 0) AS net FROM ledger.ledger_entry_line l
            JOIN acct.chart_of_accounts a USING (account_code)
            WHERE l.period <= f.period COLLATE "C" AND l.fund = f.fund AND a.account_type IN ('ASSET', 'LIABILITY')) n
        WHERE f.closing_balance <> n.net""",
    "a batch is committed twice, or not in the trail": """
        SELECT batch_id, count(o.operation_id) FROM control.batch b
        LEFT JOIN audit.batch_operation o USING (batch_id) WHERE o.state_after = 'COMMITTED' OR b.state = 'COMMITTED'
        GROUP BY batch_id HAVING count(*) FILTER (WHERE o.state_after = 'COMMITTED') <> 1""",
    "a month has two open batches": """
        SELECT period FROM control.batch
        WHERE kind <> 'DRYRUN' AND state NOT IN ('COMMITTED', 'ABORTED', 'ROLLED_BACK')
        GROUP BY period HAVING count(*) > 1""",
    "a staged table belongs to nobody, or a posted row is staged": """
        SELECT relname, b.state FROM pg_class c
        LEFT JOIN control.batch_worker w ON c.oid IN (w.header_leaf, w.line_leaf)
        LEFT JOIN control.batch b USING (batch_id)
        WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r' AND relname NOT IN ('je_header', 'je_line')
          AND (b.state IS NULL OR b.state = 'COMMITTED')""",
}


BOUNDS: Final = settings(
    max_examples=4, stateful_step_count=15, deadline=None, phases=(Phase.generate,),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def test_whatever_is_done_the_ledger_stays_in_order(test_server_url: str, ruled_database: str, tmp_path: Path):
    run_state_machine_as_test(lambda: Books(test_server_url, ruled_database, tmp_path), settings=BOUNDS)
