"""Accounting periods: the months that Dagster partitions the close by, and how a period relates to its neighbours."""

from datetime import date, timedelta

from dagster import MonthlyPartitionsDefinition, TimeWindowPartitionMapping

from ledger_assets.settings import Settings


def monthly(first_period: str) -> MonthlyPartitionsDefinition:
    """The months from `first_period` (`YYYY-MM`) up to and including the current one.

    The current month counts too (end_offset): its close may start on its last evening, before Dagster would call it over.
    """
    return MonthlyPartitionsDefinition(start_date=first_period, fmt="%Y-%m", end_offset=1)


MONTHS = monthly(Settings.from_environment().first_period)

PREVIOUS_MONTH = TimeWindowPartitionMapping(start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True)
"""The first month of the books has no month before it."""


def previous(period: str) -> str:
    """The month before: `previous("2025-01") == "2024-12"`."""
    return f"{date.fromisoformat(f'{period}-01') - timedelta(days=1):%Y-%m}"
