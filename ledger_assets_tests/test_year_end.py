"""Year end: income and expense to the surplus of each fund. Worked by hand on a year that ends in 2024-12."""

import json
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ledger_assets.accounting.year_end import ClosingBalance, carry_to_surplus
from ledger_assets.cli import main
from ledger_assets.reporting.reading import read as read_report
from ledger_assets.storage.batches import Batch, BatchStateError, BuiltUpon, GateFailed, NotConfirmed, PreflightFailed
from ledger_assets.storage.books import explain_balance, explain_entry, fund_statement
from ledger_assets.storage.control_totals import measure
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.derived_batches import _opened, _year_end_entries, close_year
from ledger_assets.storage.staging import stage_shards
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import cloned
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import (
    ACTOR,
    execute,
    failing_balance_controls,
    failing_gates,
    fingerprint,
    rows_of,
    trial_balance,
    value_of,
)
from ledger_assets_tests.test_rollback import balances_and_entries, rolled_back

DECEMBER, JANUARY = "2024-12", "2025-01"
YEAREND = "2024-12-YEAREND"
HEADER = (
    "txn_id,txn_type,policy_id,product_code,channel,txn_date,bank_value_date,currency,"
    "gross_amount,tabarru_amount,tanahud_amount,ujroh_amount\n"
)
ROWS = (
    "T-1,PREMIUM,P-1,FAMILY-001,AGENCY,2024-12-05,2024-12-05,IDR,1000.00,400.00,400.00,200.00\n"
    "T-2,PREMIUM,P-2,FAMILY-001,AGENCY,2024-12-06,2024-12-06,IDR,500.50,200.20,200.20,100.10\n"
    "T-3,CLAIM,P-1,FAMILY-001,AGENCY,2024-12-20,2024-12-20,IDR,650.00,350.00,300.00,0.00\n"
)


def deliver(url: str, folder: Path, period: str, rows: str) -> None:
    file = folder / f"{period}.csv"
    file.write_text(HEADER + rows)
    scenario.load(url, file, period)


def close(url: str, period: str) -> str:
    return scenario.close_directly(url, period, first_period=DECEMBER).outcome


def closed_year(url: str, *, typed: str = "2024") -> Batch:
    return close_year(
        url,
        "2024",
        opened_by=batch_admin(url),
        reason="year end",
        confirmation=typed,
        first_period=DECEMBER,
        performed_by=ACTOR,
    )


@pytest.fixture(scope="module")
def december(test_server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database in which December is closed."""
    with cloned(test_server_url, template_database) as url:
        scenario.store_rules(url)
        deliver(url, tmp_path_factory.mktemp("delivery"), DECEMBER, ROWS)
        assert close(url, DECEMBER) == "posted"
        yield database_name(url)


@pytest.fixture
def books(test_server_url: str, december: str) -> Iterator[str]:
    with cloned(test_server_url, december) as url:
        yield url


def surplus(url: str, period: str) -> dict[str, Decimal]:
    """Equity, income and expense of a month that are not zero."""
    accounts = rows_of(
        url,
        "SELECT account_code, closing_balance FROM ledger.account_balance_snapshot JOIN acct.chart_of_accounts "
        "USING (account_code) WHERE period = %s AND account_type IN ('EQUITY', 'INCOME', 'EXPENSE') "
        "AND closing_balance <> 0",
        period,
    )
    return {row["account_code"]: row["closing_balance"] for row in accounts}


BEFORE = {
    # credit balances are negative: contributions, fees; debit balances are claims
    "4110-20": Decimal("-600.20"), "4110-30": Decimal("-600.20"), "4210-10": Decimal("-300.10"),
    "5110-20": Decimal("350.00"), "5110-30": Decimal("300.00"),
}  # fmt: skip
ANOTHER = (
    "INSERT INTO acct.chart_of_accounts (account_code, description, account_type, fund) "
    "VALUES ('3900-20', 'another', 'EQUITY', 'TABARRU')"
)
AFTER = {"3200-20": Decimal("-250.20"), "3200-30": Decimal("-300.20"), "3100-10": Decimal("-300.10")}


def test_the_worked_year(books: str) -> None:
    assert surplus(books, DECEMBER) == BEFORE
    funds = rows_of(books, "SELECT * FROM ledger.fund_balance ORDER BY fund")
    batch = closed_year(books)
    assert (batch.batch_id, batch.state, batch.entry_count, batch.line_count) == (YEAREND, "COMMITTED", 3, 8)
    assert surplus(books, DECEMBER) == AFTER
    assert rows_of(books, "SELECT * FROM ledger.fund_balance ORDER BY fund") == funds
    assert failing_balance_controls(books, DECEMBER) == frozenset()
    assert value_of(books, "SELECT status FROM control.period WHERE period = %s", DECEMBER) == "CLOSED"
    columns = "je_number, je_date::text, source_id, template_code, source_type, description, total_debit::text"
    headers = rows_of(books, f"SELECT {columns} FROM ledger.ledger_entry_header WHERE batch_id = %s", YEAREND)
    assert [tuple(row.values()) for row in headers] == [
        (number, "2024-12-31", f"YEAR-END 2024 {fund}", "YEAR-END", "YEAREND",
         "Year end: income and expense to the surplus of the fund", total)
        for number, fund, total in ((4, "OPERATOR", "300.10"), (5, "TABARRU", "600.20"), (6, "TANAHUD", "600.20"))
    ]  # fmt: skip


def test_readers_see_the_year_in_the_statement_of_a_fund_and_its_end_in_the_balance(books: str) -> None:
    closed_year(books)
    with connect(books) as connection:
        statement = fund_statement(connection, DECEMBER, "TABARRU")
        parts = explain_balance(connection, DECEMBER, "3200-20")
        (line, *_) = explain_entry(connection, DECEMBER, 5)
    assert [(row["account_code"], row["amount"]) for row in statement] == [
        (None, Decimal(0)), ("4110-20", Decimal("600.20")), ("5110-20", Decimal("-350.00")), (None, Decimal("250.20")),
    ]  # fmt: skip
    assert [(part["kind"], part["amount"]) for part in parts] == [
        ("opening balance", Decimal(0)), ("YEAREND", Decimal("-250.20")),
    ]  # fmt: skip
    assert (line["rule_set"], line["txn_id"], line["amount_expression"]) == ("year-end", None, None)


def test_the_papers_show_the_result_of_the_year_and_where_it_went(books: str) -> None:
    closed_year(books)
    with connect(books) as connection:
        report = read_report(connection, DECEMBER)
    result = report.statements["profit-and-loss"].line("Surplus or deficit TABARRU").amounts
    assert result == (25020, None, 25020)
    carried = report.statements["funds"].line("Carried to surplus at year end", "TABARRU").amounts
    assert carried == (25020, -25020, 0, 0)
    assert set(report.statements["balance-sheet"].line("Result not yet carried to surplus").amounts) == {0, None}
    assert all(statement.ties for statement in report.statements.values())
    assert [(kind.txn_type, kind.passed) for kind in report.recognitions] == [("CLAIM", True), ("PREMIUM", True)]


def test_the_next_year_opens_with_neither_income_nor_expense(books: str, tmp_path: Path) -> None:
    closed_year(books)
    deliver(books, tmp_path, JANUARY, ROWS.replace("2024-12-", "2025-01-"))
    assert close(books, JANUARY) == "posted"
    balances = trial_balance(books, JANUARY)
    assert {code: balances[code][0] for code in BEFORE} == dict.fromkeys(BEFORE, Decimal(0))
    assert surplus(books, JANUARY) == BEFORE | AFTER
    assert failing_balance_controls(books, JANUARY) == frozenset()


def test_months_close_across_the_years_without_it(books: str) -> None:
    assert close(books, JANUARY) == "posted"
    assert surplus(books, JANUARY) == BEFORE


def test_a_year_end_can_be_rolled_back_and_done_again(books: str) -> None:
    before = balances_and_entries(books)
    closed_year(books)
    (effect,) = rolled_back(books, YEAREND)
    assert (effect.numbers, effect.month_before, effect.month_after) == ((4, 6), "CLOSED", "CLOSED")
    assert balances_and_entries(books) == before
    assert closed_year(books).batch_id == f"{YEAREND}-02"
    assert surplus(books, DECEMBER) == AFTER


def test_what_a_year_end_is_refused_for(books: str) -> None:
    with pytest.raises(NotConfirmed, match="2024: it was not confirmed"):
        closed_year(books, typed="2023")
    with pytest.raises(PreflightFailed, match="2025-12 waits for 2025-11"):
        close_year(
            books,
            "2025",
            opened_by=batch_admin(books),
            reason="x",
            confirmation="2025",
            first_period=DECEMBER,
            performed_by=ACTOR,
        )
    execute(books, "UPDATE control.period SET status = 'OPEN', closed_at = NULL")
    with pytest.raises(BatchStateError, match="2024-12: it is open"):
        closed_year(books)
    execute(books, "UPDATE control.period SET status = 'CLOSED', closed_at = now()")
    closed_year(books)
    with pytest.raises(BatchStateError, match=f"nothing to carry.*{YEAREND}"):
        closed_year(books)
    assert close(books, JANUARY) == "posted"
    with pytest.raises(PreflightFailed, match="2025-01 is closed on its balances"):
        closed_year(books)


def test_a_year_that_the_next_one_has_begun_on_is_not_closed(books: str) -> None:
    batch = scenario.staged(books, JANUARY, first_period=DECEMBER)
    scenario.post(books, batch, first_period=DECEMBER)
    with pytest.raises(BuiltUpon, match="2025-01-MONTHEND"):
        closed_year(books)


@pytest.mark.parametrize(
    ("chart", "problem"),
    [
        ("UPDATE acct.chart_of_accounts SET is_open = false WHERE account_code = '3200-20'", "TABARRU has no open"),
        (ANOTHER, "TABARRU has several open"),
    ],
)  # fmt: skip
def test_a_fund_needs_exactly_one_equity_account(books: str, chart: str, problem: str) -> None:
    execute(books, chart)
    before = fingerprint(books)
    with pytest.raises(BatchStateError, match=f"{problem}.*correct the chart of accounts"):
        closed_year(books)
    assert fingerprint(books) == before


@pytest.mark.parametrize(
    ("change", "gates"),
    [
        ("UPDATE staging.je_line SET amount = amount * 2",
         {"record_count", "debit_credit_balance", "fund_reconciliation"}),
        ("DELETE FROM staging.je_line WHERE je_number = 6; DELETE FROM staging.je_header WHERE je_number = 6",
         {"record_count", "sequence_integrity", "fund_reconciliation"}),
        ("UPDATE ledger.account_balance_snapshot SET credit = credit + 1 WHERE account_code = '4110-20'",
         {"fund_reconciliation", "source_unchanged"}),
        ("UPDATE control.period SET status = 'OPEN', closed_at = NULL WHERE period = '2024-12'", {"source_unchanged"}),
    ],
)  # fmt: skip
def test_the_gates_explain_and_the_posting_enforces_the_same_of_a_year_end(
    books: str, change: str, gates: set[str]
) -> None:
    opening = {"year": "2024", "reason": "year end", "confirmation": "2024"}
    batch = _opened(
        batch_admin(books), "control/open_year_end", opening | {"first_period": DECEMBER, "performed_by": ACTOR}
    )
    stage_shards(books, batch, partial(_year_end_entries, books, batch), performed_by=ACTOR)
    execute(books, change)
    measure(books, batch.batch_id)
    in_sql = rows_of(books, "SELECT DISTINCT gate FROM control.failed_conditions(%s)", batch.batch_id)
    assert {row["gate"] for row in in_sql} == gates
    with pytest.raises((GateFailed, BatchStateError)):
        scenario.post(books, batch, first_period=DECEMBER)
    assert failing_gates(books, batch).keys() == gates


def test_a_fund_that_came_out_even_has_no_surplus_line() -> None:
    expansion = carry_to_surplus(
        [ClosingBalance(7, "TABARRU", -500), ClosingBalance(8, "TABARRU", 500), ClosingBalance(9, "OPERATOR", -3)],
        {"TABARRU": 1, "OPERATOR": 2},
        template_id=4, first_je_number=11, period="2024-02",
    )  # fmt: skip
    assert expansion.lines.select("je_number", "line_number", "account_id", "amount").rows() == [
        (11, 1, 9, 3), (11, 2, 2, -3), (12, 1, 7, 500), (12, 2, 8, -500),
    ]  # fmt: skip
    assert expansion.headers["total_amount"].to_list() == [3, 500]
    assert expansion.headers["je_date"].cast(str).to_list() == ["2024-02-29"] * 2


@pytest.mark.usefixtures("ledger_home")
def test_a_year_that_was_ended_by_command_is_sealed_certified_and_proven(
    books: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(books))
    monkeypatch.setenv("LEDGER_FIRST_PERIOD", DECEMBER)
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)

    def answer(*words: str) -> dict[str, Any]:
        result = CliRunner().invoke(main, [*words, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert scenario.close(books, DECEMBER, first_period=DECEMBER).outcome == "nothing_new"
    assert answer("certificate", DECEMBER)["close_number"] == 1
    assert answer("year-end", "2024", "--confirm", "2024")["batch_id"] == YEAREND
    deliver(books, tmp_path, JANUARY, ROWS.replace("2024-12-", "2025-01-"))
    assert scenario.close(books, JANUARY, first_period=DECEMBER).outcome == "posted"
    assert answer("certificate", DECEMBER)["close_number"] == 2
    assert answer("certificate", JANUARY, "--all-lines")["as_certified"]
    assert answer("verify")["verdict"] == "PROVEN"
    assert answer("verify", DECEMBER, "--entry", "4")["verdict"] == "PROVEN"
    seals = rows_of(books, "SELECT event, batch_id FROM ledger.seal_chain ORDER BY position")
    assert [row["batch_id"] for row in seals] == ["2024-12-MONTHEND", YEAREND, "2025-01-MONTHEND"]
