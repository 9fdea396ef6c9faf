"""The command line: exit codes that programs rely on, and errors that people can read."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ledger_assets import presentation
from ledger_assets.cli import main
from ledger_assets.presentation import print_table
from ledger_assets.storage.database import database_name

Run = Callable[..., Result]


@pytest.fixture
def run(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets` on books of this test's own; Dagster's storage is not touched."""
    monkeypatch.setenv("LEDGER_DATABASE_URL", ledger_url)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


def delivered(run: Run, folder: Path, *extra: str) -> Result:
    file = folder / "january.csv"
    assert run("generate", "--period", "2024-01", "--rows", 50, "--out", file, *extra).exit_code == 0
    return run("ingest", file, "--period", "2024-01", "--json")


@pytest.mark.parametrize(
    "words", [["clsoe"], ["close"], ["close", "2024-13"], ["ingest", "/nowhere.csv"], ["bench", "--lines", "3"]]
)
def test_a_mistyped_command_ends_with_1_because_2_means_a_gate(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "Error:" in result.output


@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in main.commands)])
def test_help_ends_with_0(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 0


def test_a_file_is_loaded_once(run: Run, tmp_path: Path) -> None:
    first = delivered(run, tmp_path)
    again = run("ingest", tmp_path / "january.csv", "--period", "2024-01", "--json")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert json.loads(first.stdout) | {"already_loaded": True} == json.loads(again.stdout) | {"reasons": {}}


def test_a_malformed_file_is_one_message_and_exit_code_1(run: Run, tmp_path: Path) -> None:
    result = delivered(run, tmp_path, "--defect", "bad_number")
    assert result.exit_code == 1
    assert "january.csv, line 3, column ujroh_amount: a value like '99,9x' is not a number" in " ".join(
        result.stderr.split()
    )


def test_a_dry_run_passes_fails_or_is_not_started(run: Run, tmp_path: Path) -> None:
    delivered(run, tmp_path)
    assert run("close", "2024-01", "--dry-run").exit_code == 0
    assert run("close", "2024-02", "--dry-run").exit_code == 3
    run("withdraw", 1, "--reason", "a test")
    delivered(run, tmp_path, "--defect", "unknown_product")
    result = run("close", "2024-01", "--dry-run", "--json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["outcome"] == "gate_failed"
    assert [gate["gate"] for gate in report["gates"] if not gate["passed"]] == ["record_count", "fund_reconciliation"]


def test_status_says_what_waits(run: Run, tmp_path: Path) -> None:
    delivered(run, tmp_path, "--defect", "negative_amount")
    (month,) = json.loads(run("status", "--json").stdout)
    assert (month["period"], month["status"], month["loads_to_post"], month["refused_rows"]) == (
        "2024-01",
        "OPEN",
        1,
        1,
    )
    assert (
        run("acknowledge-rejections", "2024-01", "--reason", "a test").stdout
        == "1 refused row of 2024-01 acknowledged\n"
    )
    again = run("acknowledge-rejections", "2024-01", "--reason", "a test")
    assert again.stdout == "2024-01 has no open refused row\n"
    assert "changed by the last close: none" in run("status", "2024-01").stdout
    assert json.loads(run("status", "--json").stdout)[0]["refused_rows"] == 0
    assert json.loads(run("status", "2024-01", "--json").stdout)["loads"][0]["rejected"] == 1


def test_a_month_that_is_not_closed_has_no_trial_balance(run: Run) -> None:
    assert json.loads(run("trial-balance", "2024-01", "--json").stdout) == []
    assert "is not closed" in run("trial-balance", "2024-01").stdout


def test_the_users_own_url_is_not_shown(run: Run, ledger_url: str) -> None:
    assert database_name(ledger_url) not in run("up").stdout + run("up", "--json").stdout


@pytest.mark.parametrize("notation", ["", "json"])
def test_closed_streams_are_no_reason_to_fail(tmp_path: Path, notation: str) -> None:
    """Some schedulers start programs without stdout and stderr."""
    file = tmp_path / "january.csv"
    words = ["generate", "--period", "2024-01", "--rows", "5", "--out", str(file)]
    started = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "ledger_assets.cli", *words]
    settings = {"LEDGER_HOME": str(tmp_path), "LEDGER_LOG_FORMAT": notation} if notation else {}
    assert subprocess.run(started, env={**os.environ, **settings}, check=False).returncode == 0
    assert len(file.read_text().splitlines()) == 6


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of eighty columns."""
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
    monkeypatch.setattr(presentation, "out", console)
    return console


def _said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_table_that_fits_breaks_no_number(narrow: Console) -> None:
    amounts = {"account_code": "1100-10", "debit_amount": Decimal("1234567890.12"), "credit_amount": Decimal("0.00")}
    print_table("lines", [amounts | {"because": ":gross_amount * 0.025 is a long way to say it, and goes on below"}])
    assert "1,234,567,890.12" in _said(narrow)
    assert max(len(line) for line in _said(narrow).splitlines()) <= 80
    assert "account code   " in _said(narrow)


def test_a_table_that_does_not_fit_is_lists(narrow: Console) -> None:
    row = {name: Decimal("1234567890123.45") for name in ("opening", "debit", "credit", "closing")}
    print_table("trial_balance", [{"account_code": "1100-10", **row}, {"account_code": "1310-20", **row}])
    lines = [line.split() for line in _said(narrow).splitlines()]
    assert lines.count(["debit", "1,234,567,890,123.45"]) == 2
    assert ["account", "code", "1310-20"] in lines
