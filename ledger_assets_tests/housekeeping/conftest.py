"""Books of five months with everything that books may have, certified, so that months can be archived."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger_assets.storage.archives import Layer
from ledger_assets.storage.archiving import ArchivedMonth, Place, archive_month
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.proving import prove
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.logins import batch_admin
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, close_directly, deliver
from ledger_assets_tests.seal.test_lawful_changes import certify

JANUARY, FEBRUARY, MARCH, APRIL = "2024-01", "2024-02", "2024-03", "2024-04"


class Books(NamedTuple):
    """A ledger, and the directory of its certificates and archives."""

    url: str
    home: Path

    @property
    def archive(self) -> Path:
        return self.home / "archive"

    @property
    def place(self) -> Place:
        return Place(self.url, batch_admin(self.url), self.archive)


@pytest.fixture(scope="session")
def lived_in_database(
    test_server_url: str, closed_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Four months: February with a late batch and one that was rolled back, March with a reversal of it and a late
    transaction of January, all closed and certified.
    """
    home = tmp_path_factory.mktemp("lived-in")
    with cloned(test_server_url, closed_database) as url:
        deliver(url, FEBRUARY, folder=home, rows=10, seed=8)
        close_directly(url, FEBRUARY)
        with connect(batch_admin(url)) as connection:
            roll_back(
                connection,
                "2024-02-MONTHEND-02",
                reason="wrong",
                confirmation="2024-02-MONTHEND-02",
                performed_by=ACTOR,
            )
        close_directly(url, FEBRUARY)
        certify(url, home, FEBRUARY)
        deliver(url, MARCH, folder=home)
        deliver(url, JANUARY, folder=home, rows=5, seed=9)  # late: booked in March
        reverse_batch(
            url, "2024-02-MONTHEND-03", opened_by=batch_admin(url), into_period=MARCH, reason="wrong",
            confirmation="2024-02-MONTHEND-03", first_period=FIRST_PERIOD, performed_by=ACTOR,
        )  # fmt: skip
        close_directly(url, MARCH)
        certify(url, home, MARCH)
        deliver(url, APRIL, folder=home)
        close_directly(url, APRIL)
        certify(url, home, APRIL)
        yield database_name(url), home


def archived(books: Books, period: str, layer: Layer = "LEDGER") -> ArchivedMonth:
    """Take a month to files, although it is still active."""
    return archive_month(books.place, period, layer, active_months=0, performed_by=ACTOR)


def findings(books: Books, period: str | None = None) -> tuple[str, list[str]]:
    """The verdict of a verification, and everything that it found."""
    report = prove(books.url, books.home, period, performed_by=ACTOR, archive=books.archive)
    return report.verdict, [str(one) for one in [*report.differences, *report.not_looked_at]]


@pytest.fixture
def books(test_server_url: str, lived_in_database: tuple[str, Path], tmp_path: Path) -> Iterator[Books]:
    """Such books of this test's own."""
    name, home = lived_in_database
    shutil.copytree(home, tmp_path / "home")
    with cloned(test_server_url, name) as url:
        yield Books(url, tmp_path / "home")
