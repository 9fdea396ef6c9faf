"""The short campaign: a sample of the faults of torture/, the same ones at every run; each step of a load and a close
at which a client may be killed, and each commit whose answer may be lost. `make torture` tries the rest.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psycopg
import pytest

from ledger_assets.storage.database import connect
from ledger_assets_tests.torture import servers
from ledger_assets_tests.torture.books import Books
from ledger_assets_tests.torture.campaign import KINDS, TOGETHER, Fault, Ground, attempt, ground, possible, sampled
from ledger_assets_tests.torture.client import DAY
from ledger_assets_tests.torture.servers import NotHereError

pytestmark = pytest.mark.slow

SEED: Final = 1
SHARED: Final = {
    "client terminated": 3, "client interrupted": 3, "backend terminated": 6, "socket closed": 3,
    "statement timed out": 3, TOGETHER: 2,
}  # fmt: skip
ELSEWHERE: Final = {
    "crashing": {"server crashed": 2, "server restarted": 2, "server back after 2 s": 1},
    "small disk": {"disk full": 2},
    "clock": {"clock a year back": 1, "clock a year ahead": 1},
}
"""How many of each kind, by the server that they need."""
QUICK: Final = {
    "load", "load more", "withdraw", "close", "go on where a worker ended", "close the next month", "roll back",
    "reverse", "reopen", "close again",
    "the same month twice", "neighbouring months", "the same file twice",
}  # fmt: skip
"""Not through Dagster, which takes seconds each time."""
FEW: Final = {"load", "close", "roll back"}
"""Where books of its own have to be made for each operation."""


@pytest.fixture(scope="module")
def shared(test_server_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Books on the server of all tests, which is not done any harm."""
    folder = tmp_path_factory.mktemp("deliveries")
    with Books(test_server_url, folder, template_database) as books:
        yield Ground(books, folder)


def try_all(faults: list[Fault], where: Ground) -> None:
    """Every fault is tried, whatever comes of the others."""
    failures = []
    for fault in faults:
        try:
            attempt(fault, where)
        except AssertionError as failure:
            failures.append(f"{fault}\n    {failure}")
    assert not failures, f"{len(failures)} of {len(faults)}:\n" + "\n".join(failures)


def of_a_load_and_a_close(books: Books, kind: str) -> list[Fault]:
    return possible(books, kind, {"load", "close"})


def one_of_each_step(faults: Sequence[Fault]) -> list[Fault]:
    """The last worker's, the last account's …; after each commit, for before it is after what it commits."""
    last = {(fault.operation, fault.point.exchange, fault.point.moment): fault for fault in faults
            if fault.point.exchange != "COMMIT"}  # fmt: skip
    return [*last.values(), *(fault for fault in faults if fault.point[::2] == ("COMMIT", "after"))]


@pytest.mark.parametrize("share", range(4))
def test_a_client_killed_at_each_step_while_it_loads_and_closes(shared: Ground, share: int):
    try_all(one_of_each_step(of_a_load_and_a_close(shared.books, "client killed"))[share::4], shared)


@pytest.mark.parametrize("share", range(2))
def test_any_answer_lost_while_it_loads_and_closes(shared: Ground, share: int):
    try_all(of_a_load_and_a_close(shared.books, "answer lost")[share::2], shared)


@pytest.mark.parametrize("operation", ["roll back", "reverse", "reopen", "close again"])
def test_a_correction_whose_answer_is_lost(shared: Ground, operation: str):
    try_all(sampled(possible(shared.books, "answer lost", {operation}), 2, SEED), shared)


def test_every_step_of_a_close_is_among_the_places(shared: Ground):
    places = Counter(fault.point.exchange for fault in of_a_load_and_a_close(shared.books, "client killed"))
    for step in (
        "source/open_load", "source/finish_load", "control/open_batch", "control/start_worker", "staging/create_leaves",
        "staging/finish_worker", "staging/finish_batch", "control/measure_worker", "control/measure_load",
        "control/record_verdict", "control/pass_batch", "ledger/post_batch", "snapshot/take_snapshot", "COMMIT",
    ):  # fmt: skip
        assert places[step], step
    assert places["staging/finish_worker"] == 3 * places["ledger/post_batch"] == 6


@pytest.mark.parametrize("kind", SHARED)
def test_a_sample_of(shared: Ground, kind: str):
    try_all(sampled(possible(shared.books, kind, QUICK), SHARED[kind], SEED), shared)


def test_a_close_through_dagster_that_loses_its_connection(shared: Ground):
    try_all(sampled(possible(shared.books, "backend terminated", {"close through Dagster"}), 1, SEED), shared)


def demand_full_disk(where: Ground) -> None:
    servers.fill(where.home)
    with connect(where.books.server) as connection, pytest.raises(psycopg.errors.DiskFull):
        connection.execute("CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 400000)")
    servers.wait_until_up(where.home)


def demand_another_time(where: Ground) -> None:
    def year() -> int:
        with connect(where.books.server) as connection:
            (year,) = connection.execute("SELECT extract(year FROM clock_timestamp())::integer").fetchone() or (0,)
        return int(year)

    before = year()
    servers.set_clock(where.home, 3 * 366 * DAY)
    assert year() == before + 3
    servers.set_clock(where.home, 0)


DEMANDS: Final = {"small disk": demand_full_disk, "clock": demand_another_time}
"""That the fault is one."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_sample_on_a_server_that_may_be_harmed(name: str, tmp_path: Path):
    assert {KINDS[kind].ground for kind in ELSEWHERE[name]} == {name}
    try:
        with ground(name, tmp_path) as where:
            if name in DEMANDS:
                DEMANDS[name](where)
            for kind, how_many in ELSEWHERE[name].items():
                try_all(sampled(possible(where.books, kind, FEW), how_many, SEED), where)
    except NotHereError as reason:
        pytest.skip(str(reason))


def test_a_fault_can_be_repeated_as_it_was_printed(shared: Ground):
    for kind in (TOGETHER, "answer lost"):
        (fault,) = sampled(possible(shared.books, kind, QUICK), 1, SEED)
        assert Fault.parse(str(fault)) == fault
