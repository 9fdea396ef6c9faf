"""The sensors of alerts: real runs, checks and ticks of Dagster, seen by real ticks of ours."""

import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    ExecuteInProcessResult,
    RunsFilter,
    SensorDefinition,
    SkipReason,
    asset,
    asset_check,
    build_sensor_context,
    job,
    materialize,
    op,
)
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import InProcessTestWorkspaceLoadTarget, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._time import get_current_datetime

from ledger_assets.automation import alerts, check_incidents, run_incidents
from ledger_assets.automation.dead_runs import PLACE, PROCESS, end_dead_runs, tags_of_process
from ledger_assets.definitions import defs
from ledger_assets.resources import LedgerResource
from ledger_assets.storage.database import connect
from ledger_assets.storage.prerequisites import report
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

pytestmark = pytest.mark.usefixtures("ledger_home")

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as one:
        yield one


def tick(sensor: SensorDefinition, instance: DagsterInstance, url: str) -> str:
    """A tick of a sensor; what it says."""
    ledger = LedgerResource(url=url, performed_by="sensor")
    with build_sensor_context(instance=instance, resources={"ledger": ledger}) as context:
        said = sensor(context)
    assert isinstance(said, SkipReason)
    return said.skip_message or ""


def close(url: str, period: str, instance: DagsterInstance) -> ExecuteInProcessResult:
    """The job, on the instance of the test."""
    return run_job("month_close", url, period, instance)


def run_job(
    name: str, url: str, period: str | None, instance: DagsterInstance, config: Mapping[str, Any] | None = None
) -> ExecuteInProcessResult:
    return defs.resolve_job_def(name).execute_in_process(
        partition_key=period,
        instance=instance,
        resources={"ledger": LedgerResource(url=url, performed_by="tester", first_period=JANUARY)},
        run_config={**QUIET, **(config or {})},
        raise_on_error=False,
    )


def incidents(url: str) -> list[dict[str, Any]]:
    return scenario.rows_of(url, "SELECT * FROM control.incident ORDER BY incident_id")


# ------------------------------------------------------------------------------------------------ runs and gates


def test_a_run_that_fails_at_gates_is_one_incident_until_the_month_closes(
    ledger_url: str, instance: DagsterInstance, tmp_path: Path
):
    scenario.store_rules(ledger_url)
    load = scenario.deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    run = close(ledger_url, JANUARY, instance)
    assert tick(alerts.alert_on_checks, instance, ledger_url).endswith("0 incidents noted, 0 over")
    assert tick(alerts.alert_on_runs, instance, ledger_url) == "ended runs: 1 new; 1 incident noted, 0 over"
    for sensor in (alerts.alert_on_checks, alerts.alert_on_operations, alerts.alert_on_runs, alerts.alert_on_checks):
        tick(sensor, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["severity"], found["times_seen"]) == ("GATE_FAILED", "ERROR", 1)
    assert found["title"] == "2024-01: gates fund_reconciliation and record_count failed"
    assert (found["run_id"], found["batch_id"]) == (run.run_id, "2024-01-MONTHEND")
    assert "ledger-assets status 2024-01, " in found["what_to_do"]
    checks = {check["check"]: check for check in found["details"]["checks"]}
    assert (checks["record_count"]["expected"], checks["record_count"]["actual"]) == ("60", "59")
    assert "TXN-" not in str(found)

    with connect(ledger_url) as connection:
        withdraw(connection, load.load_id, reason="wrong", by="tester")
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path, seed=2)
    assert close(ledger_url, JANUARY, instance).success
    assert tick(alerts.alert_on_runs, instance, ledger_url) == "ended runs: 1 new; 0 incidents noted, 1 over"
    assert tick(alerts.alert_on_runs, instance, ledger_url) == "no new ended runs"
    assert incidents(ledger_url)[0]["resolved_at"] is not None


def test_pre_flight_is_told_by_its_own_kind(ledger_url: str, instance: DagsterInstance):
    scenario.store_rules(ledger_url)
    close(ledger_url, FEBRUARY, instance)
    tick(alerts.alert_on_runs, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["title"]) == ("PREFLIGHT_FAILED", "2024-02: pre-flight failed")
    assert "2024-02 waits for 2024-01" in found["details"]["detail"]


def test_a_failed_check_of_pre_flight_is_pre_flight(ledger_url: str, instance: DagsterInstance, tmp_path: Path):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path)
    with connect(ledger_url) as connection:
        report(connection, JANUARY, "PAYROLL", status="FAILED", reported_by="payroll")
    close(ledger_url, JANUARY, instance)
    tick(alerts.alert_on_runs, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["check_name"]) == ("PREFLIGHT_FAILED", "prerequisites_complete")
    assert found["title"] == "2024-01: pre-flight check prerequisites_complete failed"


def test_a_rehearsal_that_says_do_not_proceed_is_a_warning_and_no_failed_run(
    ledger_url: str, instance: DagsterInstance, tmp_path: Path
):
    """It has done what it is for. It is over when one passes, as when the month is closed."""
    scenario.store_rules(ledger_url)
    load = scenario.deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    rehearsal = partial(run_job, "month_close_rehearsal", ledger_url, JANUARY, instance)
    for _ in range(2):
        assert not rehearsal().success
        tick(alerts.alert_on_runs, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["severity"], found["times_seen"]) == ("REHEARSAL_FAILED", "WARNING", 2)
    assert found["title"] == "2024-01: a rehearsal says DO NOT PROCEED"
    assert "record_count: " in found["details"]["detail"]
    with connect(ledger_url) as connection:
        withdraw(connection, load.load_id, reason="wrong", by="tester")
    assert rehearsal().success
    tick(alerts.alert_on_runs, instance, ledger_url)
    assert [row["resolved_at"] is not None for row in incidents(ledger_url)] == [True]


def test_a_close_that_another_has_overtaken_is_told_to_nobody(
    ledger_url: str, instance: DagsterInstance, tmp_path: Path
):
    """Also when it ends after the other one has posted: nothing would end its incident any more."""
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path)
    scenario.execute(  # as if somebody did, in the moment when the worker has written
        ledger_url,
        "CREATE FUNCTION public.overtake() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
        "UPDATE control.batch SET attempt = attempt + 1; RETURN NEW; END $$; "
        "CREATE TRIGGER overtake BEFORE INSERT ON control.batch_checkpoint FOR EACH ROW "
        "EXECUTE FUNCTION public.overtake()",
    )
    run = close(ledger_url, JANUARY, instance)
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told is not None, failure.step_failure_data.error
    assert "2024-01-MONTHEND: another run has taken it over (attempt 2, not 1; it is PROCESSING)" in told.description
    assert "ledger-assets status 2024-01" in told.description
    assert tick(alerts.alert_on_runs, instance, ledger_url) == "ended runs: 1 new; 0 incidents noted, 0 over"
    assert incidents(ledger_url) == []


def test_what_the_posting_refuses_is_told_by_its_kind(ledger_url: str, instance: DagsterInstance, tmp_path: Path):
    """Payroll took its word back while the month was staged. That no worker can be restarted is told in the UI only."""
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path)
    scenario.execute(
        ledger_url,
        "CREATE FUNCTION public.take_back() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
        "PERFORM control.report_prerequisite('2024-01', 'PAYROLL', 'FAILED', NULL, 'payroll'); RETURN NEW; END $$; "
        "CREATE TRIGGER take_back BEFORE INSERT ON control.batch_checkpoint FOR EACH ROW "
        "EXECUTE FUNCTION public.take_back()",
    )
    close(ledger_url, JANUARY, instance)
    worker = {"ops": {"do_worker_again": {"config": {"batch_id": "2024-01-MONTHEND", "worker": 1}}}}
    assert not run_job("restart_worker", superuser(ledger_url), None, instance, worker).success
    tick(alerts.alert_on_runs, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["title"]) == ("PREFLIGHT_FAILED", "2024-01: pre-flight failed")
    assert "PAYROLL is FAILED" in found["details"]["detail"]


def test_a_close_whose_process_died_holds_nothing_up_and_is_told(
    ledger_url: str, instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Dagster would take it for running for ever: the queue would stand still, and the sensor leave the month to it."""
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    tags = {**tags_of_process(process.pid), "dagster/partition": JANUARY}
    elsewhere = {**tags, PLACE: "another machine", PROCESS: "1"}
    for about in (tags, elsewhere):
        instance.create_run_for_job(
            defs.resolve_job_def("month_close"), tags=about, status=DagsterRunStatus.STARTED, run_config=QUIET
        )
    assert end_dead_runs(instance) == []
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(psutil, "PROCFS_PATH", str(_after_the_clock_was_set(tmp_path / "proc", process.pid)))
        assert end_dead_runs(instance) == []
    process.kill()
    process.join()
    assert tick(alerts.alert_on_runs, instance, ledger_url) == "ended runs: 1 new; 1 incident noted, 0 over"
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["title"]) == ("RUN_FAILED", "2024-01 month_close: the run failed")
    assert found["details"]["detail"].startswith(f"its process {process.pid} died; nothing is half posted")
    (running,) = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    assert running.tags[PLACE] == "another machine"
    (died,) = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
    again = instance.create_run_for_job(  # by the UI, which hands the tags on
        defs.resolve_job_def("month_close"), tags=died.tags, parent_run_id=died.run_id, root_run_id=died.run_id,
        status=DagsterRunStatus.STARTED, run_config=QUIET,
    )  # fmt: skip
    assert end_dead_runs(instance) == []
    assert instance.get_runs(RunsFilter(run_ids=[again.run_id]))[0].status == DagsterRunStatus.STARTED


def _after_the_clock_was_set(proc: Path, number: int) -> Path:
    """What Linux says of a process once somebody has set the clock an hour ahead: the machine started later."""
    proc.mkdir()
    started = int(psutil.boot_time())
    told = Path("/proc/stat").read_text().replace(f"btime {started}", f"btime {started + 3600}")
    (proc / "stat").write_text(told)
    (proc / str(number)).symlink_to(f"/proc/{number}")
    return proc


@op
def ends_badly() -> None:
    raise RuntimeError("disk full\nrow: Siti Aminah")


@op
def ends_well() -> None:
    pass


def run_of(name: str, what: Any, instance: DagsterInstance, **options: Any) -> ExecuteInProcessResult:
    @job(name=name)
    def one() -> None:
        what()

    return one.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET, **options)


def test_another_job_is_told_until_it_succeeds(ledger_url: str, instance: DagsterInstance):
    for name in ("reindex", "archive_months"):
        run_of(name, ends_badly, instance)
    tick(alerts.alert_on_runs, instance, ledger_url)
    found = incidents(ledger_url)
    assert {row["kind"]: row["title"] for row in found} == {
        "RUN_FAILED": "reindex: the run failed", "ARCHIVE_FAILED": "archive_months: archiving failed",
    }  # fmt: skip
    assert "disk full" in found[0]["details"]["detail"]
    assert "Siti" not in str(found)
    run_of("reindex", ends_well, instance)
    tick(alerts.alert_on_runs, instance, ledger_url)
    assert [row["resolved_at"] is None for row in incidents(ledger_url)] == [False, True]


def test_a_run_that_dagster_starts_again_is_not_told(ledger_url: str, instance: DagsterInstance):
    run_of("reindex", ends_badly, instance, tags={"dagster/will_retry": "true"})
    tick(alerts.alert_on_runs, instance, ledger_url)
    assert incidents(ledger_url) == []


def test_what_failed_before_this_version_was_there_wakes_nobody_up(ledger_url: str, instance: DagsterInstance):
    run_of("reindex", ends_badly, instance)
    scenario.execute(ledger_url, "UPDATE control.incident_source SET starts_at = now() + interval '1 minute'")
    for sensor in (alerts.alert_on_runs, alerts.alert_on_checks):
        tick(sensor, instance, ledger_url)
    assert incidents(ledger_url) == []


def test_more_history_than_one_look_takes_hides_nothing(
    ledger_url: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """An installation of long standing: what was before this version fills a whole look, and the next has to go on."""
    monkeypatch.setattr(run_incidents, "AT_MOST", 2)
    monkeypatch.setattr(run_incidents, "OVERLAP", 0)
    for _ in range(3):
        run_of("reindex", ends_badly, instance)
    scenario.execute(ledger_url, "UPDATE control.incident_source SET starts_at = clock_timestamp()")
    failed = run_of("reindex", ends_badly, instance)
    for _ in range(4):
        tick(alerts.alert_on_runs, instance, ledger_url)
    assert [row["run_id"] for row in incidents(ledger_url)] == [failed.run_id]


def test_a_sensor_that_dies_after_noting_repeats_and_loses_nothing(
    ledger_url: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run_of("reindex", ends_badly, instance)
    with monkeypatch.context() as patch:
        patch.setattr(run_incidents, "advance_source", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            tick(alerts.alert_on_runs, instance, ledger_url)
    assert incidents(ledger_url) == []
    tick(alerts.alert_on_runs, instance, ledger_url)
    scenario.execute(ledger_url, "UPDATE control.incident_source SET position = 0")  # as if it had forgotten
    tick(alerts.alert_on_runs, instance, ledger_url)
    assert [row["times_seen"] for row in incidents(ledger_url)] == [1]


def test_a_new_storage_of_dagster_is_read_from_its_beginning(ledger_url: str, instance: DagsterInstance):
    scenario.execute(ledger_url, "UPDATE control.incident_source SET position = 5000000 WHERE source <> 'operations'")
    run_of("reindex", ends_badly, instance)
    tick(alerts.alert_on_runs, instance, ledger_url)
    assert len(incidents(ledger_url)) == 1


def test_a_new_storage_of_dagster_is_read_further_than_one_look(
    ledger_url: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_incidents, "AT_MOST", 2)
    monkeypatch.setattr(run_incidents, "OVERLAP", 0)
    scenario.execute(ledger_url, "UPDATE control.incident_source SET position = 5000000 WHERE source <> 'operations'")
    for _ in range(3):
        run_of("reindex", ends_badly, instance)
    for _ in range(3):
        tick(alerts.alert_on_runs, instance, ledger_url)
    assert [row["times_seen"] for row in incidents(ledger_url)] == [3]


# ------------------------------------------------------------------------------------------------ warnings


@asset
def balances() -> None:
    pass


def warning(*, passed: bool) -> Any:
    @asset_check(asset=AssetKey("balances"), name="plausible")
    def plausible() -> AssetCheckResult:
        return AssetCheckResult(
            passed=passed,
            severity=AssetCheckSeverity.WARN,
            description="far from last month",
            metadata={"expected": "about 60", "actual": "6,000", "rows": "Siti Aminah"},
        )

    return plausible


def test_a_warning_is_told_though_the_run_succeeds_until_the_check_passes(ledger_url: str, instance: DagsterInstance):
    for _ in range(2):
        assert materialize([balances, warning(passed=False)], instance=instance, run_config=QUIET).success
        for sensor in (alerts.alert_on_runs, alerts.alert_on_checks):
            tick(sensor, instance, ledger_url)
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["severity"], found["times_seen"]) == ("CHECK_WARNING", "WARNING", 2)
    assert (found["title"], found["expected"], found["actual"]) == (
        "balances: check plausible warns", "about 60", "6,000",
    )  # fmt: skip
    assert "Siti" not in str(found)
    assert tick(alerts.alert_on_checks, instance, ledger_url) == "no new check evaluations"
    materialize([balances, warning(passed=True)], instance=instance, run_config=QUIET)
    assert tick(alerts.alert_on_checks, instance, ledger_url).endswith("1 over")


def test_the_checks_of_a_run_that_goes_on_are_told_when_they_are_all_there(
    ledger_url: str, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = materialize([balances, warning(passed=False)], instance=instance, run_config=QUIET)
    started = DagsterEvent(event_type_value=DagsterEventType.RUN_START.value, job_name="materialization")
    instance.run_storage.handle_run_event(run.run_id, started, datetime.now(UTC))
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    assert stored.status == DagsterRunStatus.STARTED
    assert tick(alerts.alert_on_checks, instance, ledger_url) == "no new check evaluations"
    monkeypatch.setattr(check_incidents, "SETTLED_AFTER", -1.0)
    tick(alerts.alert_on_checks, instance, ledger_url)
    assert len(incidents(ledger_url)) == 1


# ------------------------------------------------------------------------------------------------ ticks


FAILING_SENSOR = """
from pathlib import Path
from dagster import DefaultSensorStatus, Definitions, SkipReason, sensor

@sensor(default_status=DefaultSensorStatus.RUNNING)
def watch_the_inbox():
    if Path(__file__).with_name("broken").exists():
        raise RuntimeError("no route to host\\nrow: Siti Aminah")
    return SkipReason("fine")

defs = Definitions(sensors=[watch_the_inbox])
"""


def daemon_ticks(folder: Path, instance: DagsterInstance, minute: int) -> None:
    """What Dagster's daemon does every so often, with the code of a file in which there is one sensor."""
    origin = LoadableTargetOrigin(python_file=str(folder / "code_with_a_sensor.py"))
    target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
    later = get_current_datetime() + timedelta(minutes=minute)
    with freeze_time(later), WorkspaceProcessContext(instance, target) as context:
        list(execute_sensor_iteration(context, logging.getLogger("daemon"), None, None))


@pytest.fixture
def lasting_instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """With its storage in files: a daemon hands it on to the code's process."""
    with DagsterInstance.local_temp(str(tmp_path)) as one:
        yield one


def test_a_sensor_that_fails_is_told_until_it_works_again(
    ledger_url: str, lasting_instance: DagsterInstance, tmp_path: Path
):
    instance = lasting_instance
    (tmp_path / "code_with_a_sensor.py").write_text(FAILING_SENSOR, encoding="utf-8")
    broken = tmp_path / "broken"
    broken.touch()
    for minute in (0, 1):
        daemon_ticks(tmp_path, instance, minute)
        tick(alerts.alert_on_ticks, instance, ledger_url)
    assert tick(alerts.alert_on_ticks, instance, ledger_url) == "no new failed ticks"
    (found,) = incidents(ledger_url)
    assert (found["kind"], found["subject"], found["times_seen"]) == ("SENSOR_FAILED", "watch_the_inbox", 2)
    assert found["actual"].endswith("RuntimeError: no route to host")
    assert found["resolved_at"] is None
    broken.unlink()
    daemon_ticks(tmp_path, instance, 2)
    assert tick(alerts.alert_on_ticks, instance, ledger_url).endswith("1 over")
    assert len(incidents(ledger_url)) == 1


def test_every_sensor_of_ours_says_what_it_does_and_runs_by_default():
    ours = {one.name: one for one in defs.sensors or []}
    assert {"alert_on_runs", "alert_on_checks", "alert_on_ticks", "alert_on_operations", "deliver_alerts"} <= set(ours)
    for one in ours.values():
        assert one.description
        assert one.default_status is not None


def test_without_a_file_the_sender_says_that_nobody_is_told(ledger_url: str):
    ledger = LedgerResource(url=ledger_url)
    with build_sensor_context(resources={"ledger": ledger}) as context:
        said = alerts.deliver_alerts(context)
    assert "LEDGER_ALERTS is not set" in str(said)
