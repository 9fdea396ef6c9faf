"""Books that nobody touched are proven."""

from ledger_assets.storage.verification import verify
from ledger_assets_tests.scenario import FIRST_PERIOD, SECOND_PERIOD


def test_books_that_nobody_touched_are_proven(closed_url: str) -> None:
    report = verify(closed_url)
    assert (report.differences, report.not_looked_at) == ([], [])
    assert report.verdict == "PROVEN"
    assert (report.batches, report.blocks, report.chain_length) == (2, 6, 2)
    months = [verify(closed_url, period) for period in (FIRST_PERIOD, SECOND_PERIOD)]
    assert [month.verdict for month in months] == ["PROVEN", "PROVEN"]
    assert sum(month.entries for month in months) == report.entries > 0
    assert sum(month.lines for month in months) == report.lines
