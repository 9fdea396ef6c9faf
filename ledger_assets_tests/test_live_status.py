"""Watching a batch: what is shown of it, and when watching ends."""

import io
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from ledger_assets.accounting.progress import Progress
from ledger_assets.cli import main
from ledger_assets.live_status import LOOKS_AT_NOBODY, watch
from ledger_assets.storage.database import in_transaction
from ledger_assets.storage.staging import WorkersFailed, stage
from ledger_assets.storage.workers import Watched, watched
from ledger_assets_tests import scenario
from ledger_assets_tests.disturbances import held, waiting_backend
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, ROWS
from ledger_assets_tests.test_workers import trouble


def worker(number: int, status: str, **more: Any) -> dict[str, Any]:
    return {"worker": number, "status": status, "records": 10, "seconds": None, "records_per_second": None,
            "error": None} | more  # fmt: skip


RUNNING = Watched(
    "2024-01-MONTHEND", "2024-01", 1, "PROCESSING", None, "ledger-assets[7]@here", Progress(20, 60, 0, 2.0),
    [worker(1, "COMPLETED"), worker(2, "COMPLETED"), worker(3, "RUNNING"), worker(4, "FAILED", error="[bold]no room")],
)  # fmt: skip
HALFWAY = replace(RUNNING, progress=Progress(30, 60, 0, 3.0), workers=[worker(n, "COMPLETED") for n in (1, 2, 3)])
POSTED = replace(HALFWAY, state="COMMITTED", progress=Progress(60, 60, 0, 3.0))


def watched_as(looks: Sequence[Watched | None], *, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80, height=25)
    left = iter(looks)
    watch(lambda: next(left), console, pause=lambda _: None)
    assert next(left, "seen to the end") == "seen to the end"
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())  # type: ignore[attr-defined]


def test_outside_of_a_terminal_each_change_is_a_line():
    assert watched_as([RUNNING, RUNNING, HALFWAY, POSTED]).splitlines() == [
        "2024-01-MONTHEND PROCESSING 33 %, 20 of 60 transactions; workers: 2 completed, 1 failed, 1 running",
        "2024-01-MONTHEND PROCESSING 50 %, 30 of 60 transactions; workers: 3 completed",
        "2024-01-MONTHEND COMMITTED; workers: 3 completed",
        "2024-01-MONTHEND is posted",
    ]


def test_a_terminal_shows_pace_time_to_go_and_every_worker():
    shown = watched_as([RUNNING, POSTED], terminal=True)
    for part in ("33 %: 20 of 60 transactions, 10 a second, about 4 s to go", "RUNNING", "FAILED", "[bold]no room"):
        assert part in shown
    assert any(line.startswith("33 %: ") for line in shown.splitlines())  # below the bar, not behind it and cut off
    assert "2024-01-MONTHEND is posted" in shown


@pytest.mark.parametrize("terminal", [False, True])
def test_many_workers_fit_on_a_screen(terminal: bool):
    many = replace(RUNNING, workers=[worker(n, "FAILED" if n == 77 else "PENDING") for n in range(1, 81)])
    shown = watched_as([many, POSTED], terminal=terminal)
    if terminal:
        assert "and 66 others" in shown  # a terminal of 25 lines
        assert "FAILED" in shown


@pytest.mark.parametrize(
    ("looks", "last_word"),
    [
        ([None], "no batch is running"),
        ([RUNNING, replace(RUNNING, state="FAILED", failure_reason="no room")], "failed: no room"),
        ([RUNNING, replace(RUNNING, state="ABORTED", failure_reason="dry run")], "is ABORTED: dry run"),
        ([replace(RUNNING, stager=None)] * LOOKS_AT_NOBODY, "close 2024-01 goes on where its workers ended"),
        ([*[replace(RUNNING, stager=None)] * (LOOKS_AT_NOBODY - 1), RUNNING, POSTED], "2024-01-MONTHEND is posted"),
    ],
)  # fmt: skip
def test_watching_ends_when_nothing_more_will_happen(looks: list[Watched | None], last_word: str):
    assert watched_as(looks).splitlines()[-1].endswith(last_word)


def test_ctrl_c_ends_the_watching_and_not_the_batch():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    watch(lambda: RUNNING, console, pause=interrupted)
    assert "no longer watching; the batch goes on" in console.file.getvalue()  # type: ignore[attr-defined]


# Of a database


@pytest.fixture
def status(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(ledger_url))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *words: CliRunner().invoke(main, ["status", *words])


def test_a_batch_is_found_while_it_runs_and_followed_to_its_end(
    ledger_url: str, tmp_path: Path, status: Callable[..., Any]
):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, FIRST_PERIOD, folder=tmp_path)
    batch, rules = scenario.opened(ledger_url, FIRST_PERIOD, rows_per_worker=10)
    assert batch is not None
    with ThreadPoolExecutor(1) as pool, held(ledger_url, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging = pool.submit(stage, ledger_url, batch, rules.compiled(), performed_by=ACTOR)
        waiting_backend(ledger_url, 2)
        found = in_transaction(ledger_url, watched)
        assert found is not None
        assert (found.batch_id, found.progress.percent, found.progress.expected) == (batch.batch_id, 0, ROWS)
        assert found.by_status["RUNNING"] >= 2
        assert {row["records"] for row in found.workers} == {10}
        assert (found.stager or "").startswith("ledger-assets[")
    staging.result()
    scenario.close_directly(ledger_url, FIRST_PERIOD)
    followed = in_transaction(ledger_url, lambda connection: watched(connection, batch_id=batch.batch_id))
    assert followed is not None
    assert (followed.has_ended, followed.progress.percent) == (True, 100)
    ended = status(FIRST_PERIOD, "--watch")
    assert (ended.exit_code, ended.stdout) == (0, "no batch is running\n")


def test_a_batch_that_nobody_stages_is_told_of(
    ledger_url: str, tmp_path: Path, status: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("ledger_assets.live_status.SECONDS_BETWEEN", 0)
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, FIRST_PERIOD, folder=tmp_path)
    scenario.opened(ledger_url, FIRST_PERIOD)
    ended = status("--watch")
    assert ended.exit_code == 0
    assert "nobody is staging it any more" in ended.stdout
    assert status("--watch", "--json").exit_code == 1
    trouble(ledger_url, {1: 1})
    with pytest.raises(WorkersFailed):
        scenario.staged(ledger_url, FIRST_PERIOD)
    assert status("--watch").stdout == "no batch is running\n"
