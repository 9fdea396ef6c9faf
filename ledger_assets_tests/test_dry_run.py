"""A dry run: what it says, what it leaves, and what is left of one that was killed."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance, ExecuteInProcessResult

from ledger_assets import rehearsal
from ledger_assets.accounting.dry_run import JUDGED_FROM
from ledger_assets.cli import main
from ledger_assets.close_result import CloseResult, Outcome
from ledger_assets.definitions import defs
from ledger_assets.reporting.dry_run import render
from ledger_assets.resources import LedgerResource
from ledger_assets.settings import Settings
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.database import connect
from ledger_assets.storage.staging import WorkersFailed
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import held, waiting_backend
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, ROWS, SECOND_PERIOD, rows_of, staged_tables, value_of
from ledger_assets_tests.test_faults import process
from ledger_assets_tests.test_workers import trouble
from ledger_assets_tests.torture.books import OUR_SCHEMAS

MAY_CHANGE: Final = {
    # Its record, its verdicts and its operations: what A1 and A9 ask for.
    "audit.batch_operation", "audit.operation_chain", "control.batch", "control.batch_source_count",
    "control.batch_validation_result",
    # What the server added up of the loads, for a close to come; that the month is there, open.
    "control.load_measure", "control.load_measure_total", "control.period",
}  # fmt: skip


def rehearse(url: str, period: str = FIRST_PERIOD, *, home: Path | None = None) -> CloseResult:
    settings = Settings(database_url=url, first_period=FIRST_PERIOD, **({"home": home} if home else {}))
    return rehearsal.rehearse(settings, period, performed_by=ACTOR)


def contents(url: str) -> dict[str, str]:
    """A digest of every table of ours, row by row with the leaf that it lies in."""
    with connect(superuser(url)) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
            "AND relnamespace::regnamespace::text = ANY (%s)", [list(OUR_SCHEMAS)]
        ).fetchall()  # fmt: skip

        def digest(table: str) -> str:
            query = f"SELECT tableoid::regclass::text, t::text FROM {table} AS t ORDER BY 1, 2"
            return hashlib.sha256(repr(connection.execute(query.encode()).fetchall()).encode()).hexdigest()

        return {table: digest(table) for (table,) in tables}


# What it leaves


@pytest.mark.parametrize("defects", [(), ("unknown_product",)])
def test_it_leaves_its_record_and_nothing_else(books: str, tmp_path: Path, defects: tuple[str, ...]):
    """Also where something is posted, something lies staged, and transactions cannot be journaled."""
    assert scenario.close_directly(books, FIRST_PERIOD).outcome == Outcome.POSTED
    scenario.deliver(books, SECOND_PERIOD, folder=tmp_path, defects=defects)
    scenario.staged(books, SECOND_PERIOD)
    before = contents(books)
    result = rehearse(books, SECOND_PERIOD)
    assert result.outcome == (Outcome.GATE_FAILED if defects else Outcome.REHEARSED)
    after = contents(books)
    assert {table for table in after if after.get(table) != before.get(table)} <= MAY_CHANGE
    assert after.keys() == before.keys()
    assert value_of(books, "SELECT count(*) FROM control.exception_queue WHERE batch_id LIKE '%DRYRUN%'") == 0
    assert [one["reason"] for one in (result.dry_run or {})["exceptions"]] == (["NO_TEMPLATE"] if defects else [])
    dry_runs = rows_of(books, "SELECT batch_id, state FROM control.batch WHERE kind = 'DRYRUN'")
    assert dry_runs == [{"batch_id": "2024-02-DRYRUN", "state": "ABORTED"}]


def test_it_does_not_take_in_the_inbox_and_says_what_a_close_would(books: str, tmp_path: Path):
    inbox = tmp_path / "inbox" / FIRST_PERIOD
    inbox.mkdir(parents=True)
    loaded = scenario.generated(inbox, FIRST_PERIOD)  # the same rows as in the books, from another file
    new = scenario.generated(inbox, FIRST_PERIOD, rows=5, seed=2)
    (inbox / "notes.txt").write_text("not a delivery")
    result = rehearse(books, home=tmp_path)
    assert (result.dry_run or {})["not_rehearsed"] == [new.name]
    assert loaded.exists()
    assert value_of(books, "SELECT count(*) FROM source.load") == 1
    (inbox / "mapping.toml").write_text("[columns]\nunknown = 1\n")
    (problem,) = (rehearse(books, home=tmp_path).dry_run or {})["not_rehearsed"]
    assert "mapping.toml" in problem


# One that was killed


def rehearse_and_die(url: str, step: str) -> None:
    """The body of a process: killed before its gates, or before it clears away."""

    def die(*_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(rehearsal, step, die)
    rehearse(url)


def kill_one(url: str, step: str) -> None:
    killed = process(rehearse_and_die, url, step)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert staged_tables(url), "it had staged something"


@pytest.mark.parametrize("step", ["validate", "_clean_up"])
def test_the_next_dry_run_clears_away_what_a_killed_one_left(books: str, step: str):
    kill_one(books, step)
    assert rehearse(books).outcome == Outcome.REHEARSED
    assert staged_tables(books) == []
    assert rows_of(books, "SELECT batch_id, attempt, state FROM control.batch") == [
        {"batch_id": "2024-01-DRYRUN", "attempt": 2, "state": "ABORTED"}
    ]


def test_the_next_close_clears_away_what_a_killed_one_left(books: str):
    kill_one(books, "validate")
    assert scenario.close_directly(books, FIRST_PERIOD).outcome == Outcome.POSTED
    assert staged_tables(books) == []
    assert value_of(books, "SELECT state FROM control.batch WHERE kind = 'DRYRUN'") == "ABORTED"


def test_a_second_dry_run_takes_over_and_the_first_leaves_it_alone(books: str):
    with ThreadPoolExecutor(1) as pool:
        with held(books, "LOCK TABLE control.batch_validation_result IN SHARE MODE") as let_go:
            first = pool.submit(rehearse, books)
            waiting_backend(books)
            second, _ = scenario.opened(books, FIRST_PERIOD, kind="DRYRUN")
            assert second is not None
            let_go()
        with pytest.raises(BatchStateError):
            first.result()
    assert (second.attempt, value_of(books, "SELECT state FROM control.batch")) == (2, "PROCESSING")


def test_a_close_leaves_a_dry_run_alone_that_somebody_is_at(books: str):
    with ThreadPoolExecutor(1) as pool:
        with held(books, "LOCK TABLE control.batch_validation_result IN SHARE MODE") as let_go:
            rehearsing = pool.submit(rehearse, books)
            waiting_backend(books)
            scenario.opened(books, FIRST_PERIOD)
            let_go()
        assert rehearsing.result().outcome == Outcome.REHEARSED
    states = {row["kind"]: row["state"] for row in rows_of(books, "TABLE control.batch")}
    assert states == {"DRYRUN": "ABORTED", "MONTHEND": "PROCESSING"}


# What it says


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`ledger-assets` on the books of a URL."""
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)

    def run(url: str, *words: str) -> Result:
        monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(url))
        return CliRunner().invoke(main, words)

    return run


def test_a_thousand_rows_are_told_to_proceed(books: str, run: Callable[..., Result], tmp_path: Path):
    result = run(books, "close", FIRST_PERIOD, "--dry-run", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["outcome"], told["entries"], told["dry_run"]["recommendation"]) == ("rehearsed", ROWS, "PROCEED")
    assert [step["step"] for step in told["dry_run"]["steps"]] == ["pre-flight", "rules and plan", "staging", "gates"]
    assert (told["dry_run"]["throughput"], told["dry_run"]["throughput_judged_from"]) == ("not judged", JUDGED_FROM)
    assert told["dry_run"]["projected_seconds"] == pytest.approx(told["dry_run"]["measured_seconds"] * 1.1)
    folder = tmp_path / "reports" / FIRST_PERIOD
    assert sorted(path.name for path in folder.iterdir()) == ["dry-run-2024-01.html", "dry-run-2024-01.json"]
    assert json.loads((folder / "dry-run-2024-01.json").read_text()) == told
    shown = run(books, "close", FIRST_PERIOD, "--dry-run").stdout
    assert "PROCEED" in shown
    assert "target of 20 min met, window of 2 h fits" in shown
    assert str(folder / "dry-run-2024-01.html") in shown.replace("\n", "")


def test_a_gate_or_pre_flight_that_fails_is_told_not_to_proceed(books: str, run: Callable[..., Result], tmp_path: Path):
    scenario.deliver(books, FIRST_PERIOD, folder=tmp_path, rows=5, seed=2, defects=["unknown_product"])
    failed = run(books, "close", FIRST_PERIOD, "--dry-run")
    assert (failed.exit_code, "DO NOT PROCEED" in failed.stdout) == (2, True)
    page = (tmp_path / "reports" / FIRST_PERIOD / "dry-run-2024-01.html").read_text()
    assert "NO_TEMPLATE" in page
    assert page.count("✗ failed") == 2
    refused = run(books, "close", SECOND_PERIOD, "--dry-run")
    assert (refused.exit_code, "DO NOT PROCEED" in refused.stdout) == (3, True)
    page = (tmp_path / "reports" / SECOND_PERIOD / "dry-run-2024-02.html").read_text()
    assert "2024-02 waits for 2024-01" in page
    assert "nothing was measured" in page


def test_the_page_holds_nothing_that_it_would_have_to_fetch(books: str):
    result = rehearse(books)
    page = render(result)
    assert not re.search(r"<script|<link|src=|@import|url\(", page)
    assert [f"{gate['gate'].replace('_', ' ')}</td>" in page for gate in result.gates] == [True] * 5
    hostile = CloseResult.of(
        "2024-01", Outcome.PREFLIGHT_FAILED, 0.0, dry_run=(result.dry_run or {}) | {"reasons": ["<b>x</b>"]}
    )
    assert "&lt;b&gt;x&lt;/b&gt;" in render(hostile)


# In Dagster


def launched(url: str, job: str, **options: Any) -> ExecuteInProcessResult:
    with DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            resources={"ledger": LedgerResource(url=superuser(url), performed_by=ACTOR, first_period=FIRST_PERIOD)},
            raise_on_error=False,
            **options,
        )


def output_metadata(run: ExecuteInProcessResult) -> dict[str, Any]:
    (output,) = (event for event in run.all_events if event.is_successful_output)
    return {name: value.value for name, value in output.event_specific_data.metadata.items()}


def test_the_job_rehearses_a_month(books: str, ledger_home: Path):
    run = launched(books, "month_close_rehearsal", partition_key=FIRST_PERIOD)
    assert run.success
    metadata = output_metadata(run)
    assert (metadata["recommendation"], metadata["transactions"]) == ("PROCEED", ROWS)
    assert Path(metadata["report"]).is_relative_to(ledger_home)
    shutil.rmtree(ledger_home / "reports")
    scenario.deliver(books, FIRST_PERIOD, folder=ledger_home, rows=5, seed=2, defects=["unknown_product"])
    run = launched(books, "month_close_rehearsal", partition_key=FIRST_PERIOD)
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told.metadata["recommendation"].value == "DO NOT PROCEED"
    assert (ledger_home / "reports" / FIRST_PERIOD / "dry-run-2024-01.html").exists()


@pytest.mark.usefixtures("ledger_home")
def test_the_job_does_a_failed_worker_again(books: str):
    trouble(books, {2: 1})
    with pytest.raises(WorkersFailed):
        scenario.staged(books, FIRST_PERIOD, rows_per_worker=10)
    config = {"ops": {"do_worker_again": {"config": {"batch_id": f"{FIRST_PERIOD}-MONTHEND", "worker": 2}}}}
    run = launched(books, "restart_worker", run_config=config)
    assert run.success
    metadata = output_metadata(run)
    assert (metadata["state"], metadata["workers_kept"], metadata["workers"]) == ("VALIDATING", 5, 6)
    refused = launched(books, "restart_worker", run_config=config)
    (failure,) = (event for event in refused.all_events if event.is_step_failure)
    assert "all its workers have ended" in failure.step_failure_data.user_failure_data.description


def test_the_command_does_a_failed_worker_again(books: str, run: Callable[..., Result]):
    trouble(books, {2: 1})
    with pytest.raises(WorkersFailed):
        scenario.staged(books, FIRST_PERIOD, rows_per_worker=10)
    batch = f"{FIRST_PERIOD}-MONTHEND"
    refused = run(books, "restart-worker", batch, "1")
    assert (refused.exit_code, "worker 1 has completed" in refused.output.replace("\n", " ")) == (1, True)
    again = run(books, "restart-worker", batch, "2", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == {
        "batch_id": batch, "worker": 2, "state": "VALIDATING", "attempt": 2, "workers_missing": [],
        "what_next": "all 6 workers are complete: ledger-assets close 2024-01 runs the gates",
    }  # fmt: skip
