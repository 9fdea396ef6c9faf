"""What a run of Dagster says of its checks and assets."""

from typing import Any

from dagster import AssetCheckEvaluation, AssetMaterialization, ExecuteInProcessResult, TableMetadataValue


def evaluated(run: ExecuteInProcessResult) -> dict[str, AssetCheckEvaluation]:
    """The checks that the run evaluated, by name."""
    return {check.check_name: check for check in run.get_asset_check_evaluations()}


def failed(run: ExecuteInProcessResult) -> set[str]:
    """The names of the checks that did not pass."""
    return {name for name, check in evaluated(run).items() if not check.passed}


def shown(event: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a table in the metadata of a check or a materialization."""
    value = event.metadata[name]
    assert isinstance(value, TableMetadataValue), f"{name} is {value}"
    return [dict(record.data) for record in value.records]


def materializations(run: ExecuteInProcessResult) -> list[str]:
    """The assets that the run materialized, in the order of their names."""
    return sorted(
        event.asset_key.to_user_string()
        for event in run.all_events
        if event.is_step_materialization and event.asset_key is not None
    )


def materialization(run: ExecuteInProcessResult, asset: str) -> AssetMaterialization:
    """What the run says of an asset that it materialized."""
    (event,) = run.asset_materializations_for_node(asset)
    return event


def failure_of(run: ExecuteInProcessResult, step: str) -> Any:
    """What a step failed of: its description and its metadata."""
    (failure,) = (event for event in run.all_events if event.is_step_failure and event.step_key == step)
    return failure.step_failure_data.user_failure_data
