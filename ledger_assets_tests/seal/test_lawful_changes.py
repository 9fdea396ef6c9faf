"""What the product itself does to posted books breaks no seal, no link of the audit trail and no certificate.

Each story ends as its month's close does, with a certificate, and everything is proven then; and before, when a newer
close has none yet, that is said and nothing else.
"""

from pathlib import Path

import pytest

from ledger_assets.accounting.verification import Report
from ledger_assets.settings import Settings
from ledger_assets.storage import periods
from ledger_assets.storage.certificate_findings import examine
from ledger_assets.storage.certificates import issue
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import connect
from ledger_assets.storage.derived_batches import close_year, reverse_batch
from ledger_assets.storage.proving import prove
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import ACTOR, close_directly, deliver, store_rules
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

MARCH, DECEMBER = "2024-03", "2024-12"


def certify(url: str, home: Path, period: str) -> int:
    """The number of the close that was certified."""
    with connect(url) as connection:
        issued = issue(connection, Settings(home=home), period, performed_by=ACTOR)
    return int(issued.document["certificate"]["close_number"])


def proven(url: str, home: Path, period: str | None = None) -> Report:
    report = prove(url, home, period, performed_by=ACTOR)
    assert [str(finding) for finding in [*report.differences, *report.not_looked_at]] == []
    return report


def as_certified(url: str, home: Path, *months: str) -> None:
    """As `ledger-assets certificate --all-lines` looks at them."""
    for period in months:
        with connect(url) as connection:
            examined = examine(connection, home, period, all_lines=True)
        assert examined is not None
        assert [str(finding) for finding in examined.findings] == []


def only_not_certified_yet(url: str, home: Path, period: str, close_number: int) -> None:
    report = prove(url, home, performed_by=ACTOR)
    assert report.verdict == "INCOMPLETE"
    problem = f"close {close_number} of the month has none yet; materialize close_report"
    assert [str(finding) for finding in report.not_looked_at] == [f"certificate of {period}: {problem}"]


def rolled_back(url: str, batch_id: str, *, chain: bool = False) -> None:
    with connect(batch_admin(url)) as connection:
        roll_back(connection, batch_id, reason="wrong file", confirmation=batch_id, performed_by=ACTOR, chain=chain)


def reversed_(url: str, batch_id: str, into: str) -> None:
    reverse_batch(
        url, batch_id, opened_by=batch_admin(url), into_period=into, reason="wrong", confirmation=batch_id,
        first_period=JANUARY, performed_by=ACTOR,
    )  # fmt: skip


def reopened(url: str, period: str) -> None:
    with connect(batch_admin(url)) as connection:
        periods.reopen(connection, period, reason="an invoice was missing", performed_by=ACTOR, chain=True)


@pytest.fixture
def books(closed_url: str, tmp_path: Path) -> str:
    """January and February, closed and certified."""
    certify(closed_url, tmp_path, FEBRUARY)
    proven(closed_url, tmp_path)
    return closed_url


def test_a_rollback_and_the_same_again(books: str, tmp_path: Path) -> None:
    """The balances are what they were; the batch, which the first certificate names, is another one."""
    rolled_back(books, "2024-02-MONTHEND")
    proven(books, tmp_path)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)
    close_directly(books, FEBRUARY)
    only_not_certified_yet(books, tmp_path, FEBRUARY, 2)
    assert certify(books, tmp_path, FEBRUARY) == 2
    assert proven(books, tmp_path).batches == 3
    proven(books, tmp_path, FEBRUARY)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)


def test_a_rollback_of_two_months(books: str, tmp_path: Path) -> None:
    rolled_back(books, "2024-01-MONTHEND", chain=True)
    proven(books, tmp_path)
    for period in (JANUARY, FEBRUARY):
        close_directly(books, period)
        assert certify(books, tmp_path, period) == 2
    proven(books, tmp_path)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)


def test_a_late_batch_and_its_rollback(books: str, tmp_path: Path) -> None:
    deliver(books, FEBRUARY, folder=tmp_path, seed=9, rows=10)
    close_directly(books, FEBRUARY)
    only_not_certified_yet(books, tmp_path, FEBRUARY, 2)
    assert certify(books, tmp_path, FEBRUARY) == 2
    proven(books, tmp_path)
    rolled_back(books, "2024-02-MONTHEND-02")  # the month stays closed, on the balances without the batch
    only_not_certified_yet(books, tmp_path, FEBRUARY, 3)
    assert certify(books, tmp_path, FEBRUARY) == 3
    proven(books, tmp_path)
    close_directly(books, FEBRUARY)  # which books its load again
    assert certify(books, tmp_path, FEBRUARY) == 4
    proven(books, tmp_path)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)


def test_a_reversal_in_the_next_month(books: str, tmp_path: Path) -> None:
    reversed_(books, "2024-02-MONTHEND", MARCH)
    proven(books, tmp_path)
    close_directly(books, MARCH)
    certify(books, tmp_path, MARCH)
    proven(books, tmp_path)
    as_certified(books, tmp_path, FEBRUARY, MARCH)


def test_a_month_that_was_reopened_for_a_late_load(books: str, tmp_path: Path) -> None:
    reopened(books, JANUARY)
    proven(books, tmp_path)
    deliver(books, JANUARY, folder=tmp_path, seed=9, rows=10)
    for period in (JANUARY, FEBRUARY):
        close_directly(books, period)
    assert [certify(books, tmp_path, period) for period in (JANUARY, FEBRUARY)] == [2, 2]
    proven(books, tmp_path)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)


def test_a_month_that_was_reopened_for_nothing_keeps_its_certificate(books: str, tmp_path: Path) -> None:
    reopened(books, JANUARY)
    for period in (JANUARY, FEBRUARY):
        close_directly(books, period)
    assert [certify(books, tmp_path, period) for period in (JANUARY, FEBRUARY)] == [1, 1]
    proven(books, tmp_path)


def test_a_month_may_stand_on_an_earlier_close_of_the_one_before(books: str, tmp_path: Path) -> None:
    """January takes a batch and its reversal: February opens as it did, and its certificate names January's first."""
    reopened(books, JANUARY)
    deliver(books, JANUARY, folder=tmp_path, seed=9, rows=10)
    close_directly(books, JANUARY)
    reopened(books, JANUARY)
    reversed_(books, "2024-01-MONTHEND-02", JANUARY)
    for period in (JANUARY, FEBRUARY):
        close_directly(books, period)
    assert [certify(books, tmp_path, period) for period in (JANUARY, FEBRUARY)] == [3, 1]
    proven(books, tmp_path)
    as_certified(books, tmp_path, JANUARY, FEBRUARY)


def test_the_year_end(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, DECEMBER, folder=tmp_path)
    close_directly(ledger_url, DECEMBER, first_period=DECEMBER)
    assert certify(ledger_url, tmp_path, DECEMBER) == 1
    close_year(
        ledger_url, "2024", opened_by=batch_admin(ledger_url), reason="year end", confirmation="2024",
        first_period=DECEMBER, performed_by=ACTOR,
    )  # fmt: skip
    only_not_certified_yet(ledger_url, tmp_path, DECEMBER, 2)
    assert certify(ledger_url, tmp_path, DECEMBER) == 2
    proven(ledger_url, tmp_path)
    as_certified(ledger_url, tmp_path, DECEMBER)
