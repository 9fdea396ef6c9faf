"""The campaign: which faults, at which points; each tried on books of its own, and what has to be true afterwards.

A fault is written as one line, by which it can be repeated: kind | operation | exchange | occurrence | moment.
"""

import contextlib
import random
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from ledger_assets.accounting.verification import PROVEN
from ledger_assets.storage.database import database_name
from ledger_assets.storage.verification import verify
from ledger_assets_tests import disturbances
from ledger_assets_tests.torture import children, client, servers
from ledger_assets_tests.torture.books import Account, Books, account_of, differences, given_and_actions
from ledger_assets_tests.torture.client import DAY, Point, Strike
from ledger_assets_tests.torture.operations import AT_ONCE, OPERATIONS

_BOOKED: Final = list(disturbances._POSTED)
_CLOSED: Final = list(disturbances._CLOSED)


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    `ground`: the server that it needs. `survived`: the operation ends well all the same; otherwise it may end as it
    likes, and has to be done again. `patient`: the client waits between its tries as long as it does at home.
    """

    strike: Strike
    moments: tuple[str, ...]
    ground: str = "shared"
    survived: bool = False
    patient: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "client killed": Kind(client.die, ("before", "sent", "after")),
    "client terminated": Kind(client.terminate, ("before", "sent", "after")),
    "client interrupted": Kind(client.interrupt, ("before", "sent")),
    "backend terminated": Kind(client.lose_backend, ("before", "sent", "after"), survived=True),
    "socket closed": Kind(client.lose_socket, ("before", "sent"), survived=True),
    "answer lost": Kind(client.lose_answer, ("unheard",), survived=True),
    "statement timed out": Kind(client.time_out, ("before",)),
    "server crashed": Kind(client.crash, ("before", "sent", "after"), "crashing"),
    "server restarted": Kind(
        client.crash_and_restart, ("before", "sent", "after"), "crashing", survived=True, patient=True
    ),
    "server back after 2 s": Kind(
        client.crash_and_restart_late, ("before", "sent"), "crashing", survived=True, patient=True
    ),
    "disk full": Kind(client.fill_the_disk, ("before",), "small disk"),
    "clock a day ahead": Kind(partial(client.jump, DAY), ("before",), "clock", survived=True),
    "clock a day back": Kind(partial(client.jump, -DAY), ("before",), "clock", survived=True),
    "clock a year ahead": Kind(partial(client.jump, 366 * DAY), ("before",), "clock", survived=True),
    "clock a year back": Kind(partial(client.jump, -366 * DAY), ("before",), "clock", survived=True),
}
ENDED_BY: Final = {"client killed": {-signal.SIGKILL}, "client terminated": {-signal.SIGTERM, 0}}
"""The exit codes of clients that do not get to say how they end; a run of Dagster does when it is terminated."""
TOGETHER: Final = "several at once"
NOT_WORTH_ITS_TIME: Final = {"close by the command"}
"""Operations that are tried only where they differ: with their own storage on a server that goes away."""


class Fault(NamedTuple):
    """One fault. `Several at once` has the seed of the dice for its occurrence."""

    kind: str
    operation: str
    point: Point

    def __str__(self) -> str:
        return " | ".join((self.kind, self.operation, *map(str, self.point)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The fault that was printed."""
        kind, operation, exchange, occurrence, moment = (part.strip() for part in text.split("|"))
        return cls(kind, operation, Point(exchange, int(occurrence), moment))

    @property
    def ground(self) -> str:
        return "shared" if self.kind == TOGETHER else KINDS[self.kind].ground


class Ground(NamedTuple):
    """Where faults are tried: books, and the home of their server when it may be done harm."""

    books: Books
    home: Path


def possible(books: Books, kind: str, among: Collection[str] | None = None) -> list[Fault]:
    """Every fault of a kind; `among` these operations, if they are given."""

    def wanted(names: Iterable[str]) -> list[str]:
        return [name for name in names if among is None or name in among]

    if kind == TOGETHER:
        return [
            Fault(kind, name, Point("dice", seed, "all along")) for name in wanted(AT_ONCE) for seed in range(1, 26)
        ]
    restarts = KINDS[kind].ground == "crashing"
    return [
        Fault(kind, name, point)
        for name in wanted(OPERATIONS)
        if restarts or name not in NOT_WORTH_ITS_TIME
        for point in client.points(books.exchanges(name), KINDS[kind].moments)
    ]


def sampled(faults: Sequence[Fault], how_many: int | None, seed: int) -> list[Fault]:
    """So many of them, the same for the same seed; None = all."""
    dice = random.Random(f"{seed} {faults[0].kind}" if faults else seed)
    chosen = list(faults)
    dice.shuffle(chosen)
    return chosen[:how_many]


def attempt(fault: Fault, ground: Ground) -> None:
    """Try one fault. Raises AssertionError, which says what is not as it has to be."""
    books = ground.books
    with books.copy(given_and_actions(fault.operation)[0]) as url, _without_what_dagster_made(books.server, url):
        if fault.kind == TOGETHER:
            _together(fault, url, books)
        else:
            _alone(fault, url, ground)


def _alone(fault: Fault, url: str, ground: Ground) -> None:
    kind, operation, books = KINDS[fault.kind], OPERATIONS[fault.operation], ground.books
    before = books.expected_before(operation.given)
    expected = books.expected(fault.operation)
    options = {"patient": kind.patient}
    words, code = children.run(
        client.run, operation.act, url, books.folder, fault.point, kind.strike, ground.home, **options
    )
    assert "struck" in words, f"the fault was not met; it ended with {words}"
    assert code in ENDED_BY.get(fault.kind, {0}), f"exit code {code}, {words}"
    if kind.ground != "shared":
        servers.wait_until_up(ground.home)
    found = account_of(url)
    if kind.survived:
        assert words[-1] == "done", f"not survived: {words[-1]}"
        _demand(found, expected, "survived, but")
    _demand_all_or_nothing(found, before, expected)
    if operation.apart:
        words, _ = children.run(client.run, operation.act, url, books.folder, None, client.die, ground.home, **options)
        assert words == ["done"], words
    else:
        operation.act(url, books.folder)
    _demand(account_of(url), expected, "done again,")
    _demand_proven(url)


def _together(fault: Fault, url: str, books: Books) -> None:
    _, actions = given_and_actions(fault.operation)
    seed = fault.point.occurrence
    clients = [
        children.start(client.run_hesitating, action, url, books.folder, 1000 * seed + number)
        for number, action in enumerate(actions)
    ]
    for child, reports in clients:
        children.end(child, reports)
    _, code = children.run(client.note, actions, url, books.folder)
    assert code == 0, f"done again, it ended with {code}"
    _demand(account_of(url), books.expected(fault.operation), "done again,")
    _demand_proven(url)


def _demand(found: Account, expected: Account, when: str) -> None:
    difference = differences(found, expected)
    assert not difference, f"{when} the books differ: {difference}"


def _demand_proven(url: str) -> None:
    """Every row is the one that was sealed, the chain of seals is whole, and nothing is there beside it."""
    report = verify(url)
    assert report.verdict == PROVEN, f"done again, the books are not proven: {report.summary}"


def _demand_all_or_nothing(found: Account, before: Account, expected: Account) -> None:
    """What a reader sees between fault and repetition: all of a posting or nothing, all of a month's balances or none,
    and no balances without their posting."""

    def is_as(account: Account, names: Sequence[str]) -> bool:
        return all(found[name] == account[name] for name in names)

    posted = is_as(expected, _BOOKED)
    assert posted or is_as(before, _BOOKED), f"half posted: {differences(found, expected)}"
    assert is_as(expected, _CLOSED) or is_as(before, _CLOSED), f"half closed: {differences(found, expected)}"
    assert posted or is_as(before, _CLOSED), "closed without being posted"
    assert not found["implausible"], found["implausible"]


@contextlib.contextmanager
def _without_what_dagster_made(server: str, url: str) -> Iterator[None]:
    """Drop the database that Dagster made beside the books, if it did."""
    try:
        yield
    finally:
        disturbances.drop_database(server, f"{database_name(url)}_dagster")


# ------------------------------------------------------------------------------------------------ grounds


@contextlib.contextmanager
def ground(name: str, folder: Path, shared: Ground | None = None) -> Iterator[Ground]:
    """The place for a kind of faults. Raises NotHereError where this machine cannot have it."""
    if name == "shared" and shared is not None:
        yield shared
        return
    homes: dict[str, Any] = {
        "shared": servers.plain,
        "crashing": servers.plain,
        "small disk": servers.on_a_small_disk,
        "clock": servers.in_another_time,
    }
    with homes[name]() as home:
        yield Ground(Books(servers.start(home), folder), home)
