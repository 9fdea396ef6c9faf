"""Accounting periods: the months that Dagster partitions the close by."""

from dagster import MonthlyPartitionsDefinition

from ledger_assets.settings import Settings


def monthly(first_period: str) -> MonthlyPartitionsDefinition:
    """The months from `first_period` (`YYYY-MM`) up to and including the current one.

    The current month counts too (end_offset): its close may start on its last evening, before Dagster would call it
    over.
    """
    return MonthlyPartitionsDefinition(start_date=first_period, fmt="%Y-%m", end_offset=1)


MONTHS = monthly(Settings.from_environment().first_period)
