"""PostgreSQL 15, the oldest that is supported: two months close on it with the very figures of the embedded server."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger_assets.close_result import Outcome
from ledger_assets.storage import books, periods
from ledger_assets.storage.archives import ACTIVE_MONTHS
from ledger_assets.storage.archiving import Place, archive_month, restore_month
from ledger_assets.storage.batches import GateFailed
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import as_role, connect, database_name
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.housekeeping import rotate
from ledger_assets.storage.maintenance import Maintenance, maintain
from ledger_assets.storage.verification import verify
from ledger_assets_tests import scenario
from ledger_assets_tests.conftest import cloned
from ledger_assets_tests.disturbances import facts
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.seal.test_lawful_changes import certify

pytestmark = pytest.mark.slow

FEBRUARY = "2024-02"


def close_two_months(url: str, folder: Path) -> list[Outcome]:
    """January with a late load, February after it."""
    scenario.store_rules(url)
    outcomes = []
    for period, seed in ((JANUARY, 1), (JANUARY, 2), (FEBRUARY, 3)):
        scenario.deliver(url, period, folder=folder, seed=seed)
        outcomes.append(scenario.close_directly(url, period).outcome)
    return outcomes


@pytest.fixture(scope="module")
def closed_on_each(
    postgres15: str,
    oldest_template: str,
    test_server_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str]]:
    """The names of two databases, on PostgreSQL 15 and on the embedded server, in which the two months are closed."""
    folder = tmp_path_factory.mktemp("deliveries")
    with cloned(postgres15, oldest_template) as oldest, cloned(test_server_url, template_database) as newest:
        for url in (oldest, newest):
            assert close_two_months(url, folder) == [Outcome.POSTED] * 3
        yield database_name(oldest), database_name(newest)


@pytest.fixture
def both(postgres15: str, test_server_url: str, closed_on_each: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The URLs of such databases of this test's own, the oldest first."""
    with cloned(postgres15, closed_on_each[0]) as oldest, cloned(test_server_url, closed_on_each[1]) as newest:
        yield superuser(oldest), newest


def test_two_months_close_with_the_same_figures(both: tuple[str, str]):
    oldest, newest = both
    with connect(oldest) as connection:
        assert connection.info.server_version // 10_000 == 15
    assert facts(oldest) == facts(newest)


def test_readers_get_the_same_answers(both: tuple[str, str]):
    answers = []
    for url in both:
        assert books.prepare_for_readers(url, JANUARY) == 6
        with connect(url) as connection:
            answers.append(
                (
                    books.fund_statement(connection, FEBRUARY, "TABARRU"),
                    books.account_lines(connection, JANUARY, "1100-10"),
                    books.explain_balance(connection, JANUARY, "1100-10"),
                    [line | {"load_id": None} for line in books.explain_entry(connection, JANUARY, 70)],
                )
            )
    assert answers[0] == answers[1]
    assert all(answers[0])


def test_late_transactions_reopening_and_locking_give_the_same_figures(both: tuple[str, str], tmp_path: Path):
    for url in both:
        scenario.deliver(url, JANUARY, folder=tmp_path, seed=4, rows=10)
        assert scenario.close_directly(url, "2024-03").outcome == Outcome.POSTED
        scenario.deliver(url, FEBRUARY, folder=tmp_path, seed=5, rows=10)
        with connect(batch_admin(url)) as connection:
            periods.reopen(connection, FEBRUARY, reason="missing", chain=True, performed_by="controller")
        outcomes = [scenario.close_directly(url, period).outcome for period in (FEBRUARY, "2024-03")]
        assert outcomes == [Outcome.POSTED, Outcome.NOTHING_NEW]
        with connect(batch_admin(url)) as connection:
            assert periods.lock(connection, FEBRUARY, performed_by="controller") == [JANUARY, FEBRUARY]
    oldest, newest = both
    assert facts(oldest) == facts(newest)
    history = "SELECT * FROM ledger.close_difference ORDER BY period, close_number, account_code"
    assert scenario.rows_of(oldest, history) == scenario.rows_of(newest, history) != []


def correct(url: str) -> None:
    """February taken back and posted again, January reversed in March."""
    with connect(batch_admin(url)) as connection:
        roll_back(
            connection,
            "2024-02-MONTHEND",
            reason="a test",
            confirmation="2024-02-MONTHEND",
            performed_by=scenario.ACTOR,
        )
    assert scenario.close_directly(url, FEBRUARY).outcome == Outcome.POSTED
    reverse_batch(
        url, "2024-01-MONTHEND-02", opened_by=batch_admin(url),
        into_period="2024-03", reason="a test", confirmation="2024-01-MONTHEND-02",
        first_period=JANUARY, performed_by=scenario.ACTOR,
    )  # fmt: skip
    assert scenario.close_directly(url, "2024-03").outcome == Outcome.POSTED


def test_corrections_give_the_same_figures(both: tuple[str, str]):
    oldest, newest = both
    for url in both:
        correct(url)
    assert facts(oldest) == facts(newest)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        scenario.execute(oldest, "DELETE FROM quarantine.je_line")


def test_a_month_goes_to_files_and_comes_back(both: tuple[str, str], tmp_path: Path):
    oldest_url, _ = both
    certify(oldest_url, tmp_path, FEBRUARY)
    place, before = Place(oldest_url, batch_admin(oldest_url), tmp_path / "archive"), scenario.fingerprint(oldest_url)
    assert len(rotate(oldest_url, performed_by=scenario.ACTOR).partitions) == 12
    for layer in ACTIVE_MONTHS:
        archive_month(place, JANUARY, layer, active_months=0, performed_by=scenario.ACTOR)
    assert verify(oldest_url, archive=place.root).verdict == "PROVEN"
    restore_month(place, JANUARY, list(ACTIVE_MONTHS), performed_by=scenario.ACTOR)
    assert scenario.fingerprint(oldest_url) == before


def test_dagster_closes_a_month(oldest_url: str, tmp_path: Path, ledger_home: Path):
    scenario.store_rules(oldest_url)
    scenario.deliver(oldest_url, JANUARY, folder=tmp_path)
    assert scenario.close(oldest_url, JANUARY).outcome == Outcome.POSTED
    assert (ledger_home / "reports").is_dir()


def test_what_is_changed_by_hand_is_refused_before_the_posting_and_after_it(oldest_url: str, tmp_path: Path):
    scenario.store_rules(oldest_url)
    scenario.deliver(oldest_url, JANUARY, folder=tmp_path)
    batch = scenario.staged(oldest_url, JANUARY)
    scenario.execute(oldest_url, "UPDATE staging.je_line SET amount = amount * 2")
    with pytest.raises(GateFailed):
        scenario.post(oldest_url, batch)
    assert scenario.close_directly(oldest_url, JANUARY).outcome == Outcome.POSTED
    for table in ("ledger.je_line", "ledger.je_line_2024_01", "ledger.je_line_2024_01_monthend_a2_w001"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            scenario.execute(oldest_url, f"UPDATE {table} SET amount = amount * 2")


def test_half_empty_indexes_are_rebuilt(oldest_url: str, tmp_path: Path):
    """Here and not on the embedded server, which has no pgstattuple."""
    scenario.deliver(oldest_url, JANUARY, folder=tmp_path)
    owner = as_role(oldest_url, "ledger_owner")
    with connect(oldest_url) as connection:
        connection.execute("CREATE EXTENSION pgstattuple")
    assert "pg_stat_scan_tables" in maintain(owner).not_looked_at
    with connect(oldest_url) as connection:
        connection.execute("GRANT pg_stat_scan_tables TO ledger_owner")
        connection.execute(
            "INSERT INTO source.rejected_row (load_id, row_number, reasons, raw) "
            "SELECT 1, n, ARRAY['X'], '{}' FROM generate_series(1, 60000) AS n"
        )
        connection.execute("DELETE FROM source.rejected_row WHERE row_number % 20 <> 0")
    before = scenario.fingerprint(oldest_url)
    assert [(piece.what, piece.of, piece.done) for piece in maintain(owner).pieces] == [
        ("VACUUM", "source.rejected_row", True),
        ("REINDEX", "source.rejected_row_pkey", True),
    ]
    assert maintain(owner) == Maintenance()
    assert scenario.fingerprint(oldest_url) == before
