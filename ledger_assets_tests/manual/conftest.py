"""The books on which the pages of the manual begin: a story each, in a directory and a database of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ledger_assets.storage.database import connect, database_name
from ledger_assets.storage.incidents import report_incident
from ledger_assets.storage.server import EmbeddedServer
from ledger_assets_tests import scenario
from ledger_assets_tests.alerts.receivers import webhook
from ledger_assets_tests.conftest import clone_database, cloned, drop_database, make_home
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.manual.story import Story

MONTHS: Final = ("2024-01", "2024-02", "2024-03")


class Kept(NamedTuple):
    """Books to begin with: the name of their database, with Dagster's beside it, and their home."""

    database: str
    home: Path


@pytest.fixture
def no_books(test_server_url: str, template_database: str, tmp_path: Path) -> Iterator[Story]:
    """Nothing was ever delivered."""
    with _story(test_server_url, template_database, tmp_path) as story:
        yield story


@pytest.fixture
def deliveries(no_books: Story) -> Story:
    """The files of the first months lie ready: january.csv and so on, a thousand transactions each. The third has two
    transactions with an unknown product; march-corrected.csv is as it should be.
    """
    for name, period, defect in (
        ("january", "2024-01", ""), ("january-late", "2024-01", ""), ("february", "2024-02", ""),
        ("march", "2024-03", " --defect unknown_product"), ("march-corrected", "2024-03", ""),
    ):  # fmt: skip
        rows, seed = (20, 2) if name == "january-late" else (1000, 1)
        _do(no_books, f"ledger-assets generate --period {period} --rows {rows} --seed {seed} --out {name}.csv{defect}")
    return no_books


@pytest.fixture
def demonstration(no_books: Story) -> Story:
    """The books after `make demo`: three months posted, the fourth stopped at its gates, two that wait."""
    url = no_books.environment["LEDGER_DATABASE_URL"]
    for month in range(1, 7):
        period, defect = f"2024-{month:02}", " --defect unknown_product" if month == 4 else ""
        file = f"demo-{period}.csv"
        _do(no_books, f"ledger-assets generate --period {period} --rows 20000 --seed 7 --out {file}{defect}")
        _do(no_books, f"ledger-assets ingest {file} --period {period}")
        if month == 1:
            scenario.store_rules(url)
        if month <= 4:
            scenario.close_directly(url, period, rows_per_worker=250_000)
    return no_books


@pytest.fixture(scope="session")
def three_closed_months(
    test_server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    """January to March, a thousand transactions each, closed and certified. Nobody may stay connected to them."""
    with _story(test_server_url, template_database, tmp_path_factory.mktemp("kept")) as story:
        for period in MONTHS:
            _do(story, f"ledger-assets generate --period {period} --rows 1000 --out {period}.csv")
            _do(story, f"ledger-assets ingest {period}.csv --period {period}")
            _do(story, f"ledger-assets close {period}")
        kept = Kept(database_name(story.environment["LEDGER_DATABASE_URL"]), story.settings.home)
        with connect(test_server_url, autocommit=True) as connection:  # Dagster's storage keeps its own open
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(end, [f"{kept.database}_dagster"])
        yield kept


@pytest.fixture
def three_months(test_server_url: str, three_closed_months: Kept, tmp_path: Path) -> Iterator[Story]:
    """January to March are closed and certified."""
    with _story(test_server_url, three_closed_months.database, tmp_path, three_closed_months.home) as story:
        yield story


@pytest.fixture
def late_file(three_months: Story) -> Story:
    """The same, and march-late.csv, which came too late."""
    _do(three_months, "ledger-assets generate --period 2024-03 --rows 20 --seed 2 --out march-late.csv")
    return three_months


@pytest.fixture
def something_wrong(three_months: Story) -> Story:
    """The same, and files: april.csv with an unknown product, march-corrected.csv."""
    files = {"april": "--period 2024-04 --defect unknown_product", "march-corrected": "--period 2024-03 --seed 2"}
    for file, more in files.items():
        _do(three_months, f"ledger-assets generate --rows 1000 --out {file}.csv {more}")
    return three_months


@pytest.fixture
def one_wrong_load(no_books: Story) -> Iterator[Story]:
    """January has four loads; the fourth has a product that no rule covers, and the month stopped at a gate.
    corrected.csv lies ready. There is a channel.
    """
    for number, defect in enumerate(("", "", "", " --defect unknown_product"), start=1):
        _do(no_books, f"ledger-assets generate --period 2024-01 --rows 50 --seed {number} --out {number}.csv{defect}")
        _do(no_books, f"ledger-assets ingest {number}.csv --period 2024-01")
    _do(no_books, "ledger-assets generate --period 2024-01 --rows 50 --seed 4 --out corrected.csv")
    assert no_books.type("ledger-assets close 2024-01").exit_code == 2
    with _channel(no_books):
        yield no_books


@pytest.fixture
def an_incident(three_months: Story) -> Iterator[Story]:
    """April is overdue, which is incident 1; the channel `finance` takes what it is sent."""
    with _channel(three_months):
        with connect(three_months.environment["LEDGER_DATABASE_URL"]) as connection:
            report_incident(connection, kind="CLOSE_OVERDUE", subject="2024-04", period="2024-04")
        yield three_months


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Story]:
    """An installation with the embedded server, which nobody else uses. January is closed, february.csv lies ready."""
    home = Path(make_home())
    try:
        folder = tmp_path / "project"
        folder.mkdir()
        story = Story(folder, home, None)
        for file, period in ("january", "2024-01"), ("february", "2024-02"):
            _do(story, f"ledger-assets generate --period {period} --rows 1000 --out {file}.csv")
        _do(story, "ledger-assets ingest january.csv --period 2024-01")
        _do(story, "ledger-assets close 2024-01")
        yield story
    finally:
        EmbeddedServer(home).stop()
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _channel(story: Story) -> Iterator[None]:
    with webhook() as receiver:
        story.put("channels.toml", f'[channels.finance]\nurl = "{receiver.url}"\n')
        story.environment["LEDGER_ALERTS"] = str(story.folder / "channels.toml")
        yield


@contextmanager
def _story(server: str, template: str, directory: Path, home: Path | None = None) -> Iterator[Story]:
    folder, own_home = directory / "project", directory / "home"
    folder.mkdir()
    if home is None:
        own_home.mkdir()
    else:
        shutil.copytree(home, own_home)
    with cloned(server, template) as url:
        dagster = f"{database_name(url)}_dagster"
        try:
            if home is not None:
                clone_database(server, f"{template}_dagster", dagster)
            yield Story(folder, own_home, superuser(url))
        finally:
            drop_database(server, dagster)


def _do(story: Story, command: str) -> None:
    answer = story.type(command)
    assert answer.exit_code == 0, f"{command}\n{answer.output}"
