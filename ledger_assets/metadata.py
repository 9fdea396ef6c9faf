"""What people read in the Dagster UI: tables, amounts and small charts, made from rows.

Belongs here: turning rows into metadata values. Not here: which rows an asset shows.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from dagster import MetadataValue, TableMetadataValue, TableRecord

from ledger_assets.accounting.verification import Report
from ledger_assets.visible import on_one_line, visible

ROWS_SHOWN = 20
BAR_WIDTH = 40


def table(records: Sequence[Mapping[str, Any]], shown: int = ROWS_SHOWN) -> TableMetadataValue | MetadataValue:
    """A table of the first records; amounts with thousands separators, everything as text. No record: a note."""
    if not records:
        return MetadataValue.text("none")  # markdown is hidden behind a link in the events of a run
    return MetadataValue.table(
        [TableRecord({column: text(value) for column, value in record.items()}) for record in records[:shown]]
    )


def text(value: Any) -> str:
    """A value as people write it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | Decimal():
            return f"{value:,}"
        case _:
            return visible(str(value))


def bars(amounts: Mapping[str, Decimal]) -> MetadataValue:
    """A bar chart in text: one bar per name, negative ones hollow, scaled to the largest."""
    if not amounts:
        return MetadataValue.text("none")  # markdown is hidden behind a link in the events of a run
    largest = max((abs(amount) for amount in amounts.values()), default=Decimal(0)) or Decimal(1)
    name_width, amount_width = max(map(len, amounts)), max(len(f"{amount:,}") for amount in amounts.values())
    lines = []
    for name, amount in amounts.items():
        label = on_one_line(name).replace("`", "'")  # three of them would end the fence
        bar = ("█" if amount >= 0 else "░") * int(abs(amount) * BAR_WIDTH / largest)
        lines.append(f"{label:<{name_width}}  {amount:>{amount_width},}  {bar}")
    return MetadataValue.md("```\n" + "\n".join(lines) + "\n```")


def report_metadata(report: Report) -> dict[str, Any]:
    """What a verification read and found; the first rows that differ."""
    findings = [
        {"finding": title, "what": finding.what, "where": finding.where, "problem": finding.problem}
        for title, found in (("differs", report.differences), ("not looked at", report.not_looked_at))
        for finding in found
    ]
    rows = [row for finding in report.differences for row in finding.rows if "column" in row]
    return {
        "verdict": report.verdict,
        "batches": report.batches,
        "blocks": report.blocks,
        "entries": report.entries,
        "lines": report.lines,
        "chain_length": report.chain_length,
        "chain_head": report.chain_head or "none",
        **({"findings": table(findings)} if findings else {}),
        **({"rows_that_differ": table(rows)} if rows else {}),
    }
