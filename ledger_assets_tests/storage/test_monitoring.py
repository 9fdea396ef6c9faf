"""What is watched while a month is being staged (A13): the five views, and who may read them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_assets.storage.batches import Batch
from ledger_assets.storage.database import as_role, connect
from ledger_assets.storage.monitoring import QUESTIONS
from ledger_assets.storage.reading import rows
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import held, opened, stage_opened, waiting_backend
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.waiting import wait_until

SECOND_WORKER = "SELECT FROM control.batch_worker WHERE worker_number = 2 FOR UPDATE"
"""Keeps worker 2 from being started, and with it those after it; worker 1 is written meanwhile."""
DONE = "SELECT count(*) FROM control.batch_worker WHERE status = 'COMPLETED'"


@contextmanager
def staging(url: str, folder: Path) -> Iterator[Batch]:
    """January in the middle of its staging: its first worker is done, the second waits to be started."""
    scenario.store_rules(url)
    scenario.deliver(url, JANUARY, folder=folder)
    batch = opened(url)
    with ThreadPoolExecutor(1) as pool, held(url, SECOND_WORKER) as let_go:
        staged = pool.submit(stage_opened, url, batch)
        try:
            waiting_backend(url)
            wait_until(lambda: scenario.value_of(url, DONE) >= 1)
            yield batch
        finally:
            let_go()
            staged.result()


def asked(url: str) -> dict[str, list[dict[str, Any]]]:
    """The answers to the five questions."""
    with connect(superuser(url)) as connection:
        return {question: rows(connection, f"monitoring/{question}") for question in QUESTIONS}


def look_at_a_staging(url: str, folder: Path) -> None:
    with staging(url, folder) as batch:
        found = asked(url)
    (progress,) = found["batch_progress"]
    assert (progress["batch_id"], progress["state"]) == (batch.batch_id, "PROCESSING")
    assert (progress["workers"], progress["workers_completed"], progress["workers_failed"]) == (3, 1, 0)
    assert (progress["records_expected"], progress["records_processed"]) == (60, 25)
    assert str(progress["percent"]) == "41.7"
    assert progress["minutes_remaining"] is not None
    assert progress["staged_by"] is not None
    by_status = {row["status"]: row for row in found["workers_by_status"]}
    assert {status: row["workers"] for status, row in by_status.items()} == {"COMPLETED": 1, "PENDING": 2}
    assert by_status["COMPLETED"]["average_records_per_second"] > 0
    finished = {row["worker_number"]: row["records_processed"] for row in found["recent_checkpoints"]}
    assert finished == {1: 25}
    waiting = [row for row in found["database_activity"] if row["wait_event_type"] == "Lock"]
    assert len(waiting) == 1
    assert waiting[0]["blocked_by"]
    assert waiting[0]["application"].startswith("ledger-assets[")
    assert str(asked(url)["batch_progress"][0]["percent"]) == "100.0"


def test_a_batch_in_the_middle_of_its_staging(ledger_url: str, tmp_path: Path):
    look_at_a_staging(ledger_url, tmp_path)


@pytest.mark.slow
def test_the_oldest_server_answers_too(oldest_url: str, tmp_path: Path):
    look_at_a_staging(oldest_url, tmp_path)


def test_workers_slower_than_500_records_a_second(staged_url: str):
    pace = "completed_at = started_at + records_processed * interval '1 second' / "
    scenario.execute(staged_url, f"UPDATE control.batch_worker SET {pace} 1000")
    assert asked(staged_url)["slow_workers"] == []
    scenario.execute(staged_url, f"UPDATE control.batch_worker SET {pace} 499 WHERE worker_number = 2")
    (slow,) = asked(staged_url)["slow_workers"]
    assert (slow["worker_number"], slow["records"], str(slow["records_per_second"])) == (2, 25, "499.0")
    stuck = (
        "UPDATE control.batch_worker SET status = 'RUNNING', records_expected = 0, records_processed = 0, "
        "completed_at = NULL, started_at = now() - interval '1 hour' WHERE worker_number = 1"
    )
    scenario.execute(staged_url, stuck)
    assert [row["worker_number"] for row in asked(staged_url)["slow_workers"]] == [1, 2]


def test_a_checkpoint_is_recent_for_five_minutes(staged_url: str):
    scenario.execute(staged_url, "UPDATE control.batch_checkpoint SET recorded_at = now()")  # as if staged just now
    assert len(asked(staged_url)["recent_checkpoints"]) == 3
    older = "UPDATE control.batch_checkpoint SET recorded_at = now() - interval '301 seconds' WHERE worker_number = 1"
    scenario.execute(staged_url, older)
    assert {row["worker_number"] for row in asked(staged_url)["recent_checkpoints"]} == {2, 3}


def test_connections_show_neither_statements_nor_the_names_of_other_programs(ledger_url: str):
    personal = "SELECT 'Siti Aminah', pg_sleep(0)"
    with connect(superuser(ledger_url), application_name="Siti Aminah") as other:
        other.execute(personal)
        activity = asked(ledger_url)["database_activity"]
    assert [(row["application"], row["state"]) for row in activity] == [("other", "idle in transaction")]
    assert "Siti" not in str(activity)


def test_the_engine_sees_what_its_own_connections_do(ledger_url: str):
    with connect(ledger_url) as worker, connect(ledger_url) as watcher:
        worker.execute("SELECT 1")
        (found,) = [
            row for row in rows(watcher, "monitoring/database_activity") if row["pid"] == worker.info.backend_pid
        ]
    assert found["state"] == "idle in transaction"
    assert found["transaction_seconds"] is not None


@pytest.mark.parametrize("role", ["ledger_engine", "batch_admin", "batch_operator", "auditor", "finance_viewer"])
def test_who_may_watch(staged_url: str, role: str):
    with connect(as_role(superuser(staged_url), role), autocommit=True) as connection:
        assert len(rows(connection, "monitoring/batch_progress")) == 1
        for question in set(QUESTIONS) - {"batch_progress"}:
            if role == "finance_viewer":
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    rows(connection, f"monitoring/{question}")
            else:
                assert rows(connection, f"monitoring/{question}") is not None
