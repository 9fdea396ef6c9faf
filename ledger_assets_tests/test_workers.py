"""Workers that fail, die and are restarted: the others are kept, and the books are those of an undisturbed run.

The trouble is the database's own: a trigger that refuses a worker's checkpoint, so many times as is asked for.
"""

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_assets.storage import staging
from ledger_assets.storage.batches import BatchStateError, Overtaken
from ledger_assets.storage.database import as_role, connect, in_transaction
from ledger_assets.storage.source_loads import withdraw
from ledger_assets.storage.staging import Staged, WorkersFailed, stage
from ledger_assets.storage.workers import Restarted, RulesChanged, restart_worker, slow_workers
from ledger_assets_tests import disturbances, scenario
from ledger_assets_tests.disturbances import cloned, held, waiting_backend
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import ACTOR, FIRST_PERIOD, ROWS, batch_of, execute, rows_of, staged_tables, value_of
from ledger_assets_tests.test_faults import process
from ledger_assets_tests.torture.books import Account, account_of, differences
from ledger_assets_tests.waiting import wait_until

BATCH: Final = f"{FIRST_PERIOD}-MONTHEND"


@pytest.fixture(scope="module")
def undisturbed(test_server_url: str, loaded_books: str) -> Callable[[int], Account]:
    """What the books say when a close with so many workers runs without trouble."""
    made: dict[int, Account] = {}

    def closed(workers: int) -> Account:
        if workers not in made:
            with cloned(test_server_url, loaded_books) as url:
                close(url, workers)
                made[workers] = account_of(url)
        return made[workers]

    return closed


def close(url: str, workers: int) -> scenario.Close:
    closed = scenario.close_directly(url, FIRST_PERIOD, rows_per_worker=ROWS // workers)
    assert closed.outcome == "posted", closed
    return closed


def stage_month(url: str, workers: int, **options: Any) -> Staged:
    batch, rules = scenario.opened(url, FIRST_PERIOD, rows_per_worker=ROWS // workers)
    assert batch is not None
    return stage(url, batch, rules.compiled(), performed_by=ACTOR, **options)


def trouble(url: str, times: Mapping[int, int]) -> None:
    """Let workers fail so many times. A sequence counts, because it forgets nothing when the worker is rolled back."""
    for worker, how_often in times.items():
        execute(
            url,
            f"CREATE SEQUENCE public.trouble_of_{worker}; "
            f"CREATE FUNCTION public.trouble_{worker}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN "
            f"IF NEW.worker_number = {worker} AND nextval('public.trouble_of_{worker}') <= {how_often} THEN "
            f"RAISE EXCEPTION 'no space left for worker {worker}' USING ERRCODE = '53100'; END IF; RETURN NEW; END $$; "
            f"CREATE TRIGGER trouble_{worker} BEFORE INSERT ON control.batch_checkpoint FOR EACH ROW "
            f"EXECUTE FUNCTION public.trouble_{worker}()",
        )


def statuses(url: str) -> dict[int, str]:
    return {row["worker_number"]: row["status"] for row in rows_of(url, "TABLE control.batch_worker ORDER BY 2")}


def numbers(url: str, status: str) -> list[int]:
    return [number for number, found in statuses(url).items() if found == status]


def leaves(url: str) -> dict[int, Any]:
    """The oids of the tables that completed workers wrote."""
    return {
        row["worker_number"]: row["oid"]
        for row in rows_of(
            url, "SELECT worker_number, line_leaf::oid AS oid FROM control.batch_worker WHERE status = 'COMPLETED'"
        )
    }


def restart(url: str, worker: int) -> Restarted:
    return restart_worker(
        url, BATCH, worker, restarted_by=as_role(superuser(url), "batch_operator"), rule_set="combined",
        performed_by=ACTOR,
    )  # fmt: skip


# A process that dies


def stage_and_die(url: str, workers: int, complete: int) -> None:
    """The body of a process: killed when so many workers are complete and the next ones are about to write."""
    write = staging.write_worker

    def dying(*arguments: Any) -> Any:
        if arguments[2] <= complete:
            return write(*arguments)
        wait_until(lambda: len(numbers(url, "COMPLETED")) >= complete)
        return os.kill(os.getpid(), signal.SIGKILL)

    staging.write_worker = dying
    stage_month(url, workers)


@pytest.mark.parametrize("complete", [1, 4])
def test_a_killed_staging_goes_on_where_its_workers_ended(
    books: str, undisturbed: Callable[[int], Account], complete: int
):
    killed = process(stage_and_die, books, 6, complete)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert (batch_of(books, FIRST_PERIOD).state, numbers(books, "COMPLETED")) == (
        "PROCESSING",
        [*range(1, complete + 1)],
    )
    kept = leaves(books)

    batch, rules = scenario.opened(books, FIRST_PERIOD)
    assert batch is not None
    assert batch.attempt == 2
    staged = stage(books, batch, rules.compiled(), performed_by=ACTOR)
    assert staged.resumed == f"resumed: {complete} of 6 workers were complete"
    assert (staged.transactions, staged.entries, staged.lines) == (ROWS, ROWS, 8 * ROWS)
    assert {number: oid for number, oid in leaves(books).items() if number <= complete} == kept
    assert scenario.failing_gates(books, batch) == {}
    assert scenario.post(books, batch)
    disturbances.take_balances(books)
    assert differences(account_of(books), undisturbed(6)) == ""
    (operation,) = rows_of(books, "SELECT * FROM audit.batch_operation WHERE operation = 'RESUME'")
    assert (operation["state_before"], operation["state_after"]) == ("PROCESSING", "PROCESSING")
    assert {**operation["details"]} == {"attempt": 2, "workers": 6, "complete": complete}


@pytest.mark.usefixtures("ledger_home")
def test_a_close_through_dagster_goes_on_and_says_so(books: str):
    trouble(books, {5: 1})
    with pytest.raises(WorkersFailed):
        stage_month(books, 6)
    run = scenario.run_month_close(books, FIRST_PERIOD)
    assert run.success
    metadata = run.asset_materializations_for_node("staged_journal_entries")[0].metadata
    assert metadata["resumed"].value == "resumed: 5 of 6 workers were complete"
    assert metadata["transactions"].value == ROWS
    assert "slow_workers" not in metadata


def test_a_batch_that_died_between_its_staging_and_its_posting_is_not_staged_again(
    books: str, undisturbed: Callable[[int], Account]
):
    scenario.staged(books, FIRST_PERIOD, rows_per_worker=10)
    kept = leaves(books)
    batch = scenario.staged(books, FIRST_PERIOD, rows_per_worker=10)
    assert leaves(books) == kept
    assert scenario.failing_gates(books, batch) == {}
    scenario.staged(books, FIRST_PERIOD, rows_per_worker=10)
    assert leaves(books) == kept
    close(books, 6)
    assert differences(account_of(books), undisturbed(6)) == ""


# What may not go on


def change_a_line(url: str, _folder: Path) -> None:
    execute(url, "UPDATE staging.je_line SET amount = amount WHERE je_number = 1")


def drop_a_leaf(url: str, _folder: Path) -> None:
    execute(url, "DROP TABLE staging.je_line_2024_01_monthend_a1_w001")


def deliver_more(url: str, folder: Path) -> None:
    scenario.deliver(url, FIRST_PERIOD, folder=folder, rows=5, seed=2)


def withdraw_all(url: str, _folder: Path) -> None:
    in_transaction(url, lambda connection: withdraw(connection, 1, reason="wrong file", by=ACTOR))


def change_a_checksum(url: str, _folder: Path) -> None:
    execute(url, "UPDATE source.load SET checksum = checksum + 1")


def move_the_counter(url: str, _folder: Path) -> None:
    execute(url, "UPDATE control.period SET next_je_number = next_je_number + 1")


CHANGES: Final = [
    change_a_line, drop_a_leaf, deliver_more, withdraw_all, change_a_checksum, move_the_counter,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_batch_whose_month_has_changed_is_staged_anew(
    books: str, change: Callable[[str, Path], None], tmp_path: Path
):
    trouble(books, {5: 2})
    with pytest.raises(WorkersFailed):
        stage_month(books, 6)
    change(books, tmp_path)
    with pytest.raises(BatchStateError, match=f"it cannot go on.*Fix: run ledger-assets close {FIRST_PERIOD}"):
        restart(books, 5)
    scenario.opened(books, FIRST_PERIOD)
    assert numbers(books, "COMPLETED") == []
    assert value_of(books, "SELECT count(*) FROM audit.batch_operation WHERE operation = 'RESTAGE'") == 1


def test_a_batch_whose_chart_has_changed_does_not_go_on(books: str):
    """Its rules are refused for that already, when they are approved with their chart; this holds for every client."""
    scenario.staged(books, FIRST_PERIOD)
    why_not = "SELECT control.why_not_resumed(b) FROM control.batch b"
    assert value_of(books, why_not) is None
    execute(books, "UPDATE acct.chart_of_accounts SET fund = 'TANAHUD' WHERE account_code = '5110-20'")
    assert value_of(books, why_not) == "the chart or the templates were changed since it was planned"


def test_a_batch_of_other_rules_is_staged_anew(books: str):
    trouble(books, {5: 2})
    with pytest.raises(WorkersFailed):
        stage_month(books, 6)
    with pytest.raises(RulesChanged, match="staged by combined v1"):
        restart_worker(books, BATCH, 5, restarted_by=batch_admin(books), rule_set="three_entries", performed_by=ACTOR)
    scenario.opened(books, FIRST_PERIOD, rule_set="three_entries")
    assert numbers(books, "COMPLETED") == []


def test_a_batch_that_its_gates_refused_is_staged_anew(books: str):
    batch = scenario.staged(books, FIRST_PERIOD)
    execute(books, "UPDATE source.txn_source SET channel = 'OTHER' WHERE row_number = 1")
    assert scenario.failing_gates(books, batch)
    with pytest.raises(BatchStateError, match="it is FAILED, and all its workers have ended"):
        restart(books, 1)
    scenario.opened(books, FIRST_PERIOD)
    assert numbers(books, "COMPLETED") == []


# 10 and 20 percent


def test_under_ten_percent_a_batch_heals_itself(books: str, undisturbed: Callable[[int], Account]):
    trouble(books, {4: 1})
    staged = stage_month(books, 12)
    assert (staged.workers_healed, staged.workers_kept) == (1, 0)
    close(books, 12)
    assert differences(account_of(books), undisturbed(12)) == ""


def test_a_worker_that_fails_again_is_named(books: str):
    trouble(books, {4: 2})
    with pytest.raises(WorkersFailed, match=r"1 of 12 workers failed \(8 %\), and failed again.*worker 4: DiskFull"):
        stage_month(books, 12)
    batch = batch_of(books, FIRST_PERIOD)
    assert batch.state == "FAILED"
    assert "worker 4: DiskFull: no space left for worker 4" in (batch.failure_reason or "")
    assert (numbers(books, "FAILED"), len(numbers(books, "COMPLETED"))) == ([4], 11)


def test_from_ten_percent_on_the_others_are_finished(books: str, undisturbed: Callable[[int], Account]):
    trouble(books, {2: 1})
    with pytest.raises(WorkersFailed, match=r"1 of 6 workers failed \(17 %\).*restart-worker 2024-01-MONTHEND 2"):
        stage_month(books, 6)
    assert (numbers(books, "FAILED"), len(numbers(books, "COMPLETED"))) == ([2], 5)
    restarted = restart(books, 2)
    assert (restarted.batch.state, restarted.staged.workers_missing) == ("VALIDATING", ())
    assert restarted.what_next == "all 6 workers are complete: ledger-assets close 2024-01 runs the gates"
    kept = leaves(books)
    close(books, 6)
    assert leaves(books) == kept
    assert differences(account_of(books), undisturbed(6)) == ""


def test_from_twenty_percent_on_a_batch_pauses(books: str, undisturbed: Callable[[int], Account]):
    trouble(books, dict.fromkeys(range(1, 9), 1))
    with pytest.raises(WorkersFailed, match=r"paused, \d of 12 workers failed"):
        stage_month(books, 12)
    assert len(numbers(books, "FAILED")) >= 3
    # Four shards are in memory: by the eighth at least three of the first had failed.
    assert set(numbers(books, "PENDING")) >= {*range(8, 13)}
    execute(books, "ALTER TABLE control.batch_checkpoint DISABLE TRIGGER USER")
    close(books, 12)
    assert differences(account_of(books), undisturbed(12)) == ""


def test_one_of_few_workers_is_a_fifth(books: str):
    trouble(books, {2: 1})
    with pytest.raises(WorkersFailed, match=r"paused, 1 of 3 workers failed \(33 %\)"):
        stage_month(books, 3)
    assert batch_of(books, FIRST_PERIOD).state == "FAILED"


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_fails_and_in_whatever_order_it_is_restarted(
    test_server_url: str, loaded_books: str, undisturbed: Callable[[int], Account], data: st.DataObject
):
    """Before the failed ones may stand others that failed: their entries are counted, and not written."""
    failing = data.draw(st.permutations(range(1, 13)).flatmap(lambda all_: st.just(sorted(all_[:3]))))
    order = data.draw(st.permutations(failing))
    restarts = data.draw(st.integers(0, len(order)))
    with cloned(test_server_url, loaded_books) as url:
        trouble(url, dict.fromkeys(failing, 2))
        with pytest.raises(WorkersFailed):
            stage_month(url, 12)
        execute(url, "DROP TRIGGER " + " ON control.batch_checkpoint; DROP TRIGGER ".join(
            f"trouble_{worker}" for worker in failing) + " ON control.batch_checkpoint")  # fmt: skip
        for worker in order[:restarts]:
            left = tuple(number for number, status in statuses(url).items() if status != "COMPLETED")
            assert restart(url, worker).staged.workers_missing == tuple(number for number in left if number != worker)
        close(url, 12)
        assert differences(account_of(url), undisturbed(12)) == ""


# Who may restart what


def test_restarting_needs_the_right_and_a_worker_that_ended(books: str):
    trouble(books, {2: 1})
    with pytest.raises(WorkersFailed):
        stage_month(books, 6)
    call = f"SELECT control.restart_worker('{BATCH}', 2, 'eve')".encode()
    for role in ("ledger_engine", "finance_viewer", "auditor"):
        with (
            connect(as_role(superuser(books), role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(call)
    for worker, problem in ((1, "worker 1 has completed. Fix: not complete: 2"), (7, "it has no worker 7")):
        with pytest.raises(BatchStateError, match=problem):
            restart(books, worker)
    refused = rows_of(books, "SELECT * FROM audit.batch_operation WHERE operation = 'RESTART_WORKER'")
    assert [row["outcome"] for row in refused] == ["FAILED", "FAILED"]
    assert restart(books, 2).staged.workers_missing == ()
    with pytest.raises(BatchStateError, match=f"it is VALIDATING.*Fix: run ledger-assets close {FIRST_PERIOD}"):
        restart(books, 2)
    (done,) = rows_of(
        books, "SELECT * FROM audit.batch_operation WHERE operation = 'RESTART_WORKER' AND outcome = 'SUCCESS'"
    )
    assert (done["state_before"], done["state_after"], done["details"]["worker"]) == ("FAILED", "PROCESSING", 2)


@pytest.mark.parametrize("kind", ["DRYRUN", "MONTHEND"])
def test_only_a_month_end_that_is_open_has_workers_to_restart(books: str, kind: str):
    batch, _ = scenario.opened(books, FIRST_PERIOD, kind=kind)
    assert batch is not None
    if kind == "MONTHEND":
        with connect(batch_admin(books)) as connection:
            connection.execute("SELECT control.abort_batch(%s, 'wrong file', 'tester')", [batch.batch_id])
    with connect(batch_admin(books)) as connection, pytest.raises(psycopg.Error, match=r"begun anew|it is ABORTED"):
        connection.execute("SELECT control.restart_worker(%s, 1, 'tester')", [batch.batch_id])


def test_a_worker_of_a_batch_that_is_being_staged_is_not_restarted(books: str):
    with ThreadPoolExecutor(1) as pool, held(books, "LOCK TABLE control.batch_checkpoint IN SHARE MODE"):
        staging_it = pool.submit(stage_month, books, 6)
        waiting_backend(books, 2)
        with pytest.raises(BatchStateError, match="it is being staged by ledger-assets"):
            restart(books, 1)
        held_by = value_of(books, "SELECT control.stager_of(%s, 1)", BATCH)
        assert held_by.startswith(f"ledger-assets[{os.getpid()}]")
    assert staging_it.result().workers_kept == 0
    assert value_of(books, "SELECT control.stager_of(%s, 1)", BATCH) is None


def test_who_takes_over_keeps_what_is_complete_and_shuts_out_who_was_there(
    books: str, undisturbed: Callable[[int], Account]
):
    lock = "SELECT FROM control.batch_worker WHERE worker_number = 3 FOR UPDATE"
    batch, rules = scenario.opened(books, FIRST_PERIOD, rows_per_worker=10)
    assert batch is not None
    with ThreadPoolExecutor(2) as pool:
        with held(books, lock):
            first = pool.submit(stage, books, batch, rules.compiled(), performed_by=ACTOR)
            waiting_backend(books)
            wait_until(lambda: {1, 2} <= set(numbers(books, "COMPLETED")))
            second = pool.submit(scenario.opened, books, FIRST_PERIOD)
            waiting_backend(books, 2)
        with pytest.raises(Overtaken, match=f"Fix: nothing here: ledger-assets status {FIRST_PERIOD}"):
            first.result()
        batch, rules = second.result()
        assert batch is not None
        assert set(numbers(books, "COMPLETED")) >= {1, 2}
        stage(books, batch, rules.compiled(), performed_by=ACTOR)
    assert scenario.failing_gates(books, batch) == {}
    assert scenario.post(books, batch)
    disturbances.take_balances(books)
    assert differences(account_of(books), undisturbed(6)) == ""
    assert staged_tables(books) == []


# What is told


def test_a_slow_worker_is_told_of_and_a_tiny_one_is_not(books: str):
    scenario.staged(books, FIRST_PERIOD, rows_per_worker=20)
    set_back = (
        "UPDATE control.batch_worker SET started_at = completed_at - interval '{} seconds' WHERE worker_number = {}"
    )
    for worker, seconds in ((1, 4.9), (2, 5)):
        execute(books, set_back.format(seconds, worker))
    with connect(books) as connection:
        (slow,) = slow_workers(connection, BATCH)
    assert str(slow).startswith("worker 2 is slow: 20 records in 5.0 s, 4.0 a second")


def test_each_worker_that_completes_is_told_of(books: str):
    batch, rules = scenario.opened(books, FIRST_PERIOD, rows_per_worker=10)
    assert batch is not None
    told: list[Any] = []
    stage(books, batch, rules.compiled(), performed_by=ACTOR, progress=told.append)
    assert [progress.done for progress in told] == [*range(10, ROWS + 1, 10)]
    assert told[-1].percent == 100
