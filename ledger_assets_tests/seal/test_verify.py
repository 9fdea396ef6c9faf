"""Books that nobody touched are proven."""

import pytest

from ledger_assets.storage.database import connect
from ledger_assets.storage.verification import Verification, verify
from ledger_assets_tests.logins import superuser
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


def test_who_loses_the_connection_reads_everything_again(closed_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_balances, reports = Verification.check_balances, []

    def cut_off_once(verification: Verification) -> None:
        reports.append(verification.report)
        if len(reports) == 1:
            with connect(superuser(closed_url)) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [verification.connection.info.backend_pid])
        check_balances(verification)

    monkeypatch.setattr(Verification, "check_balances", cut_off_once)
    report = verify(closed_url)
    assert (report.verdict, report.batches) == ("PROVEN", 2)
    assert len(reports) == 2
    assert report is reports[1]
