"""Three months of books that are posted, taken back, reversed and closed in any order, next to books in which what was
taken back never happened.

Hypothesis chooses. After each rollback a second ledger is made, out of nothing but the deliveries and the postings
that are left, and the two have to say the same.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ledger_assets.storage.batches import (
    BatchStateError,
    BuiltUpon,
    GateFailed,
    PreflightFailed,
    open_batch,
    post_batch,
    take_snapshot,
)
from ledger_assets.storage.corrections import abort_batch, roll_back
from ledger_assets.storage.database import connect
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.rules import usable
from ledger_assets.storage.staging import stage
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import cloned
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import ACTOR, rows_of
from ledger_assets_tests.test_ledger_states import NEVER

pytestmark = pytest.mark.slow

MONTHS: Final = ("2024-01", "2024-02", "2024-03")
REFUSALS: Final = (PreflightFailed, BatchStateError, BuiltUpon, GateFailed)
OPERATIONS: Final = ("deliver", "post", "close", "abort", "roll_back", "chain", "reverse")

operations = st.lists(
    st.tuples(st.sampled_from((*OPERATIONS, "close", "roll_back", "reverse")), st.integers(0, 11)),
    min_size=4, max_size=10,
)  # fmt: skip

BOOKS: Final = {
    "headers": "SELECT period, je_number, je_date, template_code, template_version, source_type, source_id, "
    "regexp_replace(description, '^Reversal of [^:]*', 'Reversal of it') AS description, total_debit "
    "FROM ledger.ledger_entry_header ORDER BY period, je_number",
    "original dates": "SELECT period, je_number, original_date FROM ledger.je_header ORDER BY period, je_number",
    "lines": "SELECT period, je_number, line_number, account_code, fund, debit_amount, credit_amount "
    "FROM ledger.ledger_entry_line ORDER BY period, je_number, line_number",
    "snapshots": "SELECT s.period, account_code, opening_balance, debit, credit, closing_balance "
    "FROM ledger.account_balance_snapshot s JOIN control.period p USING (period) WHERE status = 'CLOSED' ORDER BY 1, 2",
    "fund balances": "SELECT period, fund, opening_balance, income, expense, equity_movement, closing_balance "
    "FROM ledger.fund_balance ORDER BY 1, 2",
    # That a close was begun is no matter of the books.
    "months": "SELECT period, status IN ('CLOSED', 'LOCKED') AS is_closed, next_je_number FROM control.period "
    "WHERE next_je_number > 1 OR status IN ('CLOSED', 'LOCKED') ORDER BY 1",
    "ranges": "SELECT period, first_je_number, last_je_number FROM control.sequence_reservation_log "
    "WHERE released_at IS NULL ORDER BY 1, 2",
    "processed": "SELECT l.period, l.file_sha256, b.first_je_number FROM control.load_batch p "
    "JOIN source.load l USING (load_id) JOIN control.batch b USING (batch_id) ORDER BY 1, 2",
    "to post": "SELECT l.period, l.file_sha256 FROM control.unprocessed_load JOIN source.load l USING (load_id) "
    "ORDER BY 2",
}
POSTED: Final = """
    SELECT batch_id, period, kind, reverses_batch_id,
           ARRAY(SELECT l.file_name FROM control.load_batch p JOIN source.load l USING (load_id)
                 WHERE p.batch_id = b.batch_id ORDER BY load_id) AS files
    FROM control.batch b WHERE state = 'COMMITTED' ORDER BY committed_at"""
NOT_TAKEN_BACK: Final = """
    SELECT r.batch_id, l.account_code, sum(l.debit_amount - l.credit_amount)
    FROM control.batch r JOIN ledger.ledger_entry_line l ON l.batch_id IN (r.batch_id, r.reverses_batch_id)
    WHERE r.state = 'COMMITTED' AND r.kind = 'REVERSAL' GROUP BY 1, 2
    HAVING sum(l.debit_amount - l.credit_amount) <> 0"""


class Books:
    """A ledger and what can be done to it; what the product refuses leaves it as it was."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.seed = 0

    def do(self, operation: str, choice: int) -> None:
        with suppress(*REFUSALS):
            match operation:
                case "deliver":
                    self.seed += 1
                    period = MONTHS[choice % 3]
                    scenario.deliver(self.url, period, folder=self.folder, rows=3 + choice % 2, seed=self.seed)
                case "post":
                    self.post(MONTHS[choice % 3])
                case "close":
                    scenario.close_directly(self.url, MONTHS[choice % 3], rows_per_worker=2)
                case "abort":
                    self._abort(choice)
                case "roll_back" | "chain":
                    self._roll_back(choice, chain=operation == "chain")
                case _:
                    self._reverse(choice)

    def post(self, period: str) -> None:
        """Post what has been delivered, and leave the balances."""
        with connect(self.url) as connection:
            rules = usable(connection, "combined")
            batch = open_batch(
                connection, period=period, rule_set="combined", rule_version=rules.rule_set.version, rows_per_worker=2,
                first_period=MONTHS[0], performed_by=ACTOR,
            )  # fmt: skip
        if batch is not None:
            stage(self.url, batch, rules.compiled(), performed_by=ACTOR)
            with connect(self.url) as connection:
                post_batch(connection, batch.batch_id, first_period=MONTHS[0], performed_by=ACTOR)

    def take_balances(self, period: str) -> None:
        with connect(self.url) as connection:
            take_snapshot(connection, period, first_period=MONTHS[0], performed_by=ACTOR)

    def reverse(self, batch_id: str, period: str) -> str:
        return reverse_batch(
            self.url, batch_id, opened_by=batch_admin(self.url),
            into_period=period, reason="wrong", confirmation=batch_id, first_period=MONTHS[0],
            performed_by=ACTOR,
        ).batch_id  # fmt: skip

    def posted(self) -> list[dict[str, Any]]:
        return rows_of(self.url, POSTED)

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        return {name: rows_of(self.url, query) for name, query in BOOKS.items()}

    def _abort(self, choice: int) -> None:
        batch, _ = scenario.opened(self.url, MONTHS[choice % 3])
        if batch is not None:
            with connect(batch_admin(self.url)) as connection:
                abort_batch(connection, batch.batch_id, reason="changed our minds", performed_by=ACTOR)

    def _roll_back(self, choice: int, *, chain: bool) -> None:
        # The newest ones first, lest most rollbacks are refused.
        batches = [batch["batch_id"] for batch in reversed(self.posted())]
        if batches:
            batch_id = batches[choice // 2 % len(batches)]
            with connect(batch_admin(self.url)) as connection:
                roll_back(
                    connection, batch_id, reason="wrong", confirmation=batch_id, performed_by=ACTOR, chain=chain
                )  # fmt: skip

    def _reverse(self, choice: int) -> None:
        batches = [batch["batch_id"] for batch in self.posted()]
        if batches:
            self.reverse(batches[choice // 3 % len(batches)], MONTHS[choice % 3])


def never_happened(books: Books, url: str) -> Books:
    """Books of which the history is nothing but the postings that `books` has now."""
    twin = Books(url, books.folder)
    names: dict[str, str] = {}
    delivered: set[str] = set()
    # A late file is of an earlier month than the batch that it is booked in.
    of_month = {r["file_name"]: r["period"] for r in rows_of(books.url, "SELECT file_name, period FROM source.load")}
    for batch in books.posted():
        place = MONTHS.index(batch["period"])
        for before in MONTHS[:place]:
            twin.take_balances(before)
        for name in batch["files"]:
            scenario.load(url, books.folder / name, of_month[name])
            delivered.add(name)
        if batch["kind"] == "REVERSAL":
            names[batch["batch_id"]] = twin.reverse(names[batch["reverses_batch_id"]], batch["period"])
        else:
            twin.post(batch["period"])
            names[batch["batch_id"]] = twin.posted()[-1]["batch_id"]
    closed = rows_of(books.url, "SELECT period FROM control.period WHERE status = 'CLOSED' ORDER BY period")
    for row in closed:
        twin.take_balances(row["period"])
    for row in rows_of(books.url, "SELECT file_name, period FROM source.load ORDER BY load_id"):
        if row["file_name"] not in delivered:
            scenario.load(url, books.folder / row["file_name"], row["period"])
    return twin


@settings(
    max_examples=3, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(operations)
@example([("post", 10), ("deliver", 9), ("close", 7), ("reverse", 7), ("deliver", 6), ("roll_back", 9)])
def test_books_with_rollbacks_are_those_in_which_they_never_happened(
    test_server_url: str, ruled_database: str, tmp_path: Path, history: Sequence[tuple[str, int]]
) -> None:
    with cloned(test_server_url, ruled_database) as url:
        books = Books(url, tmp_path)
        for month in range(3):
            books.do("deliver", month)
        books.do("close", 0)
        for operation, choice in history:
            books.do(operation, choice)
            for what, query in NEVER.items():
                assert rows_of(url, query) == [], what
            assert rows_of(url, NOT_TAKEN_BACK) == []
        with cloned(test_server_url, ruled_database) as other:
            twin = never_happened(books, other).contents()
        for name, content in books.contents().items():
            assert content == twin[name], name
