"""The jobs that people launch."""

from dagster import AssetSelection, define_asset_job

month_close = define_asset_job(
    "month_close",
    selection=AssetSelection.all(),
    description="Close one month: rules and source checked, entries staged, gates, the commit, balances, report.",
)
