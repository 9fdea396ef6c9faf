"""A month leaves the database for files, and comes back: nothing is lost, and everything still answers."""

from ledger_assets.storage.archiving import archive_month, restore_month
from ledger_assets.storage.proving import prove
from ledger_assets_tests.disturbances import facts
from ledger_assets_tests.housekeeping.conftest import FEBRUARY, JANUARY, MARCH, Books
from ledger_assets_tests.scenario import ACTOR, fingerprint


def archived(books: Books, period: str, layer: str = "LEDGER"):
    return archive_month(books.place, period, layer, active_months=0, performed_by=ACTOR)


def findings(books: Books, period: str | None = None) -> list[str]:
    report = prove(books.url, books.home, period, performed_by=ACTOR, archive=books.archive)
    return [str(one) for one in [*report.differences, *report.not_looked_at]]


def test_months_go_and_come_back_byte_for_byte(books: Books):
    before, shown = fingerprint(books.url), facts(books.url)
    for period in (JANUARY, FEBRUARY, MARCH):
        for layer in ("SOURCE", "LEDGER"):
            archived(books, period, layer)
    assert findings(books) == []
    for period in (JANUARY, FEBRUARY, MARCH):
        restored, report = restore_month(books.place, period, ["SOURCE", "LEDGER"], performed_by=ACTOR)
        assert len(restored) == 2
        assert report.verdict == "PROVEN"
    assert facts(books.url) == shown
    assert fingerprint(books.url) == before
    assert findings(books) == []
