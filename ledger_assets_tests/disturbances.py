"""A small close, step by step as the assets take them, and what the books say afterwards.

Here: deliver a file, close a month over several workers, read everything that a reader of the ledger can see; a copy
of a database, and the means to stop somebody in the middle. Not here: ways to be wrong, and what must not happen then.
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.rule_files import load_approvals, load_rule_set
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.storage.batches import Batch, latest_batch, open_batch, post_batch, take_snapshot
from ledger_assets.storage.database import connect, with_database
from ledger_assets.storage.rules import approve, store, usable
from ledger_assets.storage.source_loads import LoadResult, ingest
from ledger_assets.storage.staging import stage
from ledger_assets.storage.validation import validate
from ledger_assets_tests.conftest import _clone_database, _drop_database

RULES: Final = "combined"
FIRST: Final = "2024-01"
ROWS_PER_WORKER: Final = 8

Facts = Mapping[str, list[tuple[Any, ...]]]

_POSTED: Final[Mapping[str, LiteralString]] = {
    "headers": "SELECT period, batch_id, je_number, je_date, template_code, template_version, source_type, source_id, "
    "description, total_debit, total_credit FROM ledger.ledger_entry_header ORDER BY period, je_number",
    "lines": "SELECT period, batch_id, je_number, line_number, account_code, fund, debit_amount, credit_amount "
    "FROM ledger.ledger_entry_line ORDER BY period, je_number, line_number",
    "batches": "SELECT batch_id, period, first_je_number, last_je_number, entry_count, line_count, source_checksum "
    "FROM control.batch WHERE state = 'COMMITTED' ORDER BY 1",
    "counts": "SELECT batch_id, source_type, expected_count, actual_count FROM control.batch_source_count "
    "WHERE actual_count IS NOT NULL ORDER BY 1, 2",
    "processed": "SELECT l.period, l.file_sha256, p.batch_id "
    "FROM control.load_batch p JOIN source.load l USING (load_id) ORDER BY 1, 2",
    "reserved": "SELECT batch_id, period, first_je_number, last_je_number, entry_count "
    "FROM control.sequence_reservation_log ORDER BY 1",
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


def store_rules(url: str) -> None:
    """The shipped rules, approved."""
    with connect(url) as connection:
        store(connection, load_rule_set(RULES))
        for approval in load_approvals():
            if approval.rule_set == RULES:
                version, content = approval.version, approval.sha256
                approve(connection, RULES, version, approved_by=approval.approved_by, content_hash=content)


def month_file(folder: Path, period: str, rows: int = 20, seed: int = 1, defects: tuple[str, ...] = ()) -> Path:
    """A generated file of the month."""
    path = folder / f"{period}-{rows}-{seed}{''.join(f'-{defect}' for defect in defects)}.csv"
    write(generate(period, rows, seed, defects), path, defects)
    return path


def deliver(url: str, path: Path, period: str) -> LoadResult:
    """Load a file into the source."""
    with connect(url) as connection:
        return ingest(connection, path, period=period, mapping=SourceMapping(), currency="IDR", loaded_by="tester")


def open_month(url: str, period: str, *, rows_per_worker: int = ROWS_PER_WORKER) -> Batch | None:
    """The first step of the close: a planned batch, None when everything is posted."""
    with connect(url) as connection:
        rules = usable(connection, RULES).rule_set
        return open_batch(
            connection, period=period, kind="MONTHEND", rule_set=rules.name, rule_version=rules.version,
            rows_per_worker=rows_per_worker, first_period=FIRST, performed_by="tester", run_id=None,
        )  # fmt: skip


def stage_month(url: str, period: str, *, rows_per_worker: int = ROWS_PER_WORKER) -> Batch | None:
    """Open and stage; None when everything is posted."""
    batch = open_month(url, period, rows_per_worker=rows_per_worker)
    if batch is not None:
        stage_opened(url, batch)
    return batch


def stage_opened(url: str, batch: Batch) -> None:
    """Write all workers of a planned batch."""
    with connect(url) as connection:
        rules = usable(connection, RULES).compiled()
    stage(url, batch, rules, performed_by="tester")


def gates_pass(url: str, batch: Batch) -> bool:
    """Run the gates on a staged batch."""
    return all(gate.verdict.passed for gate in validate(url, batch, performed_by="tester"))


def ready_to_post(url: str, period: str = FIRST) -> Batch:
    """A month staged and through its gates."""
    batch = stage_month(url, period)
    assert batch is not None
    assert gates_pass(url, batch)
    return batch


def post(url: str, batch_id: str) -> bool:
    """The commit."""
    with connect(url) as connection:
        return post_batch(connection, batch_id, first_period=FIRST, performed_by="tester")


def snapshot(url: str, period: str) -> None:
    """The balances, which close the month."""
    with connect(url) as connection:
        take_snapshot(connection, period, first_period=FIRST, performed_by="tester")


def close(url: str, period: str = FIRST) -> bool:
    """All steps of a close in a row; False when there was nothing to post. Raises what a step raises."""
    batch = stage_month(url, period)
    if batch is not None:
        assert gates_pass(url, batch), f"the gates of {batch.batch_id} do not pass"
    with connect(url) as connection:
        latest = latest_batch(connection, period)
    assert latest is not None
    posted = post(url, latest.batch_id)
    snapshot(url, period)
    return posted


def posted_facts(url: str) -> Facts:
    """Everything that a posting leaves where others can read it, without times; every list is empty before one."""
    return _facts(url, _POSTED)


def closed_facts(url: str) -> Facts:
    """Everything that taking the balances leaves."""
    return _facts(url, _CLOSED)


def facts(url: str) -> Facts:
    """Both."""
    return _facts(url, {**_POSTED, **_CLOSED})


def staged_leaves(connection: psycopg.Connection) -> list[str]:
    """The tables in `staging` besides the two parents."""
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r' "
        "AND relname NOT IN ('je_header', 'je_line') ORDER BY 1"
    ).fetchall()
    return [name for (name,) in found]


@contextlib.contextmanager
def cloned(server: str, template: str) -> Iterator[str]:
    """A copy of a database, for as long as it is needed."""
    name = f"copy_{secrets.token_hex(6)}"
    _clone_database(server, template, name)
    try:
        yield with_database(server, name)
    finally:
        _drop_database(server, name)


@contextlib.contextmanager
def held(url: str, lock: LiteralString | sql.Composed) -> Iterator[Callable[[], None]]:
    """Hold a lock; gives what lets go of it."""
    with contextlib.closing(connect(url)) as holder:
        holder.execute(lock)
        yield holder.rollback


def waiting_backend(url: str, how_many: int = 1) -> int:
    """Wait until so many wait for a lock; the process id of one of them."""
    deadline = time.monotonic() + 60
    with connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchall()
            if len(found) >= how_many:
                return int(found[0][0])
            time.sleep(0.005)
    raise AssertionError(f"not {how_many} but {len(found)} came to wait for a lock")


def _facts(url: str, queries: Mapping[str, LiteralString]) -> Facts:
    with connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return {name: connection.execute(query).fetchall() for name, query in queries.items()}
