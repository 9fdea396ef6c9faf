"""Controls on what was delivered, before anything is journaled: loads intact, refused rows dealt with."""

from collections.abc import Mapping, Sequence

from ledger_assets.accounting.gates import LoadTotals, load_comparisons
from ledger_assets.accounting.verdicts import Verdict, conclude, count


def loads_intact(loads: Sequence[LoadTotals]) -> Verdict:
    """Every load of the month that is not posted yet holds the rows that were loaded: same count, same checksum."""
    summary = count("rows", sum(load.loaded_count for load in loads), sum(load.count for load in loads))
    return conclude(
        "loads_intact",
        load_comparisons(loads),
        summary=summary,
        good="the loads are as they were delivered",
        bad="a load has changed",
    )


def rejected_rows_resolved(open_rejections: Mapping[str, int]) -> Verdict:
    """No row was refused without somebody having corrected, withdrawn or acknowledged it.

    Args:
        open_rejections: rows by their first reason.
    """
    lines = [count(reason, 0, rows) for reason, rows in sorted(open_rejections.items())]
    summary = count("open rejections", 0, sum(open_rejections.values()))
    return conclude(
        "rejected_rows_resolved",
        lines,
        summary=summary,
        good="no refused row is open",
        bad="refused rows wait for a correction (deliver it), a withdrawal of their load, or an acknowledgement",
    )
