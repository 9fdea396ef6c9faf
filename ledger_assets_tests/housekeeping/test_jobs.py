"""The jobs of housekeeping, their schedules, and the commands, as people start them."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, ExecuteInProcessResult, build_schedule_context

from ledger_assets.cli import main
from ledger_assets.definitions import defs
from ledger_assets.resources import LedgerResource
from ledger_assets_tests.housekeeping.conftest import FEBRUARY, JANUARY, MARCH, Books, findings
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, fingerprint

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(books: Books, job: str, op: str = "", **config: Any) -> ExecuteInProcessResult:
    resource = LedgerResource(url=books.url, administrator_url=batch_admin(books.url), performed_by=ACTOR)
    with DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            resources={"ledger": resource},
            run_config=QUIET | ({"ops": {op: {"config": config}}} if config else {}),
            raise_on_error=False,
        )


def failure(result: ExecuteInProcessResult) -> str:
    """What stands at the failed step: the refusal in its own words, not an exception with a refusal behind it."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    told = event.step_failure_data.user_failure_data
    return (told.description if told else None) or ""


@pytest.fixture
def at_home(books: Books, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setenv("LEDGER_HOME", str(books.home))
    return books


def test_the_months_go_and_come_back_by_jobs(at_home: Books):
    before = fingerprint(at_home.url)
    assert run(at_home, "rotate_partitions", "make_partitions", ahead=1).success
    assert run(at_home, "refresh_statistics").success
    assert run(at_home, "archive_source").success  # as the Launchpad has it: nothing goes that nobody asked for
    assert not at_home.archive.exists()
    assert run(at_home, "archive_source", "take_source_to_archive", dry_run=False).success
    assert [path.name for path in at_home.archive.iterdir()] == [JANUARY]
    to_archive = partial(run, at_home, "archive_ledger", "take_ledger_to_archive")
    still = to_archive(period=JANUARY, dry_run=False)
    assert not still.success
    assert "it is one of the 12 newest closed months" in failure(still)
    assert to_archive(period=JANUARY, early=True).success
    assert [path.name for path in (at_home.archive / JANUARY).iterdir()] == ["source-1"]
    assert "early is for one month. Fix: name it" in failure(to_archive(early=True))
    assert to_archive(dry_run=False).success  # nothing is due
    assert run(at_home, "verify_ledger").success
    assert run(at_home, "restore_month", "bring_back", period=JANUARY, ledger=False).success
    assert fingerprint(at_home.url) == before
    assert "nothing of it is archived. Fix: " in failure(run(at_home, "restore_month", "bring_back", period=JANUARY))


def test_what_cannot_go_fails_the_run_by_its_name(at_home: Books):
    (at_home.archive / JANUARY / "source-1").mkdir(parents=True)
    result = run(at_home, "archive_source", "take_source_to_archive", dry_run=False)
    assert "source-1: it lies there, and is no archive that this ledger made" in failure(result)


@pytest.mark.parametrize(("name", "job", "status"), [
    ("rotate_daily", "rotate_partitions", "RUNNING"),
    ("refresh_statistics_daily", "refresh_statistics", "RUNNING"),
    ("archive_source_monthly", "archive_source", "STOPPED"),
    ("archive_ledger_monthly", "archive_ledger", "STOPPED"),
])  # fmt: skip
def test_the_clock(name: str, job: str, status: str):
    """What drops rows has to be switched on by somebody."""
    schedule = defs.resolve_schedule_def(name)
    assert (schedule.job_name, schedule.default_status.value) == (job, status)
    assert schedule.description
    with DagsterInstance.ephemeral() as instance:
        tick = schedule.evaluate_tick(
            build_schedule_context(
                instance,
                scheduled_execution_time=datetime(2025, 2, 15, 4, tzinfo=UTC),
                repository_def=defs.get_repository_def(),
            )
        )
    (request,) = tick.run_requests or []
    (op,) = request.run_config.get("ops", {"": {"config": {}}}).values()
    assert op["config"] == ({"dry_run": False} if job.startswith("archive") else {}), "what the clock starts is meant"


def test_the_commands(at_home: Books, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(at_home.url))
    monkeypatch.setenv("LEDGER_FIRST_PERIOD", FIRST_PERIOD)
    monkeypatch.setenv("LEDGER_ARCHIVE", str(at_home.home / "elsewhere"))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)

    def ledger_assets(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == code, (result.output, result.exception)
        return json.loads(result.stdout) if "--json" in words else " ".join(result.output.split())

    assert len(ledger_assets("rotate", "--json")["partitions"]) == 12
    assert "nothing, all are there" in ledger_assets("rotate")
    assert "name a month" in ledger_assets("archive", code=1)
    assert "one of the 12 newest closed months" in ledger_assets("archive", MARCH, "--ledger", code=1)
    planned = ledger_assets("archive", "--due", "--dry-run", "--json")
    assert [(month["period"], month["layer"], month["dry_run"]) for month in planned["months"]] == [
        (JANUARY, "SOURCE", True)
    ]
    done = ledger_assets("archive", FEBRUARY, "--early", "--json")
    assert [month["directory"] for month in done["months"]] == ["2024-02/source-1", "2024-02/ledger-1"]
    assert (at_home.home / "elsewhere" / FEBRUARY / "ledger-1" / "MANIFEST.json").exists()
    assert "no posted transactions that may go" in ledger_assets("archive", FEBRUARY, "--early", code=1)
    ledger_assets("restore", FEBRUARY, "--ledger")  # as after a kill between the two layers
    again = ledger_assets("archive", FEBRUARY, "--early", "--json")
    assert [month["directory"] for month in again["months"]] == ["2024-02/ledger-2"]
    half = ledger_assets("archive", JANUARY, code=1)  # its transactions have aged, its entries have not
    assert "2024-01/source-1" in half
    assert "one of the 12 newest closed months" in half
    ledger_assets("restore", JANUARY)
    assert ledger_assets("verify", FEBRUARY, "--json")["verdict"] == "PROVEN"
    assert ledger_assets("verify", FEBRUARY, "--entry", "3", "--json")["verdict"] == "PROVEN"
    assert ledger_assets("certificate", FEBRUARY, "--json")["as_certified"]
    assert [one["layer"] for one in ledger_assets("status", FEBRUARY, "--json")["archives"]] == ["LEDGER", "SOURCE"]
    assert "read from the archive 2024-02/ledger-2, proven" in ledger_assets("explain", "JE-2024-02-000001")
    assert [one["restored_at"] for one in ledger_assets("archives", FEBRUARY, "--json")["archives"]].count(None) == 2
    assert "PROVEN 2024-02" in ledger_assets("restore", FEBRUARY)
    assert "nothing of it is archived" in ledger_assets("restore", FEBRUARY, code=1)
    assert "2024-02/ledger-2" in ledger_assets("archives")
    assert findings(at_home) == ("PROVEN", [])
