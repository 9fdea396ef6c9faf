"""What Dagster does, as far as the close relies on it: one test for each fact, so that an upgrade tells."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    Definitions,
    ExecuteInProcessResult,
    Failure,
    MaterializeResult,
    MonthlyPartitionsDefinition,
    PreviewWarning,
    RetryPolicy,
    asset,
    asset_check,
    define_asset_job,
    materialize,
    multi_asset_check,
)
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView, TemporalContext
from dagster._core.execution.asset_backfill import AssetBackfillData, execute_asset_backfill_iteration_inner
from dagster._core.instance.config import dagster_instance_config
from dagster._core.test_utils import in_process_test_workspace
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._time import get_current_datetime

from ledger_assets.checks.results import blocking_specs

PROJECT = Path(__file__).resolve().parents[1]
MONTHS = MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def run(instance: DagsterInstance, definitions: Sequence[Any], **options: Any) -> ExecuteInProcessResult:
    return materialize(definitions, instance=instance, run_config=QUIET, raise_on_error=False, **options)


def materialized(result: ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def evaluations(instance: DagsterInstance, result: ExecuteInProcessResult) -> list[AssetCheckEvaluation]:
    """The rows that the run left in the event log."""
    events = [entry.dagster_event for entry in instance.all_logs(result.run_id) if entry.dagster_event]
    return [event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"]


@asset
def staged() -> MaterializeResult[None]:
    return MaterializeResult()


@asset(deps=[staged])
def posted() -> MaterializeResult[None]:
    return MaterializeResult()


@asset_check(asset=staged, blocking=True)
def gate() -> AssetCheckResult:
    return AssetCheckResult(passed=False)


def crash() -> AssetCheckResult:
    raise RuntimeError("the database is gone")


# ------------------------------------------------------------------------------------------------ gates


def test_a_failed_blocking_check_stops_what_is_downstream_in_its_run(instance: DagsterInstance):
    result = run(instance, [staged, posted, gate])
    assert not result.success
    assert materialized(result) == {"staged"}


def test_a_failed_blocking_check_does_not_stop_a_later_run_of_the_downstream_asset(instance: DagsterInstance):
    run(instance, [staged, posted, gate])
    result = run(instance, [staged, posted, gate], selection=[posted])
    assert result.success
    assert materialized(result) == {"posted"}


def test_a_blocking_check_that_is_not_selected_stops_nothing(instance: DagsterInstance):
    selection = AssetSelection.assets(staged, posted).without_checks()
    assert materialized(run(instance, [staged, posted, gate], selection=selection)) == {"staged", "posted"}


def test_a_crashing_blocking_check_blocks_and_leaves_no_evaluation(instance: DagsterInstance):
    crashing = asset_check(asset=staged, name="crashing", blocking=True)(crash)
    result = run(instance, [staged, posted, crashing])
    assert materialized(result) == {"staged"}
    assert evaluations(instance, result) == []


def test_a_crashing_check_that_does_not_block_fails_the_run_but_lets_downstream_go_on(instance: DagsterInstance):
    crashing = asset_check(asset=staged, name="crashing", blocking=False)(crash)
    result = run(instance, [staged, posted, crashing])
    assert not result.success
    assert materialized(result) == {"staged", "posted"}


def two_gates(*, can_subset: bool, reported: Sequence[str]) -> Any:
    """Checks `one` and `two`, of which only those reported yield a result."""
    specs = [AssetCheckSpec(name, asset="staged", blocking=True) for name in ("one", "two")]

    @multi_asset_check(name="gates", specs=specs, can_subset=can_subset)
    def gates() -> Iterator[AssetCheckResult]:
        for name in reported:
            yield AssetCheckResult(asset_key=AssetKey("staged"), check_name=name, passed=True)

    return gates


def test_a_multi_asset_check_without_can_subset_fails_when_a_result_is_missing(instance: DagsterInstance):
    result = run(instance, [staged, posted, two_gates(can_subset=False, reported=["one"])])
    assert {event.step_key for event in result.get_step_failure_events()} == {"gates"}
    assert materialized(result) == {"staged"}


def test_a_multi_asset_check_without_can_subset_passes_when_every_result_is_there(instance: DagsterInstance):
    result = run(instance, [staged, posted, two_gates(can_subset=False, reported=["one", "two"])])
    assert materialized(result) == {"staged", "posted"}


def test_a_multi_asset_check_with_can_subset_lets_downstream_run_though_it_said_nothing(instance: DagsterInstance):
    result = run(instance, [staged, posted, two_gates(can_subset=True, reported=[])])
    assert result.success
    assert materialized(result) == {"staged", "posted"}


# ------------------------------------------------------------------------------------------------ months


@asset(partitions_def=MONTHS)
def monthly() -> MaterializeResult[None]:
    return MaterializeResult()


def evaluated_partition(instance: DagsterInstance, specs: Sequence[AssetCheckSpec]) -> str | None:
    @multi_asset_check(specs=specs)
    def check_of_the_month() -> AssetCheckResult:
        return AssetCheckResult(passed=True)

    (evaluation,) = evaluations(instance, run(instance, [monthly, check_of_the_month], partition_key="2024-02"))
    return evaluation.partition


def test_an_evaluation_has_the_partition_when_the_spec_has_partitions(instance: DagsterInstance):
    assert evaluated_partition(instance, blocking_specs("monthly", {"one": "of a month"}, MONTHS)) == "2024-02"


def test_an_evaluation_has_no_partition_when_the_spec_has_none(instance: DagsterInstance):
    assert evaluated_partition(instance, blocking_specs("monthly", {"one": "of a month"})) is None


def test_partitions_of_a_check_are_a_preview_and_nothing_else_is_warned_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        AssetCheckSpec("one", asset="monthly", blocking=True, partitions_def=MONTHS)
    (warning,) = caught
    assert warning.category is PreviewWarning
    assert str(warning.message).startswith("Specifying a partitions_def on an AssetCheckSpec")


def test_our_specs_with_partitions_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blocking_specs("monthly", {"one": "of a month"}, MONTHS)


def test_a_job_of_partitioned_and_unpartitioned_assets_runs_for_a_partition(instance: DagsterInstance):
    @asset(deps=[staged], partitions_def=MONTHS)
    def closed(context: AssetExecutionContext) -> MaterializeResult[None]:
        return MaterializeResult(metadata={"month": context.partition_key})

    job = define_asset_job("close", AssetSelection.all())
    definitions = Definitions(assets=[staged, closed], jobs=[job]).resolve_job_def("close")
    result = definitions.execute_in_process(partition_key="2024-02", instance=instance, run_config=QUIET)
    partitions = {event.asset_key: event.partition for event in result.get_asset_materialization_events()}
    assert partitions[AssetKey("closed")] == "2024-02"
    assert AssetKey("staged") in partitions


# ------------------------------------------------------------------------------------------------ failures


def failing(*, allow_retries: bool) -> AssetsDefinition:
    @asset(retry_policy=RetryPolicy(max_retries=2))
    def refused() -> None:
        raise Failure("refused", metadata={"fix": "close January first"}, allow_retries=allow_retries)

    return refused


def test_a_failure_brings_its_metadata_into_the_step_failure(instance: DagsterInstance):
    (event,) = run(instance, [failing(allow_retries=False)]).get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert data.description == "refused"
    assert data.metadata["fix"].value == "close January first"


@pytest.mark.parametrize(("allow_retries", "attempts_after_the_first"), [(True, 2), (False, 0)])
def test_a_failure_that_allows_no_retries_overrules_the_policy(
    instance: DagsterInstance, allow_retries: bool, attempts_after_the_first: int
):
    result = run(instance, [failing(allow_retries=allow_retries)])
    retries = [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert len(retries) == attempts_after_the_first


# ------------------------------------------------------------------------------------------------ the instance


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[DagsterInstance]:
    """An instance with the settings of our dagster.yaml, and its own storage in place of ours."""
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text(encoding="utf-8"))
    for ours in ("storage", "local_artifact_storage", "compute_logs"):
        del settings[ours]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_dagster_takes_every_setting_of_our_file():
    settings, _ = dagster_instance_config(str(PROJECT))
    assert settings["storage"]["custom"]["class"] == "LedgerDagsterStorage"


def test_no_failed_gate_is_tried_again_and_runs_go_one_at_a_time(configured: DagsterInstance):
    assert configured.run_retries_retry_on_asset_or_op_failure is False
    queue = configured.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 1


def test_retries_of_failed_gates_are_on_unless_switched_off(tmp_path: Path):
    (tmp_path / "dagster.yaml").write_text("run_retries: {enabled: true}\n", encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_retry_on_asset_or_op_failure is True


# ------------------------------------------------------------------------------------------------ backfills

CODE = """
import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")
BEFORE = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

@dg.asset(partitions_def=MONTHS)
def entries(): ...

@dg.asset(partitions_def=MONTHS, deps=["entries"])
def report(): ...

@dg.asset(partitions_def=MONTHS, deps=["entries", dg.AssetDep("balances", partition_mapping=BEFORE)])
def balances(): ...
"""


def first_runs(folder: Path, *names: str) -> set[tuple[str, frozenset[str]]]:
    """Months and assets of the runs that a backfill of two months launches at once."""
    file = folder / "code_of_a_backfill.py"
    file.write_text(CODE, encoding="utf-8")
    origin = LoadableTargetOrigin(python_file=str(file))
    with DagsterInstance.local_temp(str(folder)) as instance, in_process_test_workspace(instance, origin) as workspace:
        graph, now = workspace.asset_graph, get_current_datetime()
        view = AssetGraphView(
            temporal_context=TemporalContext(effective_dt=now, last_event_id=None), instance=instance, asset_graph=graph
        )
        keys = [AssetKey(name) for name in names]
        store = view.get_inner_queryer_for_back_compat()
        data = AssetBackfillData.from_asset_partitions(
            graph, ["2024-01", "2024-02"], keys, store, now.timestamp(), all_partitions=False
        )
        log = logging.getLogger("backfill")
        requests = execute_asset_backfill_iteration_inner("b", data, view, now.timestamp(), log, None).run_requests
    return {(one.partition_key, frozenset(key.to_user_string() for key in one.asset_selection)) for one in requests}


def test_a_backfill_puts_assets_of_the_same_month_into_one_run(tmp_path: Path):
    both = frozenset({"entries", "report"})
    assert first_runs(tmp_path, "entries", "report") == {("2024-01", both), ("2024-02", both)}


def test_a_backfill_keeps_an_asset_that_depends_on_its_own_month_before_out_of_the_run_of_others(tmp_path: Path):
    """The entries of all months go first: why the balances do not declare this dependency (docs/adr/0005)."""
    alone = frozenset({"entries"})
    assert first_runs(tmp_path, "entries", "balances") == {("2024-01", alone), ("2024-02", alone)}
