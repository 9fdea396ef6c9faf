"""The means to disturb a close of the scenario's month, and to see what became of the books.

Here: a copy of a database, a lock that stops somebody at a chosen place, a wait until he has come there; everything
that a reader of the ledger can see, to compare with the books of a close that nobody disturbed. Not here: who is
disturbed, and what must not happen then.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from ledger_assets.close_result import Outcome
from ledger_assets.storage.batches import Batch, take_snapshot
from ledger_assets.storage.database import connect, in_transaction, with_database
from ledger_assets.storage.staging import stage
from ledger_assets_tests import scenario
from ledger_assets_tests.conftest import clone_database, drop_database
from ledger_assets_tests.logins import engine, superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD
from ledger_assets_tests.waiting import wait_until

Facts = Mapping[str, list[tuple[Any, ...]]]

_POSTED: Final[Mapping[str, LiteralString]] = {
    "headers": "SELECT period, batch_id, je_number, je_date, template_code, template_version, source_type, source_id, "
    "description, total_debit, total_credit FROM ledger.ledger_entry_header ORDER BY period, je_number",
    "lines": "SELECT period, batch_id, je_number, line_number, account_code, fund, debit_amount, credit_amount "
    "FROM ledger.ledger_entry_line ORDER BY period, je_number, line_number",
    "batches": "SELECT batch_id, period, first_je_number, last_je_number, entry_count, line_count, source_checksum "
    "FROM control.batch WHERE state = 'COMMITTED' ORDER BY 1",
    "counts": "SELECT batch_id, source_type, expected_count, actual_count FROM control.batch_source_count "
    "JOIN control.batch USING (batch_id) WHERE actual_count IS NOT NULL AND state <> 'ROLLED_BACK' ORDER BY 1, 2",
    "processed": "SELECT l.period, l.file_sha256, p.batch_id "
    "FROM control.load_batch p JOIN source.load l USING (load_id) ORDER BY 1, 2",
    "reserved": "SELECT batch_id, period, first_je_number, last_je_number, entry_count "
    "FROM control.sequence_reservation_log WHERE released_at IS NULL ORDER BY 1",
    "numbers": "SELECT period, next_je_number FROM control.period WHERE next_je_number > 1 ORDER BY 1",
    "commits": "SELECT batch_id FROM audit.batch_operation WHERE state_after = 'COMMITTED' ORDER BY 1",
    "fund_balances": "SELECT period, fund, opening_balance, income, expense, equity_movement, closing_balance "
    "FROM ledger.fund_balance ORDER BY 1, 2",
}
_CLOSED: Final[Mapping[str, LiteralString]] = {
    "trial_balance": "SELECT period, account_code, fund, opening_balance, debit, credit, closing_balance "
    "FROM ledger.account_balance_snapshot ORDER BY 1, 2",
    "closed": "SELECT period FROM control.period WHERE status = 'CLOSED' ORDER BY 1",
}


def close(url: str) -> bool:
    """Close the month without Dagster; whether there was something to post. Raises what a step raises."""
    closed = scenario.close_directly(url, FIRST_PERIOD)
    assert closed.outcome in {Outcome.POSTED, Outcome.NOTHING_NEW}, closed
    return closed.outcome == Outcome.POSTED


def opened(url: str) -> Batch:
    """The month's batch, planned."""
    batch, _ = scenario.opened(url, FIRST_PERIOD)
    assert batch is not None
    return batch


def stage_opened(url: str, batch: Batch) -> None:
    """Write all workers of a planned batch."""
    rules = in_transaction(url, lambda connection: scenario.rules.usable(connection, batch.rule_set))
    stage(url, batch, rules.compiled(), performed_by=ACTOR)


def ready_to_post(url: str, period: str = FIRST_PERIOD) -> Batch:
    """A month staged and through its gates."""
    batch = scenario.staged(url, period)
    assert scenario.failing_gates(url, batch) == {}
    return batch


def take_balances(url: str, period: str = FIRST_PERIOD) -> None:
    """The last step, which closes the month."""
    with connect(url) as connection:
        take_snapshot(connection, period, first_period=FIRST_PERIOD, performed_by=ACTOR)


def posted_facts(url: str) -> Facts:
    """Everything that a posting leaves where others can read it, without times; every list is empty before one."""
    return _facts(url, _POSTED)


def closed_facts(url: str) -> Facts:
    """Everything that taking the balances leaves."""
    return _facts(url, _CLOSED)


def facts(url: str) -> Facts:
    """Both."""
    return _facts(url, {**_POSTED, **_CLOSED})


@contextlib.contextmanager
def cloned(server: str, template: str) -> Iterator[str]:
    """A copy of a database, for as long as it is needed; with the engine's rights."""
    name = f"copy_{secrets.token_hex(6)}"
    clone_database(server, template, name)
    try:
        yield engine(with_database(server, name))
    finally:
        drop_database(server, name)


@contextlib.contextmanager
def held(url: str, lock: LiteralString | sql.Composed) -> Iterator[Callable[[], None]]:
    """Hold a lock; gives what lets go of it."""
    with contextlib.closing(connect(superuser(url))) as holder:
        holder.execute(lock)
        yield holder.rollback


def waiting_backend(url: str, how_many: int = 1) -> int:
    """Wait until so many wait for a lock; the process id of one of them."""
    waiting: LiteralString = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND backend_type = 'client backend'"
    )
    with connect(superuser(url), autocommit=True) as connection:
        found: list[int] = []

        def have_come() -> bool:
            found[:] = [pid for (pid,) in connection.execute(waiting).fetchall()]
            return len(found) >= how_many

        wait_until(have_come, pause=0.005)
    return found[0]


def _facts(url: str, queries: Mapping[str, LiteralString]) -> Facts:
    with connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}
