"""From a verdict to what Dagster shows, and from names to what it must wait for."""

import warnings
from decimal import Decimal
from typing import Any

import pytest
from dagster import AssetCheckResult, AssetCheckSeverity, AssetKey, MetadataValue, TableMetadataValue

from ledger_assets.accounting.verdicts import Verdict, conclude, count
from ledger_assets.checks.results import blocking_specs, nothing_to_check, result
from ledger_assets.metadata import ROWS_SHOWN, bars, table, text
from ledger_assets.periods import MONTHS


def verdict(*pairs: tuple[int, int]) -> Verdict:
    """What a control says that compared some counts."""
    lines = [count(f"count {number}", *pair) for number, pair in enumerate(pairs, start=1)]
    summary = count("all", sum(expected for expected, _ in pairs), sum(actual for _, actual in pairs))
    return conclude("record_count", lines, summary=summary, good="good", bad="bad")


def rows(value: Any) -> list[dict[str, Any]]:
    """The rows of a table in metadata."""
    assert isinstance(value, TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_a_result_shows_what_the_verdict_says() -> None:
    shown = result("staged_journal_entries", verdict((1000, 999)), subject="2024-01-MONTHEND, attempt 1")
    assert (shown.asset_key, shown.check_name) == (AssetKey("staged_journal_entries"), "record_count")
    assert (shown.passed, shown.severity) == (False, AssetCheckSeverity.ERROR)
    assert shown.description == "bad: count 1: expected 1,000, found 999"
    assert {name: shown.metadata[name].value for name in ("subject", "expected", "actual", "difference")} == {
        "subject": "2024-01-MONTHEND, attempt 1",
        "expected": "1,000",
        "actual": "999",
        "difference": "-1",
    }


def test_lines_that_fail_stand_first() -> None:
    shown = result("a", verdict((1, 1), (2, 3), (4, 4), (5, 6)))
    assert [(row["measure"], row["passed"]) for row in rows(shown.metadata["comparisons"])] == [
        ("count 2", "no"),
        ("count 4", "no"),
        ("count 1", "yes"),
        ("count 3", "yes"),
    ]


def test_a_failing_line_is_shown_however_many_pass() -> None:
    shown = result("a", verdict(*[(1, 1)] * 100, (1, 2)))
    comparisons = rows(shown.metadata["comparisons"])
    assert len(comparisons) == ROWS_SHOWN
    assert comparisons[0]["measure"] == "count 101"


def test_offending_rows_are_shown_when_there_are_some() -> None:
    offending = [{"je_number": str(number)} for number in range(30)]
    shown = result("a", verdict((1, 2)), offending)
    assert rows(shown.metadata["first_offending_rows"]) == offending[:ROWS_SHOWN]
    assert result("a", verdict((1, 1))).metadata.keys() == {"expected", "actual", "difference", "comparisons"}


def test_a_control_without_lines_says_so() -> None:
    assert result("a", verdict()).metadata["comparisons"] == MetadataValue.text("none")


def test_nothing_to_check_passes_and_says_why() -> None:
    shown = nothing_to_check("a", ["one", "two"], "nothing is staged")
    assert [(one.check_name, one.passed, one.description) for one in shown] == [
        ("one", True, "nothing is staged"),
        ("two", True, "nothing is staged"),
    ]
    assert all(isinstance(one, AssetCheckResult) for one in shown)


def test_checks_block_by_month_and_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        specs = blocking_specs("txn_source", {"loads_intact": "Every load is.", "other": "Too."}, MONTHS)
    assert [(spec.name, spec.description, spec.blocking) for spec in specs] == [
        ("loads_intact", "Every load is.", True),
        ("other", "Too.", True),
    ]
    assert all(spec.partitions_def == MONTHS for spec in specs)
    assert blocking_specs("journal_templates", {"sound": ""})[0].partitions_def is None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        (Decimal("-1234.50"), "-1,234.50"),
        ("text", "text"),
    ],
)
def test_values_are_written_as_people_write_them(value: Any, written: str) -> None:
    assert text(value) == written


def test_a_table_shows_the_first_rows() -> None:
    assert len(rows(table([{"n": number} for number in range(ROWS_SHOWN + 1)]))) == ROWS_SHOWN


def test_bars_are_as_long_as_the_amounts_are_large() -> None:
    lines = bars({"a": Decimal(100), "b": Decimal(-50), "c": Decimal(0)}).value.splitlines()[1:-1]
    assert [(line.count("█"), line.count("░")) for line in lines] == [(40, 0), (0, 20), (0, 0)]
    assert bars({}).value == "none"
