"""`ledger-assets statements` and `ledger-assets report`: what is typed, what is printed, who may ask."""

import csv
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from ledger_assets.cli import main
from ledger_assets.reporting.reading import add_up_products
from ledger_assets.storage.database import as_role, connect, in_transaction
from ledger_assets.storage.statements import read_closed_figures
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import (
    FIRST_PERIOD,
    SECOND_PERIOD,
    close_directly,
    deliver,
    execute,
    rows_of,
    value_of,
)

Run = Callable[..., Result]
NAMES = ["trial-balance", "profit-and-loss", "balance-sheet", "funds"]


@pytest.fixture
def run(closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LEDGER_DATABASE_URL", closed_url)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *words: CliRunner().invoke(main, list(words))


def test_people_read_all_four(run: Run):
    shown = run("statements", SECOND_PERIOD)
    assert shown.exit_code == 0, shown.output
    for title in ("Trial balance", "Profit and loss", "Balance sheet", "Fund statements"):
        assert f"{title} {SECOND_PERIOD}" in shown.output
    assert shown.output.count("\nties\n") == 4


def test_programs_get_exact_amounts_as_text(run: Run, closed_url: str):
    found = json.loads(run("statements", SECOND_PERIOD, "--json").stdout)
    assert [made["statement"] for made in found] == NAMES
    assert all(made["ties"] for made in found)
    balances = {line["account_codes"][0]: line["amounts"] for line in found[0]["lines"] if line["account_codes"]}
    expected = rows_of(closed_url, "SELECT * FROM ledger.account_balance_snapshot WHERE period = %s", SECOND_PERIOD)
    assert balances == {
        row["account_code"]: [str(row[name]) for name in ("opening_balance", "debit", "credit", "closing_balance")]
        for row in expected
    }


def test_one_statement_as_a_csv_file(run: Run, tmp_path: Path):
    file = tmp_path / "funds.csv"
    written = run("statements", SECOND_PERIOD, "--statement", "funds", "--format", "csv", "--out", str(file))
    assert written.exit_code == 0, written.output
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert {row["fund"] for row in rows} == {"OPERATOR", "TABARRU", "TANAHUD"}
    assert run("statements", SECOND_PERIOD, "--statement", "funds", "--format", "csv").output == file.read_text()


@pytest.mark.parametrize("words", [("--format", "csv"), ("--json", "--format", "csv"), ("--json", "--out", "x")])
def test_what_does_not_go_together_is_refused(run: Run, words: tuple[str, ...]):
    refused = run("statements", SECOND_PERIOD, *words)
    assert refused.exit_code == 1
    assert "statement" in refused.output or "--json" in refused.output


@pytest.mark.parametrize("command", ["statements", "report"])
def test_a_month_that_is_not_closed_has_none(run: Run, command: str, tmp_path: Path):
    refused = run(command, "2024-03")
    assert refused.exit_code == 1
    assert "2024-03: it has no statements: it is not closed. Fix: run ledger-assets close 2024-03." in " ".join(
        refused.output.split()
    )
    assert not (tmp_path / "reports").exists()


def test_the_papers_are_written_anew_without_a_close(run: Run, closed_url: str, tmp_path: Path):
    before = value_of(closed_url, "SELECT count(*) FROM audit.batch_operation WHERE outcome = 'SUCCESS'")
    found = json.loads(run("report", SECOND_PERIOD, "--json").stdout)
    assert found["problems"] == {}
    assert found["papers"].keys() == {"html", "pdf", "xlsx", *NAMES}
    assert all(Path(path).is_relative_to(tmp_path) and Path(path).stat().st_size for path in found["papers"].values())
    assert run("report", SECOND_PERIOD).output.split() == list(found["papers"].values())
    assert value_of(closed_url, "SELECT count(*) FROM audit.batch_operation WHERE outcome = 'SUCCESS'") == before


def test_a_paper_that_cannot_be_written_is_told_with_its_exit_code(run: Run, tmp_path: Path):
    (tmp_path / "reports" / SECOND_PERIOD / f"close-report-{SECOND_PERIOD}.xlsx" / "in the way").mkdir(parents=True)
    written = run("report", SECOND_PERIOD)
    assert written.exit_code == 1
    assert f"not made: close-report-{SECOND_PERIOD}.xlsx" in written.output
    assert f"close-report-{SECOND_PERIOD}.pdf" in written.output


# ------------------------------------------------------------------------------------------------ rights


@pytest.mark.parametrize("role", ["finance_viewer", "batch_admin", "auditor"])
def test_who_may_see_balances_may_see_statements(closed_url: str, role: str):
    with closing(connect(closed_url)) as engine, closing(connect(as_role(superuser(closed_url), role))) as person:
        assert read_closed_figures(person, SECOND_PERIOD) == read_closed_figures(engine, SECOND_PERIOD)


def test_who_may_not_see_balances_may_not_see_statements(closed_url: str):
    with (
        closing(connect(as_role(superuser(closed_url), "batch_operator"))) as person,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        read_closed_figures(person, SECOND_PERIOD)


# ------------------------------------------------------------------------------------------------ by product

TOTALS = (
    "SELECT txn_type, product_code, channel, row_count, gross_total FROM source.load_product_total ORDER BY 1, 2, 3"
)
AGAIN = (
    "SELECT txn_type, product_code, channel, count(*) AS row_count, sum(gross_amount) AS gross_total "
    "FROM source.txn_source WHERE period = '2024-01' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)


def test_a_load_is_added_up_once_and_outlives_its_rows(closed_url: str):
    in_transaction(closed_url, lambda connection: add_up_products(connection, FIRST_PERIOD))
    found = rows_of(closed_url, TOTALS)
    assert found == rows_of(closed_url, AGAIN)
    assert len(found) > 20
    leaf = value_of(closed_url, "SELECT leaf::text FROM source.load WHERE period = '2024-01'")
    execute(closed_url, f"DROP TABLE {leaf}")
    in_transaction(closed_url, lambda connection: add_up_products(connection, FIRST_PERIOD))
    assert rows_of(closed_url, TOTALS) == found


def test_a_load_whose_rows_are_archived_is_left_out(closed_url: str):
    leaf = value_of(closed_url, "SELECT leaf::text FROM source.load WHERE period = '2024-01'")
    execute(closed_url, f"DROP TABLE {leaf}")
    in_transaction(closed_url, lambda connection: add_up_products(connection, FIRST_PERIOD))
    assert rows_of(closed_url, TOTALS) == []


def test_what_is_not_posted_is_not_added_up(closed_url: str, tmp_path: Path):
    deliver(closed_url, "2024-03", folder=tmp_path, rows=30)
    in_transaction(closed_url, lambda connection: add_up_products(connection, "2024-03"))
    assert rows_of(closed_url, TOTALS) == []
    close_directly(closed_url, "2024-03")
    in_transaction(closed_url, lambda connection: add_up_products(connection, "2024-03"))
    assert sum(row["row_count"] for row in rows_of(closed_url, TOTALS)) == 30
