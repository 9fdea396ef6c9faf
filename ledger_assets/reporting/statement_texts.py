"""A statement as text: for a terminal, as CSV for spreadsheets, as JSON for programs."""

import csv
import io
from typing import Any

from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.spreadsheets import spreadsheet_safe
from ledger_assets.accounting.statement_tables import Amount, Kind, Statement
from ledger_assets.visible import on_one_line

_INDENT = "  "


def statement_csv(statement: Statement) -> str:
    """As CSV: exact amounts with two decimals and no separators, empty where there is nothing to compare with."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fund", "line", "label", "account_codes", *(spreadsheet_safe(c) for c in statement.columns)])
    for line in statement.lines:
        if line.kind is Kind.HEADING:
            continue
        codes = spreadsheet_safe(" ".join(line.account_codes))
        amounts = ["" if minor is None else str(from_minor(minor)) for minor in line.amounts]
        writer.writerow([spreadsheet_safe(line.fund), line.kind.value, spreadsheet_safe(line.label), codes, *amounts])
    return text.getvalue()


def statement_text(statement: Statement, period: str) -> str:
    """As columns of characters, as wide as the amounts are; the checks that failed below it."""
    rows: list[tuple[str, list[str]]] = [("", list(statement.columns))]
    for line in statement.lines:
        indent = _INDENT if line.kind is Kind.AMOUNT else ""
        codes = f"  {' '.join(line.account_codes)}" if line.account_codes else ""
        rows.append((on_one_line(f"{indent}{line.label}{codes}"), [_printed(minor) for minor in line.amounts]))
    label_width = max(len(label) for label, _ in rows)
    widths = [max(len(cells[c]) for _, cells in rows if cells) for c in range(len(statement.columns))]
    lines = [f"{statement.title} {period}"]
    for place, (label, cells) in enumerate(rows):
        if place and statement.lines[place - 1].kind is Kind.HEADING:
            lines.append("")
        figures = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
        lines.append(f"{label:<{label_width}}{figures}".rstrip())
    failed = [f"DIFFERS: {c.label}: {_printed(c.difference)}" for c in statement.checks if not c.passed]
    return "\n".join([*lines, "", *statement.notes, *failed, "ties" if statement.ties else "DOES NOT TIE"]) + "\n"


def statement_record(statement: Statement) -> dict[str, Any]:
    """As JSON has it: amounts as text, null where there is nothing to compare with."""
    return {
        "statement": statement.name,
        "title": statement.title,
        "columns": list(statement.columns),
        "lines": [
            {
                "kind": line.kind.value,
                "fund": line.fund or None,
                "label": line.label,
                "account_codes": list(line.account_codes),
                "amounts": [None if minor is None else str(from_minor(minor)) for minor in line.amounts],
            }
            for line in statement.lines
        ],
        "ties": statement.ties,
        "checks": [
            {
                "check": check.label,
                "expected": str(from_minor(check.expected)),
                "actual": str(from_minor(check.actual)),
                "difference": str(from_minor(check.difference)),
                "passed": check.passed,
            }
            for check in statement.checks
        ],
        "notes": list(statement.notes),
    }


def _printed(minor: Amount) -> str:
    return "–" if minor is None else f"{from_minor(minor):,}"
