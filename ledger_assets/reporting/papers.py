"""The papers of a month in their places: page, PDF, workbook, and each statement as CSV (B8).

Here: where they lie, and that nobody ever opens half of one. Not here: what stands on them.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ledger_assets.accounting.months import first_day
from ledger_assets.accounting.statements import STATEMENTS
from ledger_assets.reporting import page
from ledger_assets.reporting.close_report import CloseReport
from ledger_assets.reporting.filing import put
from ledger_assets.reporting.statement_texts import statement_csv


@dataclass(frozen=True)
class Written:
    """The papers of a month: those that lie there, and those that could not be made, each with why."""

    paths: Mapping[str, Path]
    problems: Mapping[str, str] = field(default_factory=dict)


def report_path(home: Path, period: str) -> Path:
    """Where the page of a month lies. Raises PeriodError: a path may not be built from any other text."""
    return _path(home, period, ".html")


def write(home: Path, report: CloseReport) -> Path:
    """Render the page into its place: whoever opens it sees the old one or the new one, never half of one."""
    return put(report_path(home, report.period), page.render(report).encode())


def write_all(home: Path, report: CloseReport) -> Written:
    """The page, then the others. What goes wrong with the page is raised; a problem with one of the others is told.

    The month is closed already when its papers are written: a paper that fails may not say otherwise. One that could
    not be made is taken away, so that an old one does not pass for this close's.
    """
    paths, problems = {"html": write(home, report)}, {}
    for name, (ending, make) in _OTHERS.items():
        path = _path(home, report.period, ending)
        try:
            paths[name] = put(path, make(report))
        except Exception as fault:  # noqa: BLE001 (whatever it is, it is told, and the next paper is made)
            problems[name] = f"{path.name}: {type(fault).__name__}: {fault}"
            with suppress(OSError):
                path.unlink()
    return Written(paths, problems)


def _csv(name: str) -> Callable[[CloseReport], bytes]:
    return lambda report: statement_csv(report.statements[name]).encode()


def _pdf(report: CloseReport) -> bytes:
    from ledger_assets.reporting.pdf import render  # noqa: PLC0415 (reportlab is imported to write, not to read)

    return render(report)


def _workbook(report: CloseReport) -> bytes:
    from ledger_assets.reporting.workbook import render  # noqa: PLC0415

    return render(report)


_OTHERS: Final[Mapping[str, tuple[str, Callable[[CloseReport], bytes]]]] = {
    "pdf": (".pdf", _pdf),
    "xlsx": (".xlsx", _workbook),
    **{name: (f"-{name}.csv", _csv(name)) for name in STATEMENTS},
}
"""The papers beside the page: ending of the name, and what makes it."""


def _path(home: Path, period: str, ending: str) -> Path:
    first_day(period)
    return home / "reports" / period / f"close-report-{period}{ending}"
