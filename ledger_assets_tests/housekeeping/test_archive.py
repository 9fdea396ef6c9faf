"""A month leaves the database for files, and comes back: nothing is lost, and what cannot be answered is said."""

from contextlib import closing
from pathlib import Path

import polars as pl
import psycopg
import pytest
from dagster import AssetSelection

from ledger_assets.accounting.seal_proof import check_proof
from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.storage import housekeeping, periods
from ledger_assets.storage.archived_rows import ArchiveAltered
from ledger_assets.storage.archives import archives, due, is_archived
from ledger_assets.storage.archiving import archive_month, restore_month
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.certificate_findings import examine
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import connect
from ledger_assets.storage.derived_batches import close_year, reverse_batch
from ledger_assets.storage.entry_proofs import prove_entry
from ledger_assets.storage.export import MonthChanged, export
from ledger_assets_tests.disturbances import facts
from ledger_assets_tests.housekeeping.conftest import APRIL, FEBRUARY, JANUARY, MARCH, Books, archived, findings
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import (
    ACTOR,
    FIRST_PERIOD,
    batch_of,
    close_directly,
    deliver,
    execute,
    fingerprint,
    generated,
    load,
    materialized,
    opened,
    rows_of,
    store_rules,
    trial_balance,
    value_of,
)
from ledger_assets_tests.seal.test_lawful_changes import certify

BOTH = ("SOURCE", "LEDGER")
JANUARYS = "2024-01-MONTHEND"


def restored(books: Books, *months: str) -> None:
    for period in months:
        _, report = restore_month(books.place, period, BOTH, performed_by=ACTOR)
        assert report is not None
        assert report.verdict == "PROVEN"


def source_rows(url: str) -> list[dict[str, object]]:
    return rows_of(url, "SELECT * FROM source.txn_source ORDER BY period, load_id, row_number")


# ------------------------------------------------------------------------------------------------ there and back


def test_months_go_and_come_back_byte_for_byte(books: Books):
    before, shown, source = fingerprint(books.url), facts(books.url), source_rows(books.url)
    for period in (JANUARY, FEBRUARY, MARCH):
        for layer in BOTH:
            assert archived(books, period, layer).rows > 0
    assert value_of(books.url, f"SELECT count(*) FROM ledger.ledger_entry_line WHERE period < '{APRIL}'") == 0
    assert findings(books) == ("PROVEN", [])
    restored(books, JANUARY, FEBRUARY, MARCH)
    assert facts(books.url) == shown
    assert fingerprint(books.url) == before
    assert source_rows(books.url) == source
    assert findings(books) == ("PROVEN", [])


def test_a_month_that_came_back_can_be_corrected_and_goes_again_to_another_directory(books: Books):
    archived(books, MARCH)
    restored_once = restore_month(books.place, MARCH, BOTH, performed_by=ACTOR)[0]
    with connect(batch_admin(books.url)) as connection:
        periods.reopen(connection, MARCH, reason="late", performed_by=ACTOR, chain=True)
    deliver(books.url, MARCH, folder=books.home, rows=7, seed=77)
    for period in (MARCH, APRIL):
        close_directly(books.url, period)
        certify(books.url, books.home, period)
    assert archived(books, MARCH).directory == "2024-03/ledger-2"
    assert restored_once[0].directory == "2024-03/ledger-1"
    assert findings(books) == ("PROVEN", [])


def test_a_year_end_goes_and_comes_back(ledger_url: str, tmp_path: Path):
    december, books = "2024-12", Books(ledger_url, tmp_path)
    store_rules(ledger_url)
    deliver(ledger_url, december, folder=tmp_path)
    close_directly(ledger_url, december, first_period=december)
    close_year(
        ledger_url, "2024", opened_by=batch_admin(ledger_url), reason="year end", confirmation="2024",
        first_period=december, performed_by=ACTOR,
    )  # fmt: skip
    certify(ledger_url, tmp_path, december)
    before = fingerprint(ledger_url)
    for layer in BOTH:
        archived(books, december, layer)
    assert findings(books) == ("PROVEN", [])
    restored(books, december)
    assert fingerprint(ledger_url) == before


def test_restored_leaves_are_guarded_like_those_that_were_posted(books: Books):
    def leaves() -> list[dict[str, object]]:
        return rows_of(
            books.url,
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound, "
            "(SELECT array_agg(pg_get_constraintdef(x.oid) ORDER BY pg_get_constraintdef(x.oid)) FROM pg_constraint x "
            " WHERE conrelid = c.oid) AS rules, (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger t "
            " WHERE t.tgrelid = c.oid) AS guards, "
            "(SELECT array_agg(x.relname ORDER BY x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid "
            " WHERE i.indrelid = c.oid) AS keys "
            "FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' AND c.relname ~ '2024_01' ORDER BY 1",
        )

    from ledger_assets.storage.books import prepare_for_readers  # noqa: PLC0415

    prepare_for_readers(books.url, JANUARY)
    before = leaves()
    for layer in BOTH:
        archived(books, JANUARY, layer)
    restored(books, JANUARY)
    assert leaves() == before
    may = rows_of(
        books.url,
        "SELECT c.relname FROM pg_class c, unnest(ARRAY['ledger_engine', 'batch_admin']) AS r "
        "WHERE c.relispartition AND c.relkind = 'r' AND has_table_privilege(r, c.oid, 'INSERT')",
    )
    assert may == []


# ------------------------------------------------------------------------------------------------ what still answers


def test_an_archived_month_still_answers(books: Books, monkeypatch: pytest.MonkeyPatch):
    balances = trial_balance(books.url, JANUARY)
    with connect(books.url) as connection:
        certified = examine(connection, books.home, MARCH, all_lines=True, archive=books.archive)
    for period in (JANUARY, MARCH):
        for layer in BOTH:
            archived(books, period, layer)
    assert trial_balance(books.url, JANUARY) == balances
    with connect(books.url) as connection:
        examined = examine(connection, books.home, MARCH, all_lines=True, archive=books.archive)
    assert examined == certified
    report, proof = prove_entry(books.url, JANUARY, 17, books.archive)
    assert (report.verdict, check_proof(proof)) == ("PROVEN", [])
    assert findings(books, JANUARY) == ("PROVEN", [])
    monkeypatch.setenv("LEDGER_HOME", str(books.home))
    run = materialized(books.url, JANUARY, AssetSelection.all())
    failed = [event.step_failure_data.error.to_string() for event in run.all_events if event.is_step_failure]
    assert not failed, failed[0]
    assert [check.check_name for check in run.get_asset_check_evaluations() if not check.passed] == []
    assert findings(books) == ("PROVEN", [])


def test_a_check_that_finds_no_file_says_so_and_not_that_the_balances_are_wrong(
    books: Books, monkeypatch: pytest.MonkeyPatch
):
    archived(books, JANUARY)
    lines = next((books.archive / JANUARY / "ledger-1").glob("*.lines.parquet"))
    lines.rename(lines.with_suffix(".away"))
    monkeypatch.setenv("LEDGER_HOME", str(books.home))
    run = materialized(books.url, JANUARY, AssetSelection.assets("account_balance_snapshot"))
    assert not run.success
    assert [check for check in run.get_asset_check_evaluations() if not check.passed] == []
    failed = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert any(lines.name in str(failure.error) for failure in failed)


def test_an_export_whose_month_is_archived_while_it_reads_is_refused_and_leaves_no_file(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def archived_meanwhile(connection: psycopg.Connection, period: str) -> bool:
        there = is_archived(connection, period)
        archived(books, period)
        return there

    monkeypatch.setattr("ledger_assets.storage.export.is_archived", archived_meanwhile)
    with connect(books.url) as connection, pytest.raises(MonthChanged, match="2024-03: 0 of its"):
        export(connection, MARCH, tmp_path / "march", notation="hledger", archive=books.archive)
    assert list(tmp_path.glob("march*")) == []


@pytest.mark.parametrize("notation", ["hledger", "beancount"])
def test_an_export_is_the_same_from_the_files_and_is_not_there_when_they_do_not_prove(
    books: Books, tmp_path: Path, notation: str
):
    """With late transactions, a batch that was rolled back, and a reversal."""
    files = {period: tmp_path / f"{period}.{notation}" for period in (JANUARY, FEBRUARY, MARCH)}

    def exported(period: str) -> str:
        with connect(books.url) as connection:
            export(connection, period, files[period], notation=notation, archive=books.archive)
        return files[period].read_text()

    before = {period: exported(period) for period in files}
    for period in files:
        archived(books, period)
    assert {period: exported(period) for period in files} == before
    files[MARCH].unlink()
    lines = max((books.archive / MARCH / "ledger-1").glob("*.lines.parquet"))
    lines.write_bytes(lines.read_bytes()[:-1])
    with pytest.raises(ArchiveAltered, match=lines.name):
        exported(MARCH)
    assert list(tmp_path.glob(f"{MARCH}*")) == []


# ------------------------------------------------------------------------------------------------ what is refused


def test_an_archived_month_is_not_rolled_back_reversed_or_reopened(books: Books):
    archived(books, FEBRUARY)
    before = fingerprint(books.url)
    original = batch_of(books.url, FEBRUARY).batch_id
    with closing(connect(batch_admin(books.url))) as connection:
        for attempt in (
            lambda: roll_back(
                connection, JANUARYS, reason="x", confirmation=JANUARYS, performed_by=ACTOR, chain=True
            ),
            lambda: periods.reopen(connection, FEBRUARY, reason="x", performed_by=ACTOR, chain=True),
            lambda: periods.reopen(connection, JANUARY, reason="x", performed_by=ACTOR, chain=True),
            lambda: reverse_batch(
                books.url, "2024-02-MONTHEND", opened_by=batch_admin(books.url), into_period="2024-05", reason="x",
                confirmation="2024-02-MONTHEND", first_period=FIRST_PERIOD, performed_by=ACTOR,
            ),
        ):  # fmt: skip
            with pytest.raises(BatchStateError, match=f"run ledger-assets restore {FEBRUARY} first"):
                attempt()
            connection.rollback()
    assert fingerprint(books.url) == before
    assert original == "2024-02-MONTHEND-03"


def test_a_batch_whose_transactions_are_archived_is_not_rolled_back(books: Books):
    """Its loads would wait to be posted again, without a row. March booked a late load of January."""
    archived(books, JANUARY, "SOURCE")
    batch_id, refused = batch_of(books.url, MARCH).batch_id, f"run ledger-assets restore {JANUARY} --source first"
    with connect(batch_admin(books.url)) as connection, pytest.raises(BatchStateError, match=refused):
        roll_back(connection, batch_id, reason="x", chain=True, performed_by=ACTOR, confirmation=batch_id)


def test_what_was_measured_of_archived_entries_is_not_measured_away(books: Books):
    for layer in BOTH:
        archived(books, JANUARY, layer)
    with connect(books.url) as connection, pytest.raises(Exception, match="entries of 2024-01 are archived"):
        connection.execute("SELECT control.measure_worker('2024-01-MONTHEND', 1)")
    with connect(books.url) as connection, pytest.raises(Exception, match="transactions of 2024-01 are archived"):
        connection.execute("SELECT control.measure_load(1)")
    assert findings(books, JANUARY) == ("PROVEN", [])


def test_a_late_file_for_a_month_without_its_transactions_is_refused_and_the_same_file_known(
    books: Books, tmp_path: Path
):
    """Without the rows that are there already, one that comes twice would be booked twice."""
    same = generated(tmp_path, JANUARY)
    archived(books, JANUARY, "SOURCE")
    assert load(books.url, same, JANUARY).already_loaded
    other = generated(tmp_path, JANUARY, rows=6, seed=55)
    with pytest.raises(LoadRefusedError, match=f"run ledger-assets restore {JANUARY} --source first"):
        load(books.url, other, JANUARY)
    restore_month(books.place, JANUARY, ["SOURCE"], performed_by=ACTOR)
    overlapping = tmp_path / "overlapping.csv"
    pl.concat([pl.read_csv(same, infer_schema=False), pl.read_csv(other, infer_schema=False)]).write_csv(overlapping)
    result = load(books.url, overlapping, JANUARY)
    assert (result.unchanged_count + result.rejected_count, result.accepted_count) == (60, 6)


# ------------------------------------------------------------------------------------------------ what may go


@pytest.mark.parametrize(("layer", "period", "active", "problem"), [
    ("LEDGER", "2024-05", 0, "only a closed month can be archived"),
    ("LEDGER", MARCH, 2, "it is one of the 2 newest closed months, which stay"),
    ("SOURCE", MARCH, 2, "it is one of the 2 newest closed months, which stay"),
])  # fmt: skip
def test_a_month_that_may_not_go_stays(books: Books, layer: str, period: str, active: int, problem: str):
    before = fingerprint(books.url)
    for dry_run in (True, False):
        with pytest.raises(BatchStateError, match=problem):
            archive_month(books.place, period, layer, active_months=active, performed_by=ACTOR, dry_run=dry_run)
    assert fingerprint(books.url) == before
    assert not books.archive.exists() or not list(books.archive.rglob("*.parquet"))


def test_a_month_without_certificate_or_about_to_be_reversed_stays(closed_url: str, tmp_path: Path):
    books = Books(closed_url, tmp_path)
    with pytest.raises(BatchStateError, match="its close has no certificate"):
        archived(books, JANUARY)
    certify(closed_url, tmp_path, FEBRUARY)
    with connect(batch_admin(closed_url)) as connection:
        connection.execute(
            "SELECT control.open_reversal('2024-01-MONTHEND', '2024-03', 'x', '2024-01-MONTHEND', '2024-01', 'x')"
        )
    with pytest.raises(BatchStateError, match="2024-03-REVERSAL is about to reverse entries of it"):
        archived(books, JANUARY)


def test_what_is_archived_does_not_go_twice(books: Books):
    for layer, problem in (("LEDGER", "its entries are archived already"), ("SOURCE", "no posted transactions")):
        archived(books, JANUARY, layer)
        with pytest.raises(BatchStateError, match=problem):
            archived(books, JANUARY, layer)


def test_what_is_due_counts_from_the_newest_closed_month(books: Books):
    with connect(books.url) as connection:
        assert [due(connection, "SOURCE", months) for months in (3, 2, 1)] == [
            [JANUARY], [JANUARY, FEBRUARY], [JANUARY, FEBRUARY, MARCH],
        ]  # fmt: skip
        assert due(connection, "LEDGER", 12) == []
    planned = housekeeping.archive_due(books.place, BOTH, performed_by=ACTOR, dry_run=True)
    assert [(month.period, month.layer, month.rows) for month in planned.months] == [(JANUARY, "SOURCE", 60)]
    assert not books.archive.exists()
    done = housekeeping.archive_due(books.place, BOTH, performed_by=ACTOR)
    # The late load of January was booked in March, which is active: it stays with it.
    assert [(month.period, month.layer, month.rows) for month in done.months] == [(JANUARY, "SOURCE", 60)]
    assert done.problems == []
    restore_month(books.place, JANUARY, ["SOURCE"], performed_by=ACTOR)
    with connect(books.url) as connection:
        assert due(connection, "SOURCE", 3) == [], "who brought it back wants to work with it"
        (archive,) = archives(connection, JANUARY)
    assert (archive["layer"], archive["files"], archive["restored_by"]) == ("SOURCE", 1, ACTOR)


def test_a_month_that_cannot_go_does_not_stop_the_others(books: Books):
    (books.archive / JANUARY / "ledger-1").mkdir(parents=True)  # somebody else's
    done = housekeeping.archive_due(
        books.place, ["LEDGER"], performed_by=ACTOR, active_months={"LEDGER": 1, "SOURCE": 1}
    )
    assert [month.period for month in done.months] == [FEBRUARY, MARCH]
    assert ["no archive that this ledger made" in problem for problem in done.problems] == [True]
    assert findings(books) == ("PROVEN", [])


def test_only_batch_admin_may_take_rows_out_and_nobody_changes_the_record(books: Books):
    with pytest.raises(Exception, match="permission denied for function take_to_archive"):
        archive_month(
            books.place._replace(administrator=books.url), JANUARY, "LEDGER", active_months=0, performed_by="x"
        )
    archived(books, JANUARY)
    for change in (
        "DELETE FROM control.archived_file",
        "DELETE FROM control.archive",
        "UPDATE control.archive SET manifest_sha256 = repeat('0', 64)",
        "UPDATE control.archived_file SET sha256 = repeat('0', 64)",
    ):
        with pytest.raises(Exception, match="refused"):
            execute(books.url, change)
    trail = rows_of(
        books.url,
        "SELECT operation, outcome FROM audit.batch_operation WHERE operation ~ 'ARCHIVE' ORDER BY operation_id",
    )
    assert [tuple(row.values()) for row in trail] == [("ARCHIVE_LEDGER", "FAILED"), ("ARCHIVE_LEDGER", "SUCCESS")]
    assert superuser(books.url)


def test_the_trigger_lets_an_archived_month_be_locked(books: Books):
    archived(books, JANUARY)
    with connect(batch_admin(books.url)) as connection:
        assert periods.lock(connection, FEBRUARY, performed_by=ACTOR) == [JANUARY, FEBRUARY]
    restored(books, JANUARY)
    assert opened(books.url, "2024-05")[0] is not None
