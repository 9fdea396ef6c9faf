"""The jobs that people launch."""

from collections.abc import Mapping

from dagster import AssetSelection, PartitionedConfig, define_asset_job
from dagster._core.storage.tags import PRIORITY_TAG

from ledger_assets.accounting.months import first_day
from ledger_assets.periods import MONTHS


def month_first(period: str) -> Mapping[str, str]:
    """The tags of a month's run: of those that wait, the earliest month goes first, however they were launched.

    So a run that is tried again after its process died goes before the months that wait for it.
    """
    first = first_day(period)
    return {PRIORITY_TAG: str(12 * (9999 - first.year) + 12 - first.month)}


month_close = define_asset_job(
    "month_close",
    selection=AssetSelection.all(),
    config=PartitionedConfig(
        partitions_def=MONTHS, run_config_for_partition_key_fn=lambda _: {}, tags_for_partition_key_fn=month_first
    ),
    description="Close one month: rules and source checked, entries staged, gates, the posting, balances, papers.",
)
