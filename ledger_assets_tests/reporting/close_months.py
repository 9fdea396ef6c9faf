"""Months as the close report reads them, made by hand: one in order, one empty, and the pieces to break them with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger_assets.accounting.balances import AccountBalance, Balances
from ledger_assets.accounting.gates import GATES
from ledger_assets.accounting.money import to_minor
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures
from ledger_assets.reporting.close_report import CloseReport

BATCH = "2025-01-MONTHEND"
CLOSED_AT = datetime(2025, 2, 3, 18, 20, tzinfo=UTC)
SOURCE_COLUMNS = ("gross_amount", "tabarru_amount", "tanahud_amount", "ujroh_amount")

# code, description, type, fund, what it recognises, opening, debit, credit
ACCOUNTS = [
    ("1100-10", "Cash at bank, operator", "ASSET", "OPERATOR", None, "500.00", "48000000.00", "9600000.25"),
    ("2320-10", "Due to tabarru' fund", "LIABILITY", "OPERATOR", None, "0.00", "0.00", "28800000.00"),
    ("2330-10", "Due to tanahud fund", "LIABILITY", "OPERATOR", None, "0.00", "0.00", "7200000.00"),
    ("3100-10", "Shareholders' equity", "EQUITY", "OPERATOR", None, "-500.00", "0.00", "0.00"),
    ("4210-10", "Ujrah income", "INCOME", "OPERATOR", ("PREMIUM", "ujroh_amount"), "0.00", "0.00", "12000000.00"),
    ("5110-10", "Claims borne", "EXPENSE", "OPERATOR", ("CLAIM", "ujroh_amount"), "0.00", "9600000.25", "0.00"),
    ("1100-20", "Cash at bank, tabarru' fund", "ASSET", "TABARRU", None, "0.00", "0.00", "7654321.09"),
    ("1310-20", "Due from operator", "ASSET", "TABARRU", None, "0.00", "28800000.00", "0.00"),
    ("4110-20", "Contributions", "INCOME", "TABARRU", ("PREMIUM", "tabarru_amount"), "0.00", "0.00", "28800000.00"),
    ("5110-20", "Claims", "EXPENSE", "TABARRU", ("CLAIM", "tabarru_amount"), "0.00", "7654321.09", "0.00"),
    ("1310-30", "Due from operator", "ASSET", "TANAHUD", None, "0.00", "7200000.00", "0.00"),
    ("4110-30", "Contributions", "INCOME", "TANAHUD", ("PREMIUM", "tanahud_amount"), "0.00", "0.00", "7200000.00"),
]
FUNDS = [
    ("OPERATOR", "500.00", "12000000.00", "9600000.25"),
    ("TABARRU", "0.00", "28800000.00", "7654321.09"),
    ("TANAHUD", "0.00", "7200000.00", "0.00"),
]
MIRRORS = {"2320-10": "1310-20", "1310-20": "2320-10", "2330-10": "1310-30", "1310-30": "2330-10"}


def a_batch(**changes: Any) -> dict[str, Any]:
    return {
        "batch_id": BATCH, "attempt": 2, "state": "COMMITTED", "started_by": "dewi", "posted_by": "dewi",
        "posted_at": datetime(2025, 2, 3, 18, 4, tzinfo=UTC), "entry_count": 24_000, "line_count": 192_000,
        "first_je_number": 1, "last_je_number": 24_000, "rules": "combined v1", "rules_content": "9f86d081884c",
        "prepared_by": "agus", "approved_by": "siti", "approved_at": datetime(2024, 12, 20, 9, 0, tzinfo=UTC),
        **changes,
    }  # fmt: skip


def a_verdict(gate: str, **changes: Any) -> dict[str, Any]:
    return {
        "batch_id": BATCH, "attempt": 2, "gate": gate, "passed": True, "expected": "24,000", "actual": "24,000",
        "difference": "+0", "detail": "as it should be", **changes,
    }  # fmt: skip


def a_source_row(txn_type: str, transactions: int, *amounts: str, is_posted: bool = True) -> dict[str, Any]:
    figures = dict(zip(SOURCE_COLUMNS, map(Decimal, amounts), strict=True))
    return {"txn_type": txn_type, "is_posted": is_posted, "transactions": transactions, **figures}


def trial_balance() -> list[dict[str, Any]]:
    return [
        {
            "account_code": code, "description": description, "account_type": kind, "fund": fund,
            "recognised_type": recognises and recognises[0], "recognised_component": recognises and recognises[1],
            "opening_balance": Decimal(opening), "debit": Decimal(debit), "credit": Decimal(credit),
            "closing_balance": Decimal(opening) + Decimal(debit) - Decimal(credit), "derived": Decimal("0.00"),
        }
        for code, description, kind, fund, recognises, opening, debit, credit in ACCOUNTS
    ]  # fmt: skip


def fund_balances() -> list[dict[str, Any]]:
    return [
        {
            "fund": fund, "opening_balance": Decimal(opening), "income": Decimal(income), "expense": Decimal(expense),
            "equity_movement": Decimal("0.00"),
            "closing_balance": Decimal(opening) + Decimal(income) - Decimal(expense),
        }
        for fund, opening, income, expense in FUNDS
    ]  # fmt: skip


def balances(accounts: Sequence[Mapping[str, Any]], funds: Sequence[Mapping[str, Any]]) -> Balances:
    """What the controls look at, with every route giving the same."""
    return Balances(
        accounts=[
            AccountBalance(
                a["account_code"], a["fund"], a["account_type"], MIRRORS.get(a["account_code"]),
                opening=to_minor(a["opening_balance"]), debit=to_minor(a["debit"]), credit=to_minor(a["credit"]),
                closing=to_minor(a["closing_balance"]), previous_closing=to_minor(a["opening_balance"]),
                line_debit=to_minor(a["debit"]), line_credit=to_minor(a["credit"]),
            )
            for a in accounts
        ],
        funds={fund["fund"]: to_minor(fund["closing_balance"]) for fund in funds},
    )  # fmt: skip


def month_figures() -> MonthFigures:
    """The same accounts, as the statements want them; nothing to compare with."""
    movements = {a["account_code"]: to_minor(a["debit"]) - to_minor(a["credit"]) for a in trial_balance()}
    accounts = [
        AccountFigures(
            a["account_code"], a["description"], a["account_type"], a["fund"], MIRRORS.get(a["account_code"]),
            a["recognised_type"], opening=to_minor(a["opening_balance"]), debit=to_minor(a["debit"]),
            credit=to_minor(a["credit"]), year_to_date=movements[a["account_code"]],
        )
        for a in trial_balance()
    ]  # fmt: skip
    return MonthFigures(
        "2025-01", accounts, "2025-01", None, None,
        funds={fund["fund"]: to_minor(fund["closing_balance"]) for fund in fund_balances()},
        line_debit=sum(a.debit for a in accounts), line_credit=sum(a.credit for a in accounts),
    )  # fmt: skip


def a_product(txn_type: str, product: str, channel: str, transactions: int, gross: str) -> dict[str, Any]:
    return {
        "txn_type": txn_type, "product_code": product, "channel": channel, "transactions": transactions,
        "gross_amount": Decimal(gross),
    }  # fmt: skip


def a_closed_month() -> CloseReport:
    """January 2025, posted in one batch, closed, in order."""
    return CloseReport(
        month={
            "period": "2025-01", "status": "CLOSED", "closed_at": CLOSED_AT, "closed_by": "dewi", "currency": "IDR",
            "as_of": CLOSED_AT,
        },
        batches=[a_batch()],
        verdicts=[a_verdict(gate) for gate in GATES],
        deliveries=[
            {
                "load_id": 7, "file_name": "january.csv", "rows_in_file": 24_003, "accepted": 24_000, "rejected": 3,
                "skipped": 0, "unchanged": 0, "loaded_by": "feed", "loaded_at": CLOSED_AT, "posted_in": BATCH,
            }
        ],
        source=[
            a_source_row("CLAIM", 4_000, "17254321.34", "7654321.09", "0.00", "9600000.25"),
            a_source_row("PREMIUM", 20_000, "48000000.00", "28800000.00", "7200000.00", "12000000.00"),
        ],
        funds=fund_balances(),
        trial_balance=trial_balance(),
        balances=balances(trial_balance(), fund_balances()),
        exceptions=[],
        refusals=[{"reason": "DUPLICATE_IN_FILE", "open": 0, "acknowledged": 2, "resolved": 1}],
        figures=month_figures(),
        products=[
            a_product("CLAIM", "FAMILY-001", "AGENCY", 4_000, "17254321.34"),
            a_product("PREMIUM", "FAMILY-001", "AGENCY", 15_000, "30000000.00"),
            a_product("PREMIUM", "MOTOR-001", "DIGITAL", 5_000, "18000000.00"),
        ],
        timing=[{
            "batch_id": BATCH, "preflight": Decimal("0.020"), "staging": Decimal("8.500"), "gates": Decimal("0.300"),
            "posting": None, "total": Decimal("1500.000"),
        }],
    )  # fmt: skip


def an_empty_month() -> CloseReport:
    """A first month of the books in which nothing happened; closed all the same."""
    return replace(
        a_closed_month(),
        batches=[a_batch(entry_count=0, line_count=0, first_je_number=None, last_je_number=None)],
        deliveries=[],
        source=[],
        funds=[{**fund, **dict.fromkeys(list(fund)[1:], Decimal("0.00"))} for fund in fund_balances()],
        trial_balance=[],
        balances=Balances([], {}),
        refusals=[],
        figures=MonthFigures("2025-01", [], "2025-01", None, None, {}, 0, 0),
        products=[],
        timing=[],
    )
