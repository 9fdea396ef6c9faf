"""What the source asset shows of the loads, and that it takes in what lies in the inbox."""

from pathlib import Path

import pytest
from dagster import AssetSelection

from ledger_assets_tests.assets.conftest import ClosedMonth
from ledger_assets_tests.checks.evaluations import materialization, shown
from ledger_assets_tests.scenario import (
    FIRST_PERIOD,
    ROWS,
    deliver,
    generated,
    materialized,
    rows_of,
    store_rules,
    value_of,
)

ALONE = AssetSelection.assets("txn_source").without_checks()


def inbox_of(home: Path) -> Path:
    """The inbox of the first month."""
    folder = home / "inbox" / FIRST_PERIOD
    folder.mkdir(parents=True)
    return folder


def test_loads_and_totals_are_shown(closed_month: ClosedMonth) -> None:
    source = materialization(closed_month.first, "txn_source")
    assert {name: source.metadata[name].value for name in ("loads", "transactions", "refused_rows")} == {
        "loads": 1,
        "transactions": ROWS,
        "refused_rows": 0,
    }
    (load,) = shown(source, "loads_of_the_month")
    assert (load["file_name"], load["accepted"], load["posted_in"]) == ("2024-01-1-good.csv", "60", "not posted yet")
    delivered = rows_of(
        closed_month.url,
        "SELECT txn_type, count(*) AS transactions, sum(gross_amount) AS gross FROM source.txn_source "
        "GROUP BY txn_type ORDER BY txn_type",
    )
    assert [(row["txn_type"], row["transactions"], row["gross"]) for row in shown(source, "totals_by_type")] == [
        (row["txn_type"], f"{row['transactions']:,}", f"{row['gross']:,}") for row in delivered
    ]


def test_it_shows_in_which_batch_a_load_was_posted(closed_month: ClosedMonth) -> None:
    (load,) = shown(materialization(closed_month.again, "txn_source"), "loads_of_the_month")
    assert load["posted_in"] == "2024-01-MONTHEND"


def test_files_in_the_inbox_are_taken_in_once(ledger_url: str, ledger_home: Path) -> None:
    store_rules(ledger_url)
    inbox = inbox_of(ledger_home)
    generated(inbox, FIRST_PERIOD)
    generated(inbox, FIRST_PERIOD, seed=2)
    (inbox / "notes.txt").write_text("no transactions")
    for _ in range(2):
        run = materialized(ledger_url, FIRST_PERIOD, ALONE)
        assert materialization(run, "txn_source").metadata["transactions"].value == 2 * ROWS
    loads = rows_of(ledger_url, "SELECT file_name, loaded_by FROM source.load ORDER BY load_id")
    assert [tuple(load.values()) for load in loads] == [
        ("2024-01-1-good.csv", "tester"),
        ("2024-01-2-good.csv", "tester"),
    ]


def test_the_mapping_beside_the_files_is_used(ledger_url: str, ledger_home: Path) -> None:
    inbox = inbox_of(ledger_home)
    path = generated(inbox, FIRST_PERIOD)
    path.write_text(path.read_text().replace("txn_id,", "reference,", 1))
    run = materialized(ledger_url, FIRST_PERIOD, ALONE)
    assert not run.success
    (inbox / "mapping.toml").write_text('[columns]\ntxn_id = "reference"\n')
    assert materialized(ledger_url, FIRST_PERIOD, ALONE).success
    assert value_of(ledger_url, "SELECT count(*) FROM source.txn_source") == ROWS


def test_a_malformed_file_fails_the_step_with_its_name(ledger_url: str, ledger_home: Path) -> None:
    path = generated(inbox_of(ledger_home), FIRST_PERIOD, defects=["missing_column"])
    run = materialized(ledger_url, FIRST_PERIOD, ALONE)
    (failure,) = (event for event in run.all_events if event.is_step_failure)
    assert path.name in failure.step_failure_data.error.cause.message
    assert value_of(ledger_url, "SELECT count(*) FROM source.load") == 0


def test_refused_rows_are_counted_while_their_load_counts(ledger_url: str, ledger_home: Path) -> None:
    deliver(ledger_url, FIRST_PERIOD, folder=ledger_home, defects=["zero_amount"])
    source = materialization(materialized(ledger_url, FIRST_PERIOD, ALONE), "txn_source")
    assert (source.metadata["refused_rows"].value, source.metadata["transactions"].value) == (1, ROWS - 1)


@pytest.mark.usefixtures("ledger_home")
def test_a_month_without_loads_shows_none(ledger_url: str) -> None:
    source = materialization(materialized(ledger_url, FIRST_PERIOD, ALONE), "txn_source")
    assert source.metadata["loads"].value == 0
    assert source.metadata["totals_by_type"].value == "none"
