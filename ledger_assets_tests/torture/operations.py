"""What is disturbed. A new operation of the close is a line in OPERATIONS.

An operation starts from given books and is done by code of the product. It has to be such that doing it again, however
far it came, leads to the books of an undisturbed run.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger_assets import closing, rehearsal
from ledger_assets.accounting.source_errors import LoadRefusedError
from ledger_assets.close_result import Outcome
from ledger_assets.settings import Settings
from ledger_assets.storage import periods
from ledger_assets.storage.batches import BatchStateError
from ledger_assets.storage.corrections import roll_back
from ledger_assets.storage.database import database_name, in_transaction
from ledger_assets.storage.derived_batches import reverse_batch
from ledger_assets.storage.source_loads import withdraw
from ledger_assets.storage.staging import stage
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, SECOND_PERIOD

FIRST_BATCH: Final = f"{FIRST_PERIOD}-MONTHEND"

Action = Callable[[str, Path], object]
"""Gets the URL of the books and the folder with the deliveries; raises when it was not successful."""


@dataclass(frozen=True)
class Operation:
    """Something that people do to the books.

    `given` names the books that it starts from (GIVEN).
    """

    name: str
    given: str
    act: Action
    apart: bool = False
    """It changes the environment of its process: repeat it in a child, too."""


def file_of(folder: Path, period: str, **options: Any) -> Path:
    """A generated file, made once for all who come."""
    with tempfile.TemporaryDirectory(dir=folder) as desk:
        fresh = scenario.generated(Path(desk), period, **options)
        place = folder / fresh.name
        if not place.exists():
            with contextlib.suppress(FileExistsError):
                place.hardlink_to(fresh)
    return place


def home_of(url: str, folder: Path) -> Path:
    """Where the certificates of these books lie: a close that finds those of other books there is refused."""
    return folder / database_name(url)


def load(url: str, folder: Path) -> None:
    scenario.load(url, file_of(folder, FIRST_PERIOD), FIRST_PERIOD)


def load_more(url: str, folder: Path) -> None:
    """A second file of the month, with rows to be refused."""
    scenario.load(url, file_of(folder, FIRST_PERIOD, seed=2, defects=["duplicate_id", "zero_amount"]), FIRST_PERIOD)


def load_second_month(url: str, folder: Path) -> None:
    scenario.load(url, file_of(folder, SECOND_PERIOD), SECOND_PERIOD)


def close(url: str, _folder: Path) -> None:
    demand_success(scenario.close_directly(url, FIRST_PERIOD))


def close_second_month(url: str, _folder: Path) -> None:
    demand_success(scenario.close_directly(url, SECOND_PERIOD))


def close_through_dagster(url: str, folder: Path) -> None:
    """With the certificate."""
    os.environ["LEDGER_HOME"] = str(home_of(url, folder))
    demand_success(scenario.close(url, FIRST_PERIOD))


def close_by_the_command(url: str, folder: Path) -> None:
    """With Dagster's own storage on the same server."""
    os.environ |= {"LEDGER_DATABASE_URL": superuser(url), "LEDGER_HOME": str(home_of(url, folder))}
    result = closing.close(Settings.from_environment(), FIRST_PERIOD)
    assert result.exit_code == 0, result


def rehearse(url: str, _folder: Path) -> None:
    result = rehearsal.rehearse(Settings(database_url=url), FIRST_PERIOD, performed_by=ACTOR)
    assert result.outcome == Outcome.REHEARSED, result


def withdraw_load(url: str, _folder: Path) -> None:
    """The only load. That it is withdrawn already is a success here: the first try may have come that far."""
    try:
        in_transaction(url, lambda connection: withdraw(connection, 1, reason="wrong file", by=ACTOR))
    except LoadRefusedError as refusal:
        if "withdrawn already" not in str(refusal):
            raise


def roll_back_month(url: str, _folder: Path) -> None:
    """That nothing is left to do is a success here, as in `withdraw_load`."""
    correction = {"reason": "wrong file", "confirmation": FIRST_BATCH, "performed_by": ACTOR}
    try:
        in_transaction(batch_admin(url), lambda connection: roll_back(connection, FIRST_BATCH, **correction))
    except BatchStateError as refusal:
        if "there is nothing to do" not in str(refusal):
            raise


def reverse_month(url: str, _folder: Path) -> None:
    """Into the next month. That it is reversed already is a success here."""
    try:
        reverse_batch(
            url, FIRST_BATCH, opened_by=batch_admin(url), into_period=SECOND_PERIOD, reason="wrong file",
            confirmation=FIRST_BATCH, first_period=FIRST_PERIOD, performed_by=ACTOR,
        )  # fmt: skip
    except BatchStateError as refusal:
        if "reversed already" not in str(refusal):
            raise


def load_late(url: str, folder: Path) -> None:
    """A file of the month, without rows to be refused."""
    scenario.load(url, file_of(folder, FIRST_PERIOD, seed=3), FIRST_PERIOD)


def reopen(url: str, _folder: Path) -> None:
    """That the month is open is a success here."""
    try:
        in_transaction(
            batch_admin(url),
            lambda connection: periods.reopen(connection, FIRST_PERIOD, reason="late file", performed_by=ACTOR),
        )
    except BatchStateError as refusal:
        if "it is OPEN" not in str(refusal):
            raise


def stage_one_worker(url: str, _folder: Path) -> None:
    """Of three; the batch is FAILED then."""
    batch, rules = scenario.opened(url, FIRST_PERIOD)
    assert batch is not None
    assert stage(url, batch, rules.compiled(), performed_by=ACTOR, only=1).workers_missing == (2, 3)


def demand_success(close: scenario.Close) -> None:
    assert close.outcome in {Outcome.POSTED, Outcome.NOTHING_NEW}, close


GIVEN: Final[Mapping[str, tuple[Action, ...]]] = {
    "rules": (),
    "a load": (load,),
    "a load of which one worker is staged": (load, stage_one_worker),
    "a closed month": (load, close),
    "two loaded months": (load, load_second_month),
    "a closed month and a loaded one": (load, close, load_second_month),
    "a closed month and a late file": (load, close, load_late),
    "a reopened month": (load, close, load_late, reopen),
}
"""The books before an operation, by what was done to a database that has the shipped rules."""

OPERATIONS: Final[Mapping[str, Operation]] = {
    operation.name: operation
    for operation in (
        Operation("load", "rules", load),
        Operation("load more", "a load", load_more),
        Operation("withdraw", "a load", withdraw_load),
        Operation("dry run", "a load", rehearse),
        Operation("close", "a load", close),
        Operation("go on where a worker ended", "a load of which one worker is staged", close),
        Operation("close the next month", "a closed month and a loaded one", close_second_month),
        Operation("close through Dagster", "a load", close_through_dagster, apart=True),
        Operation("roll back", "a closed month", roll_back_month),
        Operation("reverse", "a closed month", reverse_month),
        Operation("reopen", "a closed month and a late file", reopen),
        Operation("close again", "a reopened month", close),
        Operation("close by the command", "a load", close_by_the_command, apart=True),
    )
}

AT_ONCE: Final[Mapping[str, tuple[str, tuple[Action, ...]]]] = {
    "the same month twice": ("a load", (close, close)),
    "the same month three times, once through Dagster": ("a load", (close, close_through_dagster, close)),
    "neighbouring months": ("two loaded months", (close, close_second_month)),
    "the same file twice": ("rules", (load, load)),
}
"""Books, and who is at work on them at the same time; done one after the other, they lead to what is expected."""
