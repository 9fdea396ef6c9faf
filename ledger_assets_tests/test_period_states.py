"""The same books as in test_ledger_states, whose months are also locked and reopened in any order."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from ledger_assets.close_result import Outcome
from ledger_assets.storage import periods
from ledger_assets.storage.batches import BatchStateError, BuiltUpon
from ledger_assets.storage.database import connect
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.test_ledger_states import MONTHS, Books

pytestmark = pytest.mark.slow


class Months(Books):
    """Books whose months live."""

    def _close_all(self) -> None:
        for month in MONTHS:
            if self._rows("SELECT FROM control.period WHERE period = %s AND status IN ('CLOSED', 'LOCKED')", month):
                continue
            if scenario.close_directly(self.url, month).outcome not in {Outcome.POSTED, Outcome.NOTHING_NEW}:
                break

    @rule(how_many=st.integers(1, len(MONTHS)), seed=st.integers(1000, 1004))
    def close_deliver_late_and_close(self, how_many: int, seed: int) -> None:
        self._close_all()
        scenario.deliver(self.url, MONTHS[how_many - 1], folder=self.folder, rows=2, seed=seed)
        self._close_all()

    @rule(month=st.sampled_from(MONTHS))
    def lock(self, month: str) -> None:
        with connect(batch_admin(self.url)) as connection:
            try:
                periods.lock(connection, month, performed_by="tester")
            except BatchStateError:
                return
        assert self._rows("SELECT period FROM control.period WHERE period <= %s AND status <> 'LOCKED'", month) == []

    @rule(month=st.sampled_from(MONTHS), chain=st.booleans())
    def reopen(self, month: str, chain: bool) -> None:
        with connect(batch_admin(self.url)) as connection:
            try:
                periods.reopen(connection, month, reason="to put it right", chain=chain, performed_by="tester")
            except (BatchStateError, BuiltUpon):
                return
        assert self._rows("SELECT status FROM control.period WHERE period = %s", month) == [("OPEN",)]

    @invariant()
    def months_are_in_order(self) -> None:
        for what, query in NEVER.items():
            assert self._rows(query) == [], what


NEVER: Final = {
    "a closed month holds other balances than its last close": """
        SELECT * FROM (
            SELECT s.period, s.account_code, s.opening_balance, s.debit, s.credit FROM ledger.account_balance_snapshot s
            JOIN control.period p ON p.period = s.period AND p.status IN ('CLOSED', 'LOCKED')) s
        FULL JOIN (
            SELECT c.period, c.account_code, c.opening_balance, c.debit, c.credit FROM ledger.closed_balance c
            JOIN control.period p ON p.period = c.period AND p.status IN ('CLOSED', 'LOCKED')
            WHERE close_number = (SELECT max(close_number) FROM ledger.period_close l WHERE l.period = c.period)) c
        USING (period, account_code)
        WHERE (s.opening_balance, s.debit, s.credit) IS DISTINCT FROM (c.opening_balance, c.debit, c.credit)""",
    "the differences do not lead from the first close to the last": """
        SELECT period, account_code FROM ledger.closed_balance b
        LEFT JOIN (SELECT period, account_code, sum(closing_change) AS change
                   FROM ledger.close_difference GROUP BY 1, 2) d USING (period, account_code)
        GROUP BY period, account_code, d.change
        HAVING (array_agg(closing_balance ORDER BY close_number DESC))[1]
               <> coalesce(sum(closing_balance) FILTER (WHERE close_number = 1), 0) + coalesce(d.change, 0)""",
    "a locked month follows one that is not": """
        SELECT p.period FROM control.period p JOIN control.period b ON b.period < p.period
        WHERE p.status = 'LOCKED' AND b.status <> 'LOCKED'""",
    "an entry lies outside its month, or a late one does not know its date": """
        SELECT period, je_number FROM ledger.je_header
        WHERE to_char(je_date, 'YYYY-MM') <> period OR original_date >= to_date(period, 'YYYY-MM')""",
    "a month's status is not what its trail says": """
        SELECT p.period FROM control.period p
        LEFT JOIN LATERAL (SELECT state_after FROM audit.batch_operation o
                           WHERE o.period = p.period AND operation LIKE '%PERIOD' AND outcome = 'SUCCESS'
                           ORDER BY operation_id DESC LIMIT 1) o ON true
        WHERE p.status <> coalesce(o.state_after, 'OPEN')""",
}


BOUNDS: Final = settings(
    max_examples=3, stateful_step_count=10, deadline=None, phases=(Phase.generate,),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def test_whatever_is_done_the_months_stay_in_order(test_server_url: str, ruled_database: str, tmp_path: Path):
    run_state_machine_as_test(lambda: Months(test_server_url, ruled_database, tmp_path), settings=BOUNDS)
