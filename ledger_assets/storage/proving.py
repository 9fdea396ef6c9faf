"""Everything that a verification of the books proves (E2, A9, E7), and the record of it in the audit trail.

The rows and their seals (`verification`); for the whole ledger also the audit trail (`audit`); the certificates, with
the published files as witnesses from outside of the database (`certificate_findings`). Each of the three is read from
one snapshot of its own and is whole in itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg

from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.verification import DIFFERENT, Finding, Report
from ledger_assets.storage.audit import record, verify_trail
from ledger_assets.storage.certificate_findings import findings
from ledger_assets.storage.database import connect
from ledger_assets.storage.verification import snapshot, verify

_NAME = "ledger-assets verify"
FINDINGS_RECORDED = 20
"""So many findings of a verification are kept in the audit trail, with the number of all."""


def prove(url: str, home: Path, period: str | None = None, *, performed_by: str, archive: Path | None = None) -> Report:
    """Prove the whole ledger, or one month with its certificates; the result is recorded in the audit trail.

    `archive`: where the files of archived months lie. Never raises for what it finds or may not read: the report says
    so. Raises what `connect` raises.
    """
    report = verify(url, period, archive=archive)
    if period is None:
        with _looking(url, report, "audit", "the audit trail") as connection:
            found = verify_trail(connection)
            report.differences += [Finding("audit", "the audit trail", str(one)) for one in found]
    with _looking(url, report, "certificate", "the certificates") as connection:
        for one in findings(connection, home, period):
            places = report.differences if one.differs else report.not_looked_at
            places.append(Finding("certificate", f"certificate of {one.period}", one.problem))
    return recorded(url, report, performed_by=performed_by, period=period)


def recorded(url: str, report: Report, *, performed_by: str, period: str | None = None) -> Report:
    """Write the result into the audit trail; where that is refused, the report says so. Returns the report."""
    told = [str(finding) for finding in [*report.differences, *report.not_looked_at]]
    details: dict[str, Any] = {
        "scope": report.scope,
        "verdict": report.verdict,
        "entries": report.entries,
        "lines": report.lines,
        "seal_chain": f"{report.chain_length} {report.chain_head}".strip(),
    }
    if told:
        details |= {"findings": len(told), "first_findings": told[:FINDINGS_RECORDED]}
    outcome: Literal["SUCCESS", "FAILED"] = "FAILED" if report.verdict == DIFFERENT else "SUCCESS"
    try:
        with connect(url) as connection:
            record(connection, "VERIFY", performed_by=performed_by, outcome=outcome, period=period, **details)
    except psycopg.Error as refusal:
        problem = f"this verification could not be recorded in it: {_first_line(refusal)}"
        report.not_looked_at.append(Finding("audit", "the audit trail", problem))
    return report


@contextmanager
def _looking(url: str, report: Report, what: str, where: str) -> Iterator[psycopg.Connection]:
    """A snapshot to look at; what may not be read, or cannot, was not looked at."""
    with connect(url, application_name=_NAME) as connection:
        snapshot(connection)
        try:
            yield connection
        except (psycopg.ProgrammingError, LedgerError, OSError) as refusal:
            report.not_looked_at.append(Finding(what, where, _first_line(refusal)))


def _first_line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]
