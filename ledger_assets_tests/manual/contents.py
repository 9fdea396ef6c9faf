"""The manual's pages with commands in them, and what is not run of them. A new page is one line here."""

from typing import Final, NamedTuple


class Page(NamedTuple):
    """A page, and the fixture of conftest.py that makes the books on which its reader begins."""

    path: str
    books: str


PAGES: Final = (
    Page("README.md", "demonstration"),
    Page("docs/operating.md", "deliveries"),
    Page("docs/troubleshooting.md", "three_months"),
    Page("docs/go-live.md", "three_months"),
    Page("docs/starting.md", "no_books"),
    Page("docs/workers.md", "no_books"),
    Page("docs/reports.md", "three_months"),
    Page("docs/alerts.md", "an_incident"),
    Page("docs/runbook.md", "one_wrong_load"),
    Page("docs/housekeeping.md", "three_months"),
    Page("docs/rollback.md", "something_wrong"),
    Page("docs/backup.md", "own_server"),
    Page("docs/periods.md", "late_file"),
    Page("docs/certificate.md", "three_months"),
    Page("docs/seal.md", "three_months"),
    Page("docs/audit-trail.md", "three_months"),
    Page("docs/queries.md", "three_months"),
)

NOT_RUN: Final = {
    "make demo": "takes minutes; the set-up of README.md makes the same months, whose figures its queries show",
    "make test": "the tests are running already",
}
"""The beginning of a command -> why nobody types it here, and which other test does the same."""

OTHER_PAGES: Final = {
    "docs/benchmark.md": "measures; ledger_assets_tests/benchmarks run the command on few rows",
    "docs/faults.md": "takes hours; test_fault_campaign.py runs a few faults",
    "examples/lgpif/README.md": "its data is not part of the project; test_mapping.py reads both mappings",
}
"""Pages with commands that are no part of the manual, and what looks after them."""
