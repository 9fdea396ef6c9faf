"""Pre-flight in a run of Dagster: nothing is staged, the exit code is 3, and the check says what to do."""

from pathlib import Path

import pytest
from dagster import AssetSelection, DagsterInstance
from psycopg.rows import dict_row

from ledger_assets.accounting.preflight import PREFLIGHT_CHECKS
from ledger_assets.close_result import Outcome
from ledger_assets.rehearsal import rehearse
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.preflight import CONNECTIONS_NEEDED, data_directory, preflight
from ledger_assets.storage.prerequisites import announce, report
from ledger_assets.storage.reading import rows
from ledger_assets.storage.staging import stage
from ledger_assets_tests.checks.evaluations import evaluated, failed, materializations, shown
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import (
    close,
    deliver,
    execute,
    materialized,
    opened,
    rows_of,
    run_month_close,
    staged_tables,
    store_rules,
    value_of,
)

pytestmark = pytest.mark.usefixtures("ledger_home")
CHECKS = AssetSelection.checks_for_assets("txn_source")


@pytest.fixture
def books(ledger_url: str, tmp_path: Path) -> str:
    """Books whose January is delivered."""
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path)
    return ledger_url


def test_nothing_is_staged_while_something_is_not_complete(books: str) -> None:
    with connect(books) as connection:
        report(connection, JANUARY, "PAYROLL", status="RUNNING", reported_by="payroll")
        announce(connection, JANUARY, "PREMIUM", row_count=1, gross=1, announced_by="source")  # type: ignore[arg-type]
    run = run_month_close(books, JANUARY)
    assert failed(run) == {"prerequisites_complete", "announced_totals_arrived"}
    assert materializations(run) == ["journal_templates", "txn_source"]
    assert staged_tables(books) == []
    payroll, *_ = shown(evaluated(run)["prerequisites_complete"], "comparisons")
    assert (payroll["measure"], payroll["actual"]) == ("PAYROLL", "RUNNING")
    closed = close(books, JANUARY)
    assert closed.outcome == Outcome.PREFLIGHT_FAILED
    assert "prerequisites_complete: 2024-01 waits: PAYROLL is RUNNING" in closed.problem
    recorded = rows_of(
        books, "SELECT period, outcome, details FROM audit.batch_operation WHERE operation = 'PREFLIGHT'"
    )
    assert [(row["period"], row["outcome"]) for row in recorded] == [(JANUARY, "FAILED")] * 2
    assert set(recorded[0]["details"]["failed"]) == {"prerequisites_complete", "announced_totals_arrived"}


def test_the_run_says_what_to_do_where_people_read_it(books: str) -> None:
    """The event list of a run shows no description of a check; a line of its log is all that people see there."""
    with connect(books) as connection:
        report(connection, JANUARY, "PAYROLL", status="RUNNING", reported_by="payroll")
    with DagsterInstance.ephemeral() as instance:
        run = run_month_close(books, JANUARY, instance=instance)
        said = [entry for entry in instance.all_logs(run.run_id) if entry.dagster_event is None]
    (line,) = [entry.user_message for entry in said if entry.step_key == "preflight_controls"]
    assert line.startswith("prerequisites_complete: 2024-01 waits: PAYROLL is RUNNING since ")
    assert line.endswith("report it: ledger-assets report-prerequisite 2024-01 PAYROLL")
    assert [entry.step_key for entry in said if entry.step_key in ("delivery_controls", "rule_controls")] == []


def test_a_dry_run_looks_at_the_same(books: str) -> None:
    with connect(books) as connection:
        report(connection, JANUARY, "PAYROLL", status="FAILED", reported_by="payroll")
    result = rehearse(Settings(database_url=books), JANUARY, performed_by="tester")
    assert (result.outcome, result.exit_code) == (Outcome.PREFLIGHT_FAILED, 3)
    assert "PAYROLL is FAILED" in result.problems[0]


def test_every_check_passes_on_a_server_that_is_well(books: str) -> None:
    checks = evaluated(materialized(books, JANUARY, CHECKS))
    assert all(check.passed for check in checks.values())
    assert set(PREFLIGHT_CHECKS) < set(checks)
    assert "ms" in checks["write_probe"].description
    assert value_of(books, "SELECT count(*) FROM control.write_probe_row") == 0


def test_too_few_free_connections_are_told_before_the_close_runs_out_of_them(books: str) -> None:
    execute(books, f'ALTER DATABASE "{database_name(books)}" CONNECTION LIMIT 5')
    verdicts = {verdict.gate: verdict for verdict in preflight(books, JANUARY, data=None, performed_by="tester")}
    assert [name for name, verdict in verdicts.items() if not verdict.passed] == ["free_connections"]
    told = f"free by the limit of the database: expected {CONNECTIONS_NEEDED}, found"
    assert told in verdicts["free_connections"].detail
    result = rehearse(Settings(database_url=books), JANUARY, performed_by="tester")
    assert (result.exit_code, [problem.split(":")[0] for problem in result.problems]) == (3, ["free_connections"])


def test_pre_flight_does_not_count_its_own_connection(books: str) -> None:
    """It has ended when the close begins. One transaction sees one state of the server, with autovacuum's workers."""
    others = (
        "SELECT count(*) FILTER (WHERE datid IS NOT NULL) AS connections,"
        " count(*) FILTER (WHERE datname = current_database()) AS database_connections,"
        " count(*) FILTER (WHERE usename = session_user) AS login_connections"
        " FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    )
    with connect(superuser(books)), connect(superuser(books)) as connection, connection.transaction():
        (around,) = rows(connection, "control/preflight_surroundings", period=JANUARY)
        with connection.cursor(row_factory=dict_row) as cursor:
            counted = cursor.execute(others).fetchone()
    assert counted is not None
    assert {name: around[name] for name in counted} == counted
    assert counted["database_connections"] >= 1, "the other one of this test"


def test_a_server_that_takes_no_writes_is_told(books: str) -> None:
    execute(books, f'ALTER DATABASE "{database_name(books)}" SET default_transaction_read_only = on')
    verdicts = {verdict.gate: verdict for verdict in preflight(books, JANUARY, data=None, performed_by="tester")}
    assert not verdicts["write_probe"].passed
    assert "read-only" in verdicts["write_probe"].detail


def test_the_disk_is_that_of_the_servers_data(books: str, tmp_path: Path) -> None:
    seen = preflight(books, JANUARY, data=tmp_path / "data", performed_by="tester")[3]
    assert (seen.gate, seen.passed) == ("disk_space", True)
    assert seen.actual != "not known"
    assert "60 transactions take" in seen.detail
    batch, stored = opened(books, JANUARY, rows_per_worker=20)
    assert batch is not None
    stage(books, batch, stored.compiled(), performed_by="tester", only=2)  # the others are left to the next close
    left = preflight(books, JANUARY, data=tmp_path / "data", performed_by="tester")[3]
    assert "40 transactions of 60, the others are staged already, take" in left.detail
    rehearsed = preflight(books, JANUARY, data=tmp_path / "data", performed_by="tester", rehearsal=True)[3]
    assert "60 transactions take" in rehearsed.detail
    home = Settings(home=tmp_path)
    assert data_directory(home) == tmp_path.resolve() / "server" / "data"
    assert data_directory(home, url=books) is data_directory(Settings(database_url=books)) is None
