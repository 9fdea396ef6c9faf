"""The papers as they lie there: opened by other programs than those that wrote them, and added up again from the lines.

Nothing of the product is used for what is expected: lines and delivered rows are read with SQL, and what kind of
account one is follows from the first digit of its code, as rules/chart_of_accounts.toml says.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from pypdf import PdfReader

from ledger_assets.accounting.statement_figures import AccountFigures
from ledger_assets.reporting.papers import Written, write_all
from ledger_assets.reporting.pdf import render as render_pdf
from ledger_assets.reporting.reading import read_closed
from ledger_assets.reporting.workbook import is_a_number
from ledger_assets.reporting.workbook import render as render_workbook
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.reporting.close_months import a_batch, a_closed_month, a_product, a_verdict, an_empty_month
from ledger_assets_tests.reporting.page import Page
from ledger_assets_tests.scenario import FIRST_PERIOD, SECOND_PERIOD, rows_of

FUNDS = ("OPERATOR", "TABARRU", "TANAHUD")
OWED = {"2320-10", "2330-10", "1310-20", "1310-30"}
Key = tuple[str, str]
COUNTS = {
    "PREMIUM transactions": "SELECT count(*) FROM source.txn_source WHERE period = %s AND txn_type = 'PREMIUM'",
    "CLAIM transactions": "SELECT count(*) FROM source.txn_source WHERE period = %s AND txn_type = 'CLAIM'",
    "Journal entries": "SELECT count(*) FROM ledger.ledger_entry_header WHERE period = %s",
    "Journal lines": "SELECT count(*) FROM ledger.ledger_entry_line WHERE period = %s",
}
STATEMENT_SHEETS = {
    "trial-balance": "Trial balance", "profit-and-loss": "Profit and loss", "balance-sheet": "Balance sheet",
    "funds": "Funds",
}  # fmt: skip
AMOUNT = re.compile(r"-?\d[\d,]*\.\d\d(?!\d| %)")


@dataclass(frozen=True)
class Books:
    """The papers of February, and the lines and rows of the books that they are about."""

    written: Written
    moved: dict[Key, Decimal]
    debits: dict[Key, Decimal]
    fund_of: dict[str, str]
    delivered: dict[tuple[str, str, str], tuple[int, Decimal]]
    counts: dict[str, tuple[int, int]]

    def movement(self, code: str, *periods: str) -> Decimal:
        return sum((self.moved[period, code] for period in periods), Decimal(0))

    def closing(self, code: str) -> Decimal:
        return self.movement(code, FIRST_PERIOD, SECOND_PERIOD)

    def codes(self, digits: str, fund: str = "") -> list[str]:
        return sorted(c for c, f in self.fund_of.items() if c[0] in digits and fund in ("", f))

    def total(self, digits: str, fund: str = "") -> Decimal:
        return sum((self.closing(code) for code in self.codes(digits, fund)), Decimal(0))


@pytest.fixture(scope="module")
def books(test_server_url: str, closed_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    with cloned(test_server_url, closed_database) as url:
        report = read_closed(url, SECOND_PERIOD)
        assert {batch["batch_id"][:7] for batch in report.batches_before} == {FIRST_PERIOD}
        written = write_all(tmp_path_factory.mktemp("home"), report)
        moved: dict[Key, Decimal] = defaultdict(Decimal)
        debits: dict[Key, Decimal] = defaultdict(Decimal)
        fund_of = {}
        for line in rows_of(url, "SELECT * FROM ledger.ledger_entry_line"):
            key = line["period"], line["account_code"]
            moved[key] += line["debit_amount"] - line["credit_amount"]
            debits[key] += line["debit_amount"]
            fund_of[line["account_code"]] = line["fund"]
        delivered: dict[tuple[str, str, str], tuple[int, Decimal]] = {}
        for row in rows_of(url, "SELECT * FROM source.txn_source WHERE period = %s", SECOND_PERIOD):
            name = row["txn_type"], row["product_code"], row["channel"]
            count, gross = delivered.get(name, (0, Decimal(0)))
            delivered[name] = (count + 1, gross + row["gross_amount"])
        counts = {
            name: tuple(counted(url, query, p) for p in (SECOND_PERIOD, FIRST_PERIOD)) for name, query in COUNTS.items()
        }
        yield Books(written, moved, debits, fund_of, delivered, counts)


def counted(url: str, query: str, period: str) -> int:
    ((count,),) = (tuple(row.values()) for row in rows_of(url, query, period))
    return int(count)


def exact(value: Any) -> Decimal:
    """The amount in a cell: the fifteen digits that a spreadsheet shows of a number."""
    assert isinstance(value, int | float), f"{value!r} is no number"
    return Decimal(f"{value:.15g}").quantize(Decimal("0.01"))


def cells(sheet: Worksheet) -> dict[str, list[Any]]:
    """Code (or label, for a total) -> the amounts of the row."""
    return {str(row[0] or row[1]): list(row[2:]) for row in sheet.iter_rows(min_row=4, values_only=True) if row[1]}


def sheet_of(books: Books, name: str) -> Worksheet:
    return load_workbook(books.written.paths["xlsx"], data_only=True)[name]


def printed(cell: str) -> Decimal:
    return Decimal(cell.replace(",", ""))


# ------------------------------------------------------------------------------------------------ the workbook


def test_the_workbook_has_a_sheet_for_each_question(books: Books):
    assert load_workbook(books.written.paths["xlsx"]).sheetnames == [
        "Summary", "Trial balance", "Profit and loss", "Balance sheet", "Funds",
        "Gates", "Exceptions", "Reconciliation",
    ]  # fmt: skip


def test_the_trial_balance_of_the_workbook_is_the_lines(books: Books):
    rows = cells(sheet_of(books, "Trial balance"))
    for code in books.fund_of:
        opening, moved = books.movement(code, FIRST_PERIOD), books.movement(code, SECOND_PERIOD)
        debit = books.debits[SECOND_PERIOD, code]
        assert [exact(cell) for cell in rows[code]] == [opening, debit, debit - moved, opening + moved]
    for fund in FUNDS:
        assert [exact(c) for c in rows[f"Total {fund}"]][::3] == [0, 0]


def test_the_profit_and_loss_of_the_workbook_is_the_lines(books: Books):
    rows = cells(sheet_of(books, "Profit and loss"))
    everything = [(SECOND_PERIOD,), (FIRST_PERIOD,), (FIRST_PERIOD, SECOND_PERIOD)]
    for code in books.codes("45"):
        sign = -1 if code[0] == "4" else 1
        assert [exact(c) for c in rows[code]] == [sign * books.movement(code, *periods) for periods in everything]
    results = [-sum(books.movement(code, *periods) for code in books.codes("45")) for periods in everything]
    assert [exact(c) for c in rows["Result of all funds"]] == results


def test_the_balance_sheet_of_the_workbook_is_the_lines(books: Books):
    rows = cells(sheet_of(books, "Balance sheet"))
    owed = sum(books.closing(code) for code in OWED if code[0] == "1")
    by_fund = [books.total("1", fund) for fund in FUNDS]
    assets = [exact(c) for c in rows["Total assets"][:5]]
    assert assets == [*by_fund, -owed, sum(by_fund) - owed]
    assert assets == [exact(c) for c in rows["Total liabilities, equity and participants' funds"][:5]]
    before = sum(books.movement(code, FIRST_PERIOD) for code in books.codes("1") if code not in OWED)
    assert exact(rows["Total assets"][5]) == before
    assert rows["Total assets"][6] == "–"


def test_the_funds_of_the_workbook_are_the_lines(books: Books):
    sheet = sheet_of(books, "Funds")
    found = {}
    for _, label, *amounts in sheet.iter_rows(min_row=4, values_only=True):
        if label in FUNDS:
            fund = label
        elif amounts[3] is not None:
            found[fund, label] = (exact(amounts[2]), exact(amounts[3]))
    for fund in FUNDS:
        closing = books.total("12", fund)
        opening = sum(books.movement(code, FIRST_PERIOD) for code in books.codes("12", fund))
        assert found[fund, "Opening balance"] == (opening, 0), "the books begin in January"
        assert found[fund, "Closing balance"] == (closing, closing)
        for label, digit in (("Fees (ujrah)" if fund == "OPERATOR" else "Contributions", "4"), ("Claims", "5")):
            moved = [
                -sum(books.movement(code, *periods) for code in books.codes(digit, fund))
                for periods in ((SECOND_PERIOD,), (FIRST_PERIOD, SECOND_PERIOD))
            ]
            assert list(found[fund, label]) == moved


def test_the_summary_of_the_workbook_is_the_lines(books: Books):
    rows = {row[0]: row[1:4] for row in sheet_of(books, "Summary").iter_rows(min_row=4, values_only=True)}
    paid = -sum(books.movement(code, SECOND_PERIOD) for code in books.codes("4"))
    paid_before = -sum(books.movement(code, FIRST_PERIOD) for code in books.codes("4"))
    claims = sum(books.movement(code, SECOND_PERIOD) for code in books.codes("5"))
    assert [exact(c) for c in rows["Contributions, with fees"]] == [paid, paid_before, paid - paid_before]
    assert exact(rows["Claims"][0]) == claims
    assert rows["Claims / contributions"][0] == f"{round(claims * 100 / paid, 1):,} %"
    for fund in FUNDS:
        result = -sum(books.movement(code, SECOND_PERIOD) for code in books.codes("45", fund))
        assert exact(rows[f"Result {fund}"][0]) == result
        assert exact(rows[f"Net assets {fund}"][0]) == books.total("12", fund)
    for name, (now, before) in books.counts.items():
        assert rows[name] == (now, before, now - before)


def test_every_formula_comes_to_the_figure_that_is_stored_with_it(books: Books):
    path = books.written.paths["xlsx"]
    values, formulas = load_workbook(path, data_only=True), load_workbook(path)
    seen = 0
    for sheet in formulas:
        stored = values[sheet.title]

        def amount(name: str, stored: Worksheet = stored) -> Decimal:
            return exact(stored[name].value)

        for row in sheet.iter_rows():
            for cell in row:
                if cell.data_type == "f":
                    seen += 1
                    assert evaluated(str(cell.value), stored, amount) == amount(cell.coordinate), cell.coordinate
    assert seen > 60


def evaluated(formula: str, sheet: Worksheet, amount: Callable[[str], Decimal]) -> Decimal:
    """The two forms that there are: a sum over cells side by side, and cells added and taken away."""
    if span := re.fullmatch(r"=SUM\(([A-Z]+[0-9]+:[A-Z]+[0-9]+)\)", formula):
        return sum((amount(cell.coordinate) for row in sheet[span[1]] for cell in row), Decimal(0))
    terms = re.fullmatch(r"=ROUND\(((?:[+-]?[A-Z]+[0-9]+)+),2\)", formula)
    assert terms, formula
    parts = re.findall(r"([+-]?)([A-Z]+[0-9]+)", terms[1])
    return sum(((-1 if sign == "-" else 1) * amount(name) for sign, name in parts), Decimal(0))


# ------------------------------------------------------------------------------------------------ PDF, page, CSV


def test_the_pdf_prints_the_figures_of_the_lines(books: Books):
    pages = [page.extract_text() for page in PdfReader(books.written.paths["pdf"]).pages]
    assert f"page 1 of {len(pages)}" in pages[0]
    paid = -sum(books.movement(code, SECOND_PERIOD) for code in books.codes("4"))
    assert "February 2024: the month on one page" in pages[0]
    for figure in (
        paid,
        books.total("12", "TABARRU"),
        sum(books.closing(c) for c in books.codes("1") if c not in OWED),
    ):
        assert f"{figure:,}" in pages[0]
    statements = "\n".join(pages[1:5])
    for code in books.fund_of:
        assert code in statements
        assert f"{books.closing(code):,}" in statements or f"{-books.closing(code):,}" in statements
    assert statements.count("Ties:") == 4
    assert statements.count("For February 2024, amounts in IDR") == 3
    assert statements.count("At 29 February 2024, amounts in IDR") == 1


def test_the_page_shows_the_same_statements(books: Books):
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    rows = {row[0]: row[1:] for row in page.rows["statements"]}
    owed = sum(books.closing(code) for code in OWED if code[0] == "1")
    assert printed(rows["Total assets"][4]) == books.total("1") - owed
    assert printed(rows["Result of all funds"][0]) == -sum(books.movement(c, SECOND_PERIOD) for c in books.codes("45"))
    assert page.text.count("✓ ties") == 3


def test_each_statement_lies_there_as_csv(books: Books):
    for name in ("trial-balance", "profit-and-loss", "balance-sheet", "funds"):
        assert books.written.paths[name].name == f"close-report-{SECOND_PERIOD}-{name}.csv"
    rows = list(csv.DictReader(books.written.paths["trial-balance"].open(encoding="utf-8")))
    closing = {row["account_codes"]: Decimal(row["Closing"]) for row in rows if row["line"] == "amount"}
    assert closing == {code: books.closing(code) for code in books.fund_of}


# The sheets of the workbook are held against the lines above. The other papers have to show the same figures in the
# same order, all of them: what a page leaves out, doubles or moves is seen.


def figures_of_sheet(sheet: Worksheet, first_row: int = 4) -> list[Decimal]:
    cells = (cell for row in sheet.iter_rows(min_row=first_row) for cell in row)
    return [exact(cell.value) for cell in cells if isinstance(cell.value, int | float) and "." in cell.number_format]


def figures_of_text(text: str) -> list[Decimal]:
    return [printed(found) for found in AMOUNT.findall(text)]


def figures_of_rows(rows: list[list[str]]) -> list[Decimal]:
    return figures_of_text("\n".join(cell for row in rows for cell in row))


@pytest.mark.parametrize("name", STATEMENT_SHEETS)
def test_a_statement_has_the_same_figures_in_every_paper(books: Books, name: str):
    expected = figures_of_sheet(sheet_of(books, STATEMENT_SHEETS[name]))
    assert len(expected) > 20
    rows = csv.reader(books.written.paths[name].open(encoding="utf-8").readlines()[1:])
    assert [Decimal(cell) for row in rows for cell in row[4:] if cell] == expected
    pages = [page.extract_text() for page in PdfReader(books.written.paths["pdf"]).pages[1:5]]
    assert figures_of_text(next(p for p in pages if f"\n{STATEMENT_TITLES[name]}\n" in p)) == expected
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    assert figures_of_rows(page_rows(page, name)) == expected


def page_rows(page: Page, name: str) -> list[list[str]]:
    """The rows of a statement on the page: two statements share a section, and fund balances stand before the third."""
    if name == "trial-balance":
        return page.rows["trial-balance"]
    rows = page.rows["funds" if name == "funds" else "statements"]
    begins = [n for n, row in enumerate(rows) if row[0] in STATEMENT_TITLES.values()]
    first = next(n for n in begins if rows[n][0] == STATEMENT_TITLES[name])
    return rows[first : next((n for n in begins if n > first), len(rows))]


STATEMENT_TITLES = {**STATEMENT_SHEETS, "funds": "Fund statements"}


def test_the_page_of_the_cfo_has_the_same_figures_in_every_paper(books: Books):
    sheet = sheet_of(books, "Summary")
    expected = figures_of_sheet(sheet)
    assert len(expected) == (3 * len(FUNDS)) * 2 + 12
    cover = PdfReader(books.written.paths["pdf"]).pages[0].extract_text()
    assert figures_of_text(cover)[: len(expected)] == expected
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    assert figures_of_rows(page.rows["key-figures"]) == expected
    for name, (now, before) in books.counts.items():
        shown = [f"{now:,}", f"{before:,}", f"{now - before:,}"]
        assert page.row("key-figures", name)[1:] == shown
        assert "\n".join([name, *shown]) in cover
    for told in ("10 of 10 passed", "0 open, 0 acknowledged, 0 resolved", "of the target of 20 min"):
        assert told in cover
        assert told in page.text
        assert any(told in str(row[1]) for row in sheet.iter_rows(values_only=True))


def test_the_movements_of_the_funds_are_the_lines_in_table_and_chart(books: Books):
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    cover = PdfReader(books.written.paths["pdf"]).pages[0].extract_text()
    drawn = figures_of_text(cover[cover.index("Movements of the funds in IDR") :])
    for place, fund in enumerate(FUNDS):
        opening = sum(books.movement(code, FIRST_PERIOD) for code in books.codes("12", fund))
        income = -sum(books.movement(code, SECOND_PERIOD) for code in books.codes("4", fund))
        expense = sum(books.movement(code, SECOND_PERIOD) for code in books.codes("5", fund))
        closing = books.total("12", fund)
        assert [printed(c) for c in page.row("funds", fund)[1:]] == [opening, income, expense, 0, closing]
        assert drawn[4 * place : 4 * place + 4] == [opening, income, expense, closing]


def test_the_source_and_its_charts_are_the_delivered_rows(books: Books):
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    text = "\n".join(p.extract_text() for p in PdfReader(books.written.paths["pdf"]).pages)
    for kind in ("PREMIUM", "CLAIM"):
        of_kind = {name: found for name, found in books.delivered.items() if name[0] == kind}
        count, gross = (sum(found[n] for found in of_kind.values()) for n in (0, 1))
        assert [printed(c) for c in page.row("source", kind)[1:3]] == [count, gross]
        for column in (1, 2):
            for name in {key[column] for key in of_kind}:
                found = [of_kind[key] for key in of_kind if key[column] == name]
                bar = f"{sum(g for _, g in found):,}  ({sum(n for n, _ in found):,})"
                assert bar in page.text
                assert bar in text


def test_what_stands_behind_the_statements_is_the_same_in_pdf_and_workbook(books: Books):
    pages = PdfReader(books.written.paths["pdf"]).pages[5:]
    shown = figures_of_text("\n".join(page.extract_text() for page in pages))
    rows = [
        [exact(cell.value) for cell in row if isinstance(cell.value, int | float) and "." in cell.number_format]
        for row in sheet_of(books, "Reconciliation").iter_rows()
    ]
    told = [row for row in rows if row]
    assert len(told) > 25
    starts = {n: shown[n : n + 6] for n in range(len(shown))}
    for row in told:
        assert any(found[: len(row)] == row for found in starts.values()), row


def test_products_and_channels_are_the_delivered_rows(books: Books):
    page = Page(books.written.paths["html"].read_text(encoding="utf-8"))
    shown = {}
    for row in page.rows["products"][1:]:
        if len(row) == 5:
            shown[row[0], row[1], row[2]] = (int(printed(row[3])), printed(row[4]))
    assert shown == books.delivered
    in_workbook = {
        row[:3]: (row[3], exact(row[4]))
        for row in sheet_of(books, "Reconciliation").iter_rows(values_only=True)
        if row[:3] in books.delivered
    }
    assert in_workbook == books.delivered


def test_the_papers_are_the_same_whenever_they_are_written():
    report = a_closed_month()
    assert render_pdf(report) == render_pdf(report)
    assert render_workbook(report) == render_workbook(report)


# ------------------------------------------------------------------------------------------------ difficult months

HUGE = 123_456_789_012_345_678_90


def with_huge_amounts() -> Any:
    report = a_closed_month()
    accounts = [
        replace(a, debit=a.debit + HUGE, credit=a.credit + HUGE, opening=a.opening) for a in report.figures.accounts
    ]
    return replace(report, figures=replace(report.figures, accounts=accounts))


def test_an_amount_that_no_spreadsheet_number_can_hold_is_text_and_said_so(tmp_path: Path):
    written = write_all(tmp_path, with_huge_amounts())
    assert written.problems == {}
    sheet = load_workbook(written.paths["xlsx"])["Trial balance"]
    rows = cells(sheet)
    assert rows["1310-20"][1] == "123,456,789,041,145,678.90"
    assert isinstance(rows["1310-20"][0], int | float)
    assert isinstance(rows["Total OPERATOR"][1], str), "a sum of text is no sum"
    assert any("more than 15 digits" in str(row[0]) for row in sheet.iter_rows(values_only=True))
    assert "123,456,789,041,145,678.90" in "".join(p.extract_text() for p in PdfReader(written.paths["pdf"]).pages)


@pytest.mark.parametrize(
    ("minor", "fits"),
    [(0, True), (999_999_999_999_999, True), (-999_999_999_999_999, True), (1_234_567_890_123_456, False),
     (5_000_000_000_000_000, True), (10**30, True), (10**30 + 1, False)],
)  # fmt: skip
def test_what_a_spreadsheet_can_hold(minor: int, fits: bool):
    assert is_a_number(minor) is fits
    if fits:
        assert Decimal(f"{minor / 100:.15g}") == Decimal(minor) / 100


def test_texts_from_outside_are_texts_in_every_paper(tmp_path: Path):
    evil = '=HYPERLINK("http://x")<b>&amp;</b>{{7*7}}\x1b[31m漢'
    month = a_closed_month()
    report = replace(
        month,
        month={**month.month, "closed_by": evil, "currency": evil},
        verdicts=[a_verdict("record_count", passed=False, detail=evil, expected=evil, actual=evil)],
        exceptions=[{"batch_id": evil, "reason": evil, "count": 1}],
        refusals=[{**month.refusals[0], "reason": evil, "open": 3}],
        products=[a_product(evil, evil, evil, 1, "1.00")],
        timing=[{**month.timing[0], "batch_id": evil}],
        figures=replace(
            month.figures, accounts=[replace(a, description=evil, fund=evil) for a in month.figures.accounts]
        ),
    )
    written = write_all(tmp_path, report)
    assert written.problems == {}
    book = load_workbook(written.paths["xlsx"])
    texts = [cell for sheet in book for row in sheet.iter_rows() for cell in row if str(cell.value).startswith("=HYP")]
    assert len(texts) > 20
    assert {cell.data_type for cell in texts} == {"s"}
    assert all(cell.quotePrefix for cell in texts)
    assert "HYPERLINK" in PdfReader(written.paths["pdf"]).pages[0].extract_text()
    first = next(csv.reader(written.paths["trial-balance"].open(encoding="utf-8").readlines()[1:]))
    assert first[0].startswith("'=HYPERLINK")


def test_an_empty_month_has_all_its_papers(tmp_path: Path):
    written = write_all(tmp_path, an_empty_month())
    assert written.problems == {}
    text = "\n".join(page.extract_text() for page in PdfReader(written.paths["pdf"]).pages)
    assert text.count("No account has a balance or a movement.") == 4
    assert "None: every gate and control passed" in text
    assert load_workbook(written.paths["xlsx"])["Summary"]["A4"].value == "Figure"


def test_a_loss_a_difference_and_a_crowd_of_open_points(tmp_path: Path):
    month = a_closed_month()
    accounts = [replace(a, credit=a.credit + 100) if a.account_code == "1310-20" else a for a in month.figures.accounts]
    lonely = AccountFigures("1399-40", "Due from nobody", "ASSET", "WAQF", "2399-10", opening=5)
    report = replace(
        month,
        batches=[a_batch(), a_batch(batch_id="2025-01-MONTHEND-02")],
        verdicts=[],
        figures=replace(month.figures, accounts=[*accounts, lonely]),
        refusals=[{"reason": f"REASON_{n}", "open": n, "acknowledged": 0, "resolved": 0} for n in range(30)],
    )
    written = write_all(tmp_path, report)
    assert written.problems == {}
    pages = [page.extract_text() for page in PdfReader(written.paths["pdf"]).pages]
    assert "does not mirror and stays in the column Company" in " ".join(" ".join(pages).split())
    assert "differs by" in " ".join(pages)
    assert "more: see the pages behind this one" in pages[0]
    assert "Certificate" in pages[0], "the CFO's page is one page, however much is open"
    assert "Trial balance" in pages[1]


def test_a_deficit_of_a_fund_is_named_in_every_paper(tmp_path: Path):
    month = a_closed_month()
    paid = 3_000_000_000
    more = {"5110-20": {"debit": paid}, "1100-20": {"credit": paid}}
    accounts = [
        replace(a, **{side: getattr(a, side) + minor for side, minor in more.get(a.account_code, {}).items()})
        for a in month.figures.accounts
    ]
    written = write_all(tmp_path, replace(month, figures=replace(month.figures, accounts=accounts)))
    told = "TABARRU owes 8,854,321.09 more than it owns: a qard of the operator or later surpluses have to cover it."
    assert told in " ".join(PdfReader(written.paths["pdf"]).pages[0].extract_text().split())
    assert told in written.paths["html"].read_text(encoding="utf-8")
    assert told in [row[0] for row in load_workbook(written.paths["xlsx"])["Summary"].iter_rows(values_only=True)]
    with ZipFile(written.paths["xlsx"]) as book:
        assert b'"min"' not in book.read("xl/charts/chart1.xml"), "the bars of losses begin at zero"


def test_twelve_funds_have_one_page_and_no_heading_stands_alone():
    month = a_closed_month()
    funds = [f"FUND-{n:02}" for n in range(12)]
    accounts = [
        replace(a, account_code=f"{a.account_code}-{fund}", fund=fund, mirror_account_code=None)
        for fund in funds
        for a in month.figures.accounts[:6]
    ]
    report = replace(
        month,
        funds=[{**month.funds[0], "fund": fund} for fund in funds],
        figures=replace(month.figures, accounts=accounts, funds=None),
    )
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(render_pdf(report))).pages]
    assert "Certificate" in pages[0]
    assert "Trial balance" in pages[1]
    for page in pages:
        *_, last = page[: page.index("Figures as of")].strip().splitlines()
        assert not last.endswith(("statement of surplus or deficit", *funds[:1])), last


def test_a_chart_of_many_products_leaves_none_out(tmp_path: Path):
    """Thirty products: the six smallest are one bar, which says how many and how much."""
    products = [a_product("PREMIUM", f"PRODUCT-{n:02}", "AGENCY", n, f"{n}000.00") for n in range(1, 31)]
    written = write_all(tmp_path, replace(a_closed_month(), products=products))
    page = written.paths["html"].read_text(encoding="utf-8")
    assert page.count("(6 others)") == 1
    assert "21,000.00  (21)" in page
    pages = PdfReader(written.paths["pdf"]).pages
    assert "(6 others)" in "".join(p.extract_text() for p in pages)


def test_a_paper_that_cannot_be_written_is_told_and_the_others_are_there(tmp_path: Path):
    first = write_all(tmp_path, an_empty_month())
    pdf = first.paths["pdf"]
    pdf.unlink()
    (pdf / "in the way").mkdir(parents=True)
    written = write_all(tmp_path, a_closed_month())
    assert written.problems.keys() == {"pdf"}
    assert "close-report-2025-01.pdf" in written.problems["pdf"]
    assert written.paths.keys() == first.paths.keys() - {"pdf"}
    assert not list(pdf.parent.glob(".*")), "nothing half-written stays"


def test_no_old_paper_passes_for_that_of_this_close(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = write_all(tmp_path, an_empty_month()).paths["xlsx"]

    def fault(_: Any) -> bytes:
        raise ValueError("no room for it")

    monkeypatch.setattr("ledger_assets.reporting.workbook.render", fault)
    written = write_all(tmp_path, a_closed_month())
    assert "no room for it" in written.problems["xlsx"]
    assert not old.exists()
