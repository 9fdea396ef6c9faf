"""What the papers show behind the statements: gates, source, products, exceptions, batches, certificate; as tables.

Here: which rows. The PDF and the workbook print the same ones; the page has more room and a layout of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.accounting.money import from_minor
from ledger_assets.reporting.close_report import CloseReport, in_words, moment

Cell = str | int | Decimal
"""Texts, counts, amounts in major units."""


@dataclass(frozen=True)
class Section:
    """A table with its charts.

    Attributes:
        sheet: in which sheet of the workbook it stands.
        text_columns: so many columns from the left are text, the others figures.
        totals: rows, counted from 1, that add up others.
        empty: what is said when there is no row.
    """

    title: str
    sheet: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    text_columns: int = 1
    charts: Sequence[str] = ()
    totals: Sequence[int] = ()
    notes: Sequence[str] = ()
    empty: str = ""


def sections(report: CloseReport) -> list[Section]:
    """In the order of the papers."""
    return [made for make in _SECTIONS for made in make(report)]


def _gates(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = []
    for gate in report.gates:
        found = gate.verdict or {"expected": "", "actual": "", "difference": "", "detail": "never put to this batch"}
        rows.append([
            gate.batch_id, in_words(gate.name), gate.outcome, found["detail"],
            found["expected"], found["actual"], found["difference"],
        ])  # fmt: skip
    rows += [
        [
            "balances", in_words(control.gate), "passed" if control.passed else "failed", control.detail,
            control.expected, control.actual, control.difference,
        ]
        for control in report.controls
    ]  # fmt: skip
    columns = ("Of", "Gate or control", "Verdict", "Detail", "Expected", "Actual", "Difference")
    return [Section("Gates and controls", "Gates", columns, rows, 4, ("gates",))]


def _reconciliation(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = []
    totals = []
    for row in report.source:
        posted = "as delivered and posted" if row["is_posted"] else "delivered, not posted yet"
        rows.append([
            row["txn_type"], posted, row["transactions"], row["gross_amount"], *(row[name] for name in COMPONENTS)
        ])  # fmt: skip
    for recognition in report.recognitions:
        said = "as the funds show it" if recognition.passed else "as the funds show it: DIFFERS"
        rows.append([recognition.txn_type, said, "", "", *(recognition.recognised[name] for name in COMPONENTS)])
        totals.append(len(rows))
    total = report.all_accounts
    ties: list[list[Cell]] = [
        ["Trial balance", total.debit, total.credit],
        ["Posted lines, added up again", report.line_debit, report.line_credit],
    ]
    said = "The four figures agree." if report.ties else "THE FOUR FIGURES DO NOT AGREE."
    return [
        Section(
            "Source and funds", "Reconciliation",
            ("Type", "Route", "Count", "Gross", "Tabarru'", "Tanahud", "Ujrah"), rows, 2,
            totals=totals, empty="No transaction was delivered for this month.",
        ),
        Section("Trial balance and lines", "Reconciliation", ("Route", "Debits", "Credits"), ties, notes=(said,)),
        *_checks(report),
    ]  # fmt: skip


def _checks(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = [
        [
            statement.title, check.label, "ties" if check.passed else "DIFFERS",
            from_minor(check.expected), from_minor(check.actual), from_minor(check.difference),
        ]
        for statement in report.statements.values()
        for check in statement.checks
    ]  # fmt: skip
    columns = ("Statement", "Check", "Verdict", "Expected", "Actual", "Difference")
    return [Section("What the statements are checked against", "Reconciliation", columns, rows, 3)] if rows else []


def _products(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = []
    totals = []
    for kind in report.by_product:
        rows += [
            [row["txn_type"], row["product_code"], row["channel"], row["transactions"], row["gross_amount"]]
            for row in kind.rows
        ]
        said = "as posted" if kind.ties else "as posted: DIFFERS from the rows above"
        rows.append([kind.txn_type, said, "", kind.transactions, kind.gross_amount])
        totals.append(len(rows))
    if not rows:
        return []
    columns = ("Type", "Product", "Channel", "Count", "Gross")
    title = "Contributions and claims by product and channel"
    return [Section(title, "Reconciliation", columns, rows, 3, ("products", "channels"), totals)]


def _exceptions(report: CloseReport) -> list[Section]:
    exceptions: list[list[Cell]] = [[row["reason"], row["batch_id"], row["count"]] for row in report.exceptions]
    refused: list[list[Cell]] = [
        [row["reason"], row["open"], row["acknowledged"], row["resolved"]] for row in report.refusals
    ]
    return [
        Section(
            "Open exceptions", "Exceptions", ("Reason", "Batch", "Transactions"), exceptions, 2, ("exceptions",),
            empty="No exception is open.",
        ),
        Section(
            "Refused rows, by their first reason", "Exceptions",
            ("Reason", "Open", "Acknowledged", "Resolved"), refused,
            empty="No row was refused.",
        ),
        *_late(report),
    ]  # fmt: skip


def _late(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = [
        [row["original_period"], row["booked_in"], row["batch_id"], row["transactions"], row["gross_amount"]]
        for row in report.late
    ]
    columns = ("Of", "Booked in", "Batch", "Transactions", "Gross")
    return [Section("Late transactions", "Exceptions", columns, rows, 3)] if rows else []


def _batches(report: CloseReport) -> list[Section]:
    rows: list[list[Cell]] = [
        [
            batch["batch_id"], in_words(batch["state"]).lower(), batch["rules"], batch["posted_by"] or "–",
            moment(batch["posted_at"]), batch["entry_count"], batch["line_count"],
        ]
        for batch in report.batches
    ]  # fmt: skip
    closes: list[list[Cell]] = [
        [
            str(close["close_number"]), moment(close["closed_at"]), close["closed_by"] or "–", close["batches"],
            moment(close["reopened_at"]), close["reopened_by"] or "–", close["reopen_reason"] or "–",
        ]
        for close in report.closes
    ]  # fmt: skip
    found = [
        Section(
            "Batches", "Gates", ("Batch", "State", "Rules", "Posted by", "Posted at", "Entries", "Lines"), rows, 5,
            ("timing",), empty="The month has no batch yet.",
        )
    ]  # fmt: skip
    if len(closes) > 1:
        columns = ("Close", "Closed at", "By", "Batches until then", "Reopened at", "By", "Reason")
        found.append(Section("Closes of this month", "Gates", columns, closes, 7))
    return found


_SECTIONS: Final[Sequence[Callable[[CloseReport], list[Section]]]] = (
    _gates,
    _reconciliation,
    _products,
    _exceptions,
    _batches,
)
