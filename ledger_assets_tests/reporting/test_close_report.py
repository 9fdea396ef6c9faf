"""The close report: what the page says is what was read, and it adds up as printed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_assets.accounting.balances import Balances
from ledger_assets.accounting.gates import GATES
from ledger_assets.reporting import filing
from ledger_assets.reporting.close_report import CloseReport
from ledger_assets.reporting.page import render
from ledger_assets.reporting.papers import report_path, write
from ledger_assets_tests.reporting.close_months import (
    ACCOUNTS,
    BATCH,
    FUNDS,
    a_batch,
    a_closed_month,
    a_product,
    a_source_row,
    a_verdict,
    an_empty_month,
    trial_balance,
)
from ledger_assets_tests.reporting.page import Page


def printed(cells: Sequence[str]) -> list[Decimal]:
    return [Decimal(cell.replace(",", "")) for cell in cells]


def added(rows: Sequence[Sequence[str]]) -> list[Decimal]:
    """The four amounts at the end of each row, column by column."""
    return [sum(column, Decimal(0)) for column in zip(*(printed(row[-4:]) for row in rows), strict=True)]


def test_a_month_in_order_has_no_open_point():
    page = Page(render(a_closed_month()))
    assert a_closed_month().open_points == []
    assert "In order." in page.text
    assert page.texts["status"] == "Closed"
    assert page.texts["entries"] == "24,000"
    assert page.texts["lines"] == "192,000"
    assert "1 – 24,000" in page.texts["numbers"]
    assert "closed 2025-02-03 18:20 UTC by dewi" in page.text
    assert "approved 2024-12-20 09:00 UTC by siti, prepared by agus" in page.text


def test_the_printed_trial_balance_adds_up_fund_by_fund_and_as_a_whole():
    page = Page(render(a_closed_month()))
    for fund in ("OPERATOR", "TABARRU", "TANAHUD"):
        codes = [code for code, *_, of, _, _, _, _ in ACCOUNTS if of == fund]
        subtotal = next(row for row in page.rows["trial-balance"] if row[0].startswith(f"{fund}✓"))
        assert added([page.row("trial-balance", code) for code in codes]) == printed(subtotal[-4:])
        opening, debit, credit, closing = printed(subtotal[-4:])
        assert (opening, closing, debit) == (0, 0, credit)
    for code, *_ in ACCOUNTS:
        opening, debit, credit, closing = printed(page.row("trial-balance", code)[-4:])
        assert opening + debit - credit == closing
    total = printed(page.row("trial-balance", "All funds")[-4:])
    assert added([page.row("trial-balance", code) for code, *_ in ACCOUNTS]) == total
    debits = f"{total[1]:,}"
    assert page.texts["tie"].count(debits) == 4
    assert "The four figures agree." in page.text


def test_the_printed_fund_balances_follow_from_their_movements():
    page = Page(render(a_closed_month()))
    for fund, *_ in FUNDS:
        opening, income, expense, equity, closing = printed(page.row("funds", fund)[1:])
        assert opening + income - expense + equity == closing


def test_what_was_delivered_stands_next_to_what_the_funds_show():
    page = Page(render(a_closed_month()))
    for txn_type in ("PREMIUM", "CLAIM"):
        delivered = page.row("source", txn_type)
        shown = page.row("source", f"{txn_type} as the funds show it")
        assert delivered[-3:] == shown[-3:]
        assert printed(delivered[2:3])[0] == sum(printed(delivered[-3:]))


def test_amounts_keep_every_digit():
    accounts = trial_balance()
    accounts[0]["debit"] = Decimal("123456789012345678901234567890.01")
    page = render(replace(a_closed_month(), trial_balance=accounts))
    assert page.count("123,456,789,012,345,678,901,234,567,890.01") == 1
    assert "123,456,789,012,345,678,901,287,822,211.35" in page  # the total: more digits than Decimal adds by itself


def test_the_page_is_self_contained():
    page = render(a_closed_month())
    tags = {tag for tag, _ in Page(page).tags}
    attributes = {attribute for _, given in Page(page).tags for attribute in given}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not attributes & {"src", "href", "srcset", "style"}
    assert not any(text in page for text in ("http", "url(", "@import"))


def test_texts_from_outside_stay_texts():
    hostile = "\"><script>alert('x')</script>&amp;{{ 7 * 7 }}"
    month = a_closed_month()
    report = replace(
        month,
        month={**month.month, "closed_by": hostile, "currency": hostile},
        batches=[a_batch(started_by=hostile, approved_by=hostile, rules=hostile)],
        verdicts=[a_verdict(gate, passed=False, detail=hostile, expected=hostile) for gate in GATES],
        deliveries=[{**month.deliveries[0], "file_name": hostile}],
        source=[{**month.source[0], "txn_type": hostile}],
        funds=[{**fund, "fund": hostile} for fund in month.funds],
        trial_balance=[{**account, "description": hostile, "fund": hostile} for account in month.trial_balance],
        exceptions=[{"batch_id": BATCH, "reason": hostile, "count": 1}],
        refusals=[{**month.refusals[0], "reason": hostile}],
        figures=replace(
            month.figures,
            accounts=[replace(account, description=hostile, fund=hostile) for account in month.figures.accounts],
        ),
        products=[a_product(hostile, hostile, hostile, 1, "1.00")],
        timing=[{**month.timing[0], "batch_id": hostile}],
    )
    page = Page(render(report))
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(hostile) >= 20
    assert "49" not in page.row("source", hostile)[0]


@pytest.mark.parametrize(
    ("break_it", "point"),
    [
        (lambda m: replace(m, month={**m.month, "status": "OPEN", "closed_at": None}), "The month is not closed"),
        (lambda m: replace(m, batches=[a_batch(last_je_number=24_001)]), "numbers have a gap"),
        (lambda m: replace(m, batches=[a_batch(attempt=3)]), f"{BATCH}: record count not evaluated"),
        (lambda m: replace(m, verdicts=m.verdicts[1:]), f"{BATCH}: record count not evaluated"),
        (lambda m: replace(m, verdicts=[a_verdict("source_unchanged", passed=False)]), "source unchanged failed"),
        (lambda m: replace(m, balances=Balances(m.balances.accounts, {})), "fund balances agree failed"),
        (lambda m: replace(m, source=[a_source_row("CLAIM", 1, "1", "1", "0", "0")]), "CLAIM: the funds do not show"),
        (lambda m: replace(m, trial_balance=m.trial_balance[1:]), "OPERATOR does not balance on its own"),
        (lambda m: replace(m, trial_balance=[]), "Trial balance and posted lines differ"),
        (
            lambda m: replace(m, source=[*m.source, a_source_row("CLAIM", 1_250, "1", "1", "0", "0", is_posted=False)]),
            "1,250 delivered transactions are in no posted batch",
        ),
        (
            lambda m: replace(m, exceptions=[{"batch_id": BATCH, "reason": "NO_TEMPLATE", "count": 1_004}]),
            "1,004 transactions are in the exception queue",
        ),
        (
            lambda m: replace(m, products=[*m.products, a_product("CLAIM", "FAMILY-001", "BANCA", 0, "0.01")]),
            "CLAIM by product is not what was posted",
        ),
        (
            lambda m: replace(m, figures=replace(m.figures, funds={})),
            "Balance sheet does not tie: Net assets of OPERATOR",
        ),
        (
            lambda m: replace(m, refusals=[{"reason": "GROSS", "open": 2, "acknowledged": 0, "resolved": 0}]),
            "2 refused rows are open",
        ),
    ],
)
def test_what_is_not_in_order_stands_at_the_top(break_it: Callable[[CloseReport], CloseReport], point: str):
    page = Page(render(break_it(a_closed_month())))
    before_the_sections = page.text[: page.text.index("Batches\n")]
    assert point in before_the_sections
    assert "In order." not in page.text


def test_what_year_ends_and_reversals_moved_was_not_delivered():
    accounts = trial_balance()
    fees = next(account for account in accounts if account["account_code"] == "4210-10")
    fees["debit"] += Decimal("1000.00")
    report = replace(a_closed_month(), trial_balance=accounts)
    assert [r.passed for r in report.recognitions] == [True, False]
    fees["derived"] = Decimal("1000.00")
    report = replace(a_closed_month(), trial_balance=accounts)
    assert [r.passed for r in report.recognitions] == [True, True]


def test_a_rolled_back_batch_is_listed_but_asked_for_no_gate_and_counts_for_nothing():
    month = a_closed_month()
    gone = a_batch(batch_id="2025-01-MONTHEND-01", state="ROLLED_BACK", entry_count=99, first_je_number=90_001)
    report = replace(month, batches=[gone, *month.batches])
    assert report.entry_count == 24_000
    assert report.open_points == []
    assert Page(render(report)).row("batches", "2025-01-MONTHEND-01")[1] == "rolled back"


def test_an_empty_month_says_so_and_is_in_order():
    page = Page(render(an_empty_month()))
    assert an_empty_month().open_points == []
    assert "In order." in page.text
    assert page.texts["entries"] == "0"
    assert page.texts["numbers"].startswith("none")
    for sentence in ("No transaction was delivered", "No account has a balance", "No exception is open", "No row was"):
        assert sentence in page.text


def test_the_page_lies_where_its_path_says_and_nothing_else_does(tmp_path: Path):
    path = write(tmp_path, an_empty_month())
    path = write(tmp_path, a_closed_month())
    assert path == report_path(tmp_path, "2025-01") == tmp_path / "reports/2025-01/close-report-2025-01.html"
    assert path.read_text(encoding="utf-8") == render(a_closed_month())
    assert list(path.parent.iterdir()) == [path]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, an_empty_month())
    old = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(filing.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, a_closed_month())
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]
