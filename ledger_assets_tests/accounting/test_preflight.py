"""What is enough for a close to start, and that each refusal says what to do."""

import pytest

from ledger_assets.accounting.preflight import (
    BYTES_PER_TRANSACTION,
    LEAST_FREE,
    SLOWEST_WRITE,
    Connections,
    announced_totals_arrived,
    disk_space,
    free_connections,
    prerequisites_complete,
    write_probe,
)


def test_the_tightest_limit_of_connections_counts():
    limits = {"server": (97, 20), "database": (None, 12), "login": (10, 5)}
    assert free_connections(Connections(limits), 5).passed
    short = free_connections(Connections(limits), 6)
    assert not short.passed
    assert (short.expected, short.actual) == ("6", "5")
    assert "free by the limit of the login: expected 6, found 5" in short.detail
    assert "Fix: " in short.detail


@pytest.mark.parametrize(("missing", "passed"), [(0, True), (1, False)])
def test_the_disk_needs_room_for_the_rows_that_wait(missing: int, passed: bool):
    needed = 1_000_000 * BYTES_PER_TRANSACTION + LEAST_FREE
    verdict = disk_space(1_000_000, needed - missing, "/srv/ledger")
    assert verdict.passed is passed
    assert "1,000,000 transactions take about 1,018 MiB" in verdict.detail
    assert ("Fix: free space in /srv/ledger" in verdict.detail) is not passed


def test_what_is_staged_already_needs_no_room_again():
    needed = 250_000 * BYTES_PER_TRANSACTION + LEAST_FREE
    resumed = disk_space(1_000_000, needed, "/srv/ledger", rows_staged=750_000)
    assert resumed.passed
    assert "250,000 transactions of 1,000,000, the others are staged already, take about 302 MiB" in resumed.detail
    assert not disk_space(1_000_000, needed - 1, "/srv/ledger", rows_staged=750_000).passed
    assert disk_space(10, LEAST_FREE, "/srv/ledger", rows_staged=20).passed, "a load was withdrawn meanwhile"


def test_a_disk_that_cannot_be_seen_is_told_and_refuses_nothing():
    verdict = disk_space(10, None, "the database server")
    assert verdict.passed
    assert verdict.actual == "not known"
    assert "cannot be seen from here" in verdict.detail


def test_a_write_has_its_time_and_more():
    assert write_probe(SLOWEST_WRITE).passed
    assert "12 ms" in write_probe(12).detail
    slow = write_probe(SLOWEST_WRITE + 1)
    assert not slow.passed
    assert (slow.actual, "Fix: " in slow.detail) == ("10,001 ms", True)
    refused = write_probe(None, "cannot execute INSERT in a read-only transaction")
    assert not refused.passed
    assert "read-only transaction. Fix: " in refused.detail


def test_what_the_database_decided_is_what_is_said():
    failure = ("2024-01 waits: PAYROLL is FAILED", "report it")
    row = {"prerequisite": "PAYROLL", "status": "FAILED", "required": False, "reported_at": "now", "blocks": True}
    verdict = prerequisites_complete([row, row | {"prerequisite": "AP", "blocks": False}], failure)
    assert (verdict.passed, verdict.actual) == (False, "1 of 2")
    assert verdict.detail == "2024-01 waits: PAYROLL is FAILED. Fix: report it"
    assert announced_totals_arrived([], None).detail == "no totals were announced"
    assert not announced_totals_arrived([], failure).passed, "a late month's totals may be what differs"
