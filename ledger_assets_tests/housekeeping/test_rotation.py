"""Month partitions made ahead: once, beside whatever runs, and nobody waits for it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ledger_assets.storage.database import connect
from ledger_assets.storage.housekeeping import refresh_statistics, rotate
from ledger_assets_tests.disturbances import held, waiting_backend
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import ACTOR, close_directly, deliver, execute, fingerprint, rows_of, value_of
from ledger_assets_tests.waiting import PATIENCE

ROOTS = ("source.txn_source", "ledger.je_header", "ledger.je_line")
AHEAD = ["2024_03", "2024_04", "2024_05", "2024_06"]


def months(url: str) -> list[str]:
    found = rows_of(
        url,
        "SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = ANY (%s::regclass[])",
        list(ROOTS),
    )
    return sorted(row["name"] for row in found)


def test_the_open_month_and_three_after_it_are_made_once(closed_url: str, tmp_path):
    before = fingerprint(closed_url)
    planned = rotate(closed_url, performed_by=ACTOR, dry_run=True)
    assert sorted(planned.partitions) == sorted(f"{root}_{month}" for root in ROOTS for month in AHEAD)
    assert {name[-7:] for name in months(closed_url)} == {"2024_01", "2024_02"}
    done = rotate(closed_url, performed_by=ACTOR)
    assert (sorted(done.partitions), done.left) == (sorted(planned.partitions), [])
    assert {name[-7:] for name in months(closed_url)} == {"2024_01", "2024_02", *AHEAD}
    assert rotate(closed_url, performed_by=ACTOR).partitions == []
    assert fingerprint(closed_url) == before
    assert value_of(closed_url, "SELECT count(*) FROM audit.batch_operation WHERE operation = 'ROTATE_PARTITIONS'") == 4
    deliver(closed_url, "2024-03", folder=tmp_path)
    assert close_directly(closed_url, "2024-03").refused_by == frozenset()
    assert rotate(closed_url, performed_by=ACTOR).partitions == [f"{root}_2024_07" for root in ROOTS]


def test_partitions_made_ahead_are_those_that_a_close_makes(closed_url: str):
    rotate(closed_url, ahead=0, performed_by=ACTOR)
    shape = (
        "SELECT (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid) AS guards, relkind, "
        "relacl::text, relowner::regrole::text AS owner, pg_get_partkeydef(c.oid) AS key "
        "FROM pg_class c WHERE oid = %s::regclass"
    )
    for root in ROOTS:
        assert rows_of(closed_url, shape, f"{root}_2024_03") == rows_of(closed_url, shape, f"{root}_2024_02")


@pytest.mark.parametrize("lock", [
    "LOCK TABLE ledger.je_line IN SHARE UPDATE EXCLUSIVE MODE",  # a posting that starts a month
    "SELECT ledger.open_period('2024-03')",  # a close that has just opened it
])  # fmt: skip
def test_what_somebody_holds_is_left_to_him(closed_url: str, lock):
    with held(closed_url, lock):
        done = rotate(closed_url, ahead=0, performed_by=ACTOR)
        assert done.partitions == []
    rotate(closed_url, ahead=0, performed_by=ACTOR)
    assert "txn_source_2024_03" in months(closed_url)


def test_readers_and_a_running_close_do_not_wait_for_it(closed_url: str):
    with closing(connect(superuser(closed_url))) as reader, closing(connect(closed_url)) as maker:
        reader.execute("SELECT count(*) FROM ledger.ledger_entry_line")  # holds every root to its end
        maker.execute("SELECT control.make_partitions('2024-03', 'x')")
        reader.execute("SELECT count(*) FROM ledger.ledger_entry_line")
        maker.commit()


def test_a_close_that_needs_the_month_just_then_waits_and_finds_it(closed_url: str):
    with closing(connect(closed_url)) as maker, ThreadPoolExecutor(1) as other:
        maker.execute("SELECT control.make_partitions('2024-03', 'x')")
        opening = other.submit(
            execute, closed_url, "SELECT ledger.open_period('2024-03'), source.open_period('2024-03')"
        )
        waiting_backend(closed_url)
        maker.commit()
        opening.result(timeout=PATIENCE)
    assert "je_header_2024_03" in months(closed_url)


def test_statistics_are_made_of_what_has_none(closed_url: str):
    """Nothing prepared these months: that is what close_report does last."""
    assert refresh_statistics(closed_url) == 6
    assert refresh_statistics(closed_url) == 0
    assert (
        value_of(closed_url, "SELECT count(*) FROM pg_stats WHERE schemaname = 'control' AND tablename = 'batch'") > 0
    )
