"""The close report as a workbook (Excel, LibreOffice): figures to go on with.

Here: cells and their formats. Not here: figures. This module imports xlsxwriter: import it when a paper is written.

What a cell is:

- An amount of at most 15 significant digits is a number. That is what a spreadsheet can hold: its numbers are binary
  doubles, and it reads and shows 15 digits of them.
- A longer amount is text, exact and to the right, and the sheet says so: the nearest number would be another amount.
- A total is a formula over the lines that it adds up, with the exact result stored beside it, if all of them are
  numbers and small enough (a million millions) for binary noise to stay under half of a cent. Else it is the figure.
- A text is a text whatever it begins with. One that would be a formula when somebody edits its cell has the quote
  prefix, which is what a spreadsheet makes of a leading apostrophe.
"""

import io
from collections.abc import Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, Final

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_rowcol_to_cell
from xlsxwriter.worksheet import Worksheet

from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.spreadsheets import spreadsheet_safe
from ledger_assets.accounting.statement_tables import Kind, Line, Statement
from ledger_assets.reporting.close_report import EXACT, CloseReport, amount, moment
from ledger_assets.reporting.sections import Cell, Section, sections
from ledger_assets.reporting.summary import NOT_KNOWN, KeyFigure, Summary, percent, summarize
from ledger_assets.visible import on_one_line

DIGITS: Final = 15
"""Significant digits that a spreadsheet's number has."""

FORMULA_LIMIT: Final = 10**14
"""Minor units. Below it, sums of doubles are exact to well under half a minor unit."""

_NUMBER = "#,##0.00"
_BAD: Final = "#b3261e"
_SHEETS: Final = {
    "trial-balance": "Trial balance",
    "profit-and-loss": "Profit and loss",
    "balance-sheet": "Balance sheet",
    "funds": "Funds",
}
_BEHIND: Final = ("Gates", "Exceptions", "Reconciliation")
_AS_TEXT = "Amounts of more than 15 digits are text, exact to the cent: a spreadsheet's numbers cannot hold them."


def is_a_number(minor: int) -> bool:
    """Whether a spreadsheet can hold the amount exactly."""
    return len(str(abs(minor)).rstrip("0")) <= DIGITS


def render(report: CloseReport) -> bytes:
    """The whole workbook. The same report gives the same bytes."""
    output = io.BytesIO()
    book = xlsxwriter.Workbook(output, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({
        "title": f"Close report {report.period}", "author": "ledger-assets",
        "created": report.month["as_of"].astimezone(UTC).replace(tzinfo=None),
    })  # fmt: skip
    writer = _Writer(book)
    _summary(writer, report)
    for name, title in _SHEETS.items():
        _statement(writer, writer.sheet(title), report, report.statements[name])
    behind = sections(report)
    for title in _BEHIND:
        _sections(writer, writer.sheet(title), report, [s for s in behind if s.sheet == title])
    book.close()
    return output.getvalue()


class _Writer:
    """The workbook with its formats, and how each kind of value is put into a cell."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self.book = book
        self._formats: dict[tuple[Any, ...], Format] = {}
        self._has_text: set[int] = set()

    def sheet(self, title: str) -> Worksheet:
        sheet = self.book.add_worksheet(title)
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_footer(f"&L{title}&Rpage &P of &N")
        sheet.hide_gridlines(2)
        return sheet

    def format(self, **properties: Any) -> Format:
        key = tuple(sorted(properties.items()))
        if key not in self._formats:
            self._formats[key] = self.book.add_format({"font_name": "Arial", "font_size": 10, **properties})
        return self._formats[key]

    def text(self, sheet: Worksheet, row: int, column: int, text: str, **properties: Any) -> None:
        shown = on_one_line(text)
        if spreadsheet_safe(shown) != shown:
            properties = {**properties, "quote_prefix": True}
        sheet.write_string(row, column, shown, self.format(**properties))

    def count(self, sheet: Worksheet, row: int, column: int, value: int, **properties: Any) -> None:
        if is_a_number(value):
            sheet.write_number(row, column, value, self.format(num_format="#,##0", **properties))
        else:
            self.text(sheet, row, column, f"{value:,}", align="right", **properties)

    def amount(self, sheet: Worksheet, row: int, column: int, minor: int | None, **properties: Any) -> None:
        """An amount: a number if it can be one, else exact text."""
        if minor is None:
            self.text(sheet, row, column, NOT_KNOWN, align="right", **properties)
        elif is_a_number(minor):
            # int / int is correctly rounded: the double whose 15 digits are the amount's
            sheet.write_number(row, column, minor / 100, self.format(num_format=_NUMBER, **properties))
        else:
            self._has_text.add(id(sheet))
            self.text(sheet, row, column, amount(from_minor(minor)), align="right", **properties)

    def total(
        self, sheet: Worksheet, row: int, column: int, minor: int | None, formula: str, parts: Sequence[int | None],
        **properties: Any,
    ) -> None:  # fmt: skip
        """A formula over other cells, if all of them are numbers that a sum of doubles keeps; else the amount."""
        exact = [part for part in (minor, *parts) if part is not None and abs(part) < FORMULA_LIMIT]
        if minor is None or not formula or len(exact) != len(parts) + 1:
            self.amount(sheet, row, column, minor, **properties)
            return
        sheet.write_formula(row, column, formula, self.format(num_format=_NUMBER, **properties), minor / 100)

    def note_on_text(self, sheet: Worksheet, row: int) -> None:
        if id(sheet) in self._has_text:
            self.text(sheet, row, 0, _AS_TEXT, italic=True, font_color="#5d6b78")


# ------------------------------------------------------------------------------------------------ statements


def _statement(writer: _Writer, sheet: Worksheet, report: CloseReport, statement: Statement) -> None:
    """Title in row 1, headings in row 3, lines from row 4 on: code, label, amounts."""
    _title(writer, sheet, report, statement.title)
    head = {"bold": True, "bottom": 2, "font_color": "#5d6b78"}
    writer.text(sheet, _HEAD, 0, "Account", **head)
    writer.text(sheet, _HEAD, 1, "", **head)
    for c, column in enumerate(statement.columns, start=2):
        writer.text(sheet, _HEAD, c, column, align="right", **head)
    for n, line in enumerate(statement.lines):
        row = _HEAD + 1 + n
        style = _STYLES[line.kind]
        writer.text(sheet, row, 0, " ".join(line.account_codes), **style)
        writer.text(sheet, row, 1, line.label, **style)
        for c, minor in enumerate(line.amounts):
            formula, parts = _formula(statement, line, row, c)
            bad = {"font_color": _BAD} if statement.is_bad(line, minor) else {}
            writer.total(sheet, row, c + 2, minor, formula, parts, **{**style, **bad})
    row = _HEAD + 2 + len(statement.lines)
    for note in [*statement.notes, *(f"{check.label}: differs" for check in statement.checks if not check.passed)]:
        writer.text(sheet, row, 0, note, italic=True, font_color="#5d6b78")
        row += 1
    writer.note_on_text(sheet, row)
    sheet.freeze_panes(_HEAD + 1, 2)
    sheet.set_column(0, 0, 16)
    sheet.set_column(1, 1, 44)
    for c in range(len(statement.columns)):
        longest = max((len(_shown(line.amounts[c])) for line in statement.lines if line.amounts), default=0)
        sheet.set_column(c + 2, c + 2, max(14, longest + 2, len(statement.columns[c]) + 2))
    sheet.repeat_rows(_HEAD)
    if len(statement.columns) > 3:
        sheet.set_landscape()


_HEAD: Final = 2
_STYLES: Final[dict[Kind, dict[str, Any]]] = {
    Kind.HEADING: {"bold": True, "font_color": "#14506b"},
    Kind.AMOUNT: {},
    Kind.SUBTOTAL: {"bold": True, "bg_color": "#f4f6f8"},
    Kind.TOTAL: {"bold": True, "top": 1, "bottom": 6},
    Kind.CHECK: {"font_color": "#5d6b78"},
}


def _formula(statement: Statement, line: Line, row: int, column: int) -> tuple[str, Sequence[int | None]]:
    """The sum that a cell is, and the amounts that go into it: down its column, or across its line."""
    if line.terms:
        parts = [statement.lines[term.line].amounts[column] for term in line.terms]
        return _down(line, column + 2), parts
    if column in statement.column_sums:
        across = statement.column_sums[column]
        first, last = xl_rowcol_to_cell(row, across[0] + 2), xl_rowcol_to_cell(row, across[-1] + 2)
        return f"=SUM({first}:{last})", [line.amounts[c] for c in across]
    return "", ()


def _down(line: Line, column: int) -> str:
    rows = [term.line + _HEAD + 1 for term in line.terms]
    if all(term.sign == 1 for term in line.terms) and rows == list(range(rows[0], rows[-1] + 1)):
        return f"=SUM({xl_rowcol_to_cell(rows[0], column)}:{xl_rowcol_to_cell(rows[-1], column)})"
    signed = "".join(
        f"{'+' if term.sign > 0 else '-'}{xl_rowcol_to_cell(row, column)}"
        for term, row in zip(line.terms, rows, strict=True)
    )
    # Of two amounts that are equal the doubles' difference may be a trace that is not zero.
    return f"=ROUND({signed.lstrip('+')},2)"


def _shown(minor: int | None) -> str:
    return NOT_KNOWN if minor is None else amount(from_minor(minor))


def _title(writer: _Writer, sheet: Worksheet, report: CloseReport, title: str) -> None:
    currency = f", amounts in {report.month['currency']}" if report.month["currency"] else ""
    writer.text(sheet, 0, 0, f"{title}, {report.period}{currency}", bold=True, font_size=14, font_color="#14506b")
    writer.text(sheet, 1, 0, f"{report.status}; figures as of {moment(report.month['as_of'])}", font_color="#5d6b78")


# ------------------------------------------------------------------------------------------------ the CFO's sheet


def _summary(writer: _Writer, report: CloseReport) -> None:
    """One printed page: key figures with the month before, a chart of the results, what is open, the certificate."""
    sheet = writer.sheet("Summary")
    sheet.fit_to_pages(1, 1)
    _title(writer, sheet, report, f"{report.title}: the month on one page")
    summary = summarize(report)
    head = {"bold": True, "bottom": 2, "font_color": "#5d6b78"}
    columns = ("Figure", report.period, report.figures.previous_period or "Month before", "Change")
    for c, column in enumerate(columns):
        writer.text(sheet, 3, c, column, **head, **({"align": "right"} if c else {}))
    row = _key_figures(writer, sheet, 4, summary)
    for deficit in summary.deficits:
        writer.text(sheet, row, 0, deficit, bold=True, font_color=_BAD)
        row += 1
    writer.text(sheet, row + 1, 0, "The close", bold=True, font_color="#14506b")
    row += 2
    for fact in summary.facts:
        writer.text(sheet, row, 0, fact.label)
        writer.text(sheet, row, 1, fact.text, **({} if fact.is_good else {"font_color": _BAD}))
        row += 1
    row = _lines(writer, sheet, row + 1, "Open points", report.open_points or ["None: everything ties."])
    certificate = str(report.certificate["sha256"]) if report.certificate else report.certificate_refusal or "none made"
    row = _lines(writer, sheet, row + 1, "Certificate (SHA-256)", [certificate])
    writer.note_on_text(sheet, row)
    _results_chart(writer, sheet, row + 2, summary.results, report.month["currency"])
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 3, max(20, *(len(_shown(f.now)) + 2 for f in summary.all_figures)))
    sheet.freeze_panes(4, 1)


def _key_figures(writer: _Writer, sheet: Worksheet, row: int, summary: Summary) -> int:
    """From that row on, in the order of the PDF's page. Returns the row behind them."""
    for group in (summary.results, summary.flows, summary.fund_balances, summary.position):
        for figure in group:
            _key_figure(writer, sheet, row, figure)
            row += 1
        if group is summary.flows:
            writer.text(sheet, row, 0, summary.ratio.label)
            writer.text(sheet, row, 1, percent(summary.ratio.now), align="right")
            writer.text(sheet, row, 2, percent(summary.ratio.before), align="right")
            row += 1
    for figure in summary.counts:
        writer.text(sheet, row, 0, figure.label)
        for c, count in enumerate((figure.now, figure.before, figure.change), start=1):
            if count is None:
                writer.text(sheet, row, c, NOT_KNOWN, align="right")
            else:
                writer.count(sheet, row, c, count)
        row += 1
    return row


def _key_figure(writer: _Writer, sheet: Worksheet, row: int, figure: KeyFigure) -> None:
    style = {"bold": True} if figure.label == "Result of all funds" else {}
    writer.text(sheet, row, 0, figure.label, **style)
    bad = {"font_color": _BAD} if figure.now is not None and figure.now < 0 else {}
    writer.amount(sheet, row, 1, figure.now, **style, **bad)
    writer.amount(sheet, row, 2, figure.before, **style)
    change = f"=ROUND({xl_rowcol_to_cell(row, 1)}-{xl_rowcol_to_cell(row, 2)},2)"
    writer.total(sheet, row, 3, figure.change, change, (figure.now, figure.before), **style)


def _lines(writer: _Writer, sheet: Worksheet, row: int, heading: str, lines: Sequence[str]) -> int:
    writer.text(sheet, row, 0, heading, bold=True, font_color="#14506b")
    for n, line in enumerate(lines, start=1):
        writer.text(sheet, row + n, 0, line)
    return row + len(lines) + 1


def _results_chart(
    writer: _Writer, sheet: Worksheet, row: int, results: Sequence[KeyFigure], currency: str | None
) -> None:
    """The result of each fund, drawn by the spreadsheet from the cells above; none where one of them is text."""
    funds = results[:-1]
    if not funds or not all(f.now is not None and is_a_number(f.now) for f in funds):
        return
    first = 4
    chart = writer.book.add_chart({"type": "bar"})
    cells = f"${first + 1}:$%s${first + len(funds)}"
    chart.add_series({
        "name": f"Result by fund{f' in {currency}' if currency else ''}", "categories": f"=Summary!$A{cells % 'A'}",
        "values": f"=Summary!$B{cells % 'B'}", "fill": {"color": "#14506b"}, "gap": 60,
    })  # fmt: skip
    chart.set_legend({"none": True})
    chart.set_y_axis({"reverse": True, "label_position": "low"})
    chart.set_x_axis({"num_format": "#,##0", "num_font": {"size": 8}})
    chart.set_size({"width": 640, "height": 60 + 40 * len(funds)})
    sheet.insert_chart(row, 0, chart, {"description": "Result of the month by fund"})


# ------------------------------------------------------------------------------------------------ behind the statements


def _sections(writer: _Writer, sheet: Worksheet, report: CloseReport, found: Sequence[Section]) -> None:
    _title(writer, sheet, report, sheet.get_name())
    row, widths = 3, dict[int, int]()
    for section in found:
        writer.text(sheet, row, 0, section.title, bold=True, font_color="#14506b")
        row += 1
        for c, column in enumerate(section.columns):
            align = {} if c < section.text_columns else {"align": "right"}
            writer.text(sheet, row, c, column, bold=True, bottom=2, font_color="#5d6b78", **align)
            widths[c] = max(widths.get(c, 0), len(column))
        if not section.rows:
            writer.text(sheet, row + 1, 0, section.empty, italic=True, font_color="#5d6b78")
        for n, cells in enumerate(section.rows, start=1):
            style = {"bold": True, "bg_color": "#f4f6f8"} if n in section.totals else {}
            for c, cell in enumerate(cells):
                _cell(writer, sheet, row + n, c, cell, is_text=c < section.text_columns, style=style)
                widths[c] = max(widths.get(c, 0), len(cell if isinstance(cell, str) else f"{cell:,}"))
        row += max(1, len(section.rows)) + 1
        for note in section.notes:
            writer.text(sheet, row, 0, note, italic=True, font_color="#5d6b78")
            row += 1
        row += 1
    writer.note_on_text(sheet, row)
    sheet.freeze_panes(2, 0)
    sheet.set_landscape()
    for c, width in widths.items():
        sheet.set_column(c, c, min(60, max(10, width + 2)))


def _cell(
    writer: _Writer, sheet: Worksheet, row: int, column: int, cell: Cell, *, is_text: bool, style: dict[str, Any]
) -> None:
    match cell:
        case int():
            writer.count(sheet, row, column, cell, **style)
        case Decimal():
            writer.amount(sheet, row, column, _minor(cell), **style)
        case _:
            align = {} if is_text else {"align": "right"}
            writer.text(sheet, row, column, cell, **style, **align)


def _minor(value: Decimal) -> int:
    """Whole minor units, however many digits: the context's precision may not round them."""
    return int(EXACT.scaleb(value, 2))
