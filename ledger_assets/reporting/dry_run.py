"""The report of a dry run: what was measured, what is projected, every gate, and the recommendation (A10).

`render` turns a result into a page and does nothing else; `write` puts the page and its JSON where they belong. The
page is self-contained, and shows counts, totals and times, never a transaction.
"""

import json
from dataclasses import asdict
from pathlib import Path

from ledger_assets.accounting.months import first_day
from ledger_assets.accounting.progress import duration
from ledger_assets.close_result import CloseResult
from ledger_assets.reporting.filing import put, template
from ledger_assets.visible import visible_in_json


def render(result: CloseResult) -> str:
    """The page. Pure: the same result gives the same text."""
    return template("dry_run.html.j2", {"duration": _duration}).render(result=result, run=result.dry_run)


def report_path(home: Path, period: str) -> Path:
    """Where the report of a month's last dry run lies. Raises PeriodError: a path is built from no other text."""
    first_day(period)
    return home / "reports" / period / f"dry-run-{period}.html"


def write(home: Path, result: CloseResult) -> Path:
    """Write page and JSON over those of the dry run before; whoever opens one sees the old or the new, never half."""
    path = report_path(home, result.period)
    figures = visible_in_json(json.dumps(asdict(result), indent=2, default=str, ensure_ascii=False))
    put(path.with_suffix(".json"), figures.encode())
    put(path, render(result).encode())
    return path


def _duration(seconds: float | None) -> str:
    """With tenths below a minute: a small month is told apart from nothing."""
    if seconds is None:
        return "not measured"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
