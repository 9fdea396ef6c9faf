"""`abort`, `rollback`, `reverse` and `year-end` as people and programs call them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger_assets.cli import main
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import deliver, staged
from ledger_assets_tests.test_rollback import MONTHEND, NEXT

Run = Callable[..., Result]


@pytest.fixture
def run(closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets` on books in which two months are closed."""
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(closed_url))
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("LEDGER_FIRST_PERIOD", scenario.FIRST_PERIOD)
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_a_rollback_without_its_confirmation_is_refused_and_with_it_says_what_changed(run: Run) -> None:
    refused = run("rollback", NEXT, "--reason", "wrong file")
    assert refused.exit_code == 1
    assert f"{NEXT}: it was not confirmed. Fix: type {NEXT} once more" in " ".join(refused.stderr.split())
    done = run("rollback", NEXT, "--reason", "wrong file", "--confirm", NEXT)
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "1 to 60" in text
    assert "2024-02 open" in text
    assert re.search(r"load \d+ \([\w.-]+ of 2024-02\) can be posted again", text)
    assert "fund balances of 2024-02" in text
    assert re.search(r"OPERATOR -?\d{1,3}(,\d{3})+\.\d\d ", text)  # an amount that can be read


def test_who_sits_at_a_terminal_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("ledger_assets.commands.corrections._can_be_asked", lambda: True)
    monkeypatch.setattr("click.prompt", lambda text, **_: asked.append(text) or NEXT)
    assert run("rollback", NEXT, "--reason", "wrong file").exit_code == 0
    assert asked == [f"Type {NEXT} to confirm"]


def test_a_chain_as_json(run: Run) -> None:
    refused = run("rollback", MONTHEND, "--reason", "wrong", "--confirm", MONTHEND)
    assert refused.exit_code == 1
    assert "later postings build on it (2024-02-MONTHEND)" in " ".join(refused.stderr.split())
    done = run("rollback", MONTHEND, "--reason", "wrong", "--confirm", MONTHEND, "--chain", "--json")
    effects = json.loads(done.stdout)
    assert [(effect["batch_id"], effect["numbers"], effect["loads"]) for effect in effects] == [
        (NEXT, [1, 60], [2]),
        (MONTHEND, [1, 60], [1]),
    ]


def test_a_reversal_as_json(run: Run) -> None:
    done = run("reverse", MONTHEND, "--into", "2024-03", "--reason", "wrong", "--confirm", MONTHEND, "--json")
    report = json.loads(done.stdout)
    assert (report["batch_id"], report["state"], report["entry_count"]) == ("2024-03-REVERSAL", "COMMITTED", 60)
    assert {row["account_code"] for row in report["accounts"]} >= {"1100-10", "4110-20"}


def test_an_abort_and_an_abort_once_more(run: Run, closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=3, seed=9)
    batch = staged(closed_url, FEBRUARY)
    assert run("abort", batch.batch_id, "--reason", "wrong").stdout == f"{batch.batch_id} aborted\n"
    again = run("abort", batch.batch_id, "--reason", "wrong", "--json")
    assert json.loads(again.stdout)["already_aborted"]


def test_a_year_that_is_not_over_is_not_closed(run: Run) -> None:
    refused = run("year-end", "2024", "--confirm", "2024")
    assert refused.exit_code == 1
    assert "2024-12 waits for 2024-11" in " ".join(refused.stderr.split())
