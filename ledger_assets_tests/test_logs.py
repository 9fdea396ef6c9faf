"""What the commands log: one JSON object a line on standard error, with nothing personal or secret in it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger_assets import logs
from ledger_assets.cli import main
from ledger_assets.settings import LogSettings, SettingsError
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY

Run = Callable[..., Result]
PERSONAL = "putri.lestari@example.co.id, +62 813 7776 6655, account 3174019988776655"


@pytest.fixture
def run(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets` with a log in JSON."""
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(ledger_url))
    monkeypatch.setenv("LEDGER_LOG_FORMAT", "json")
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def lines(result: Result) -> list[dict[str, Any]]:
    """Every line of standard error. Raises ValueError for one that is no JSON."""
    return [json.loads(line) for line in result.stderr.splitlines()]


def test_a_command_says_that_it_starts_and_how_it_ends(run: Run):
    begin, end = lines(run("status", JANUARY))
    assert (begin["event"], begin["command"], begin["period"], begin["level"]) == ("started", "status", JANUARY, "info")
    assert (end["event"], end["exit_code"], end["period"]) == ("finished", 0, JANUARY)
    assert end["seconds"] >= 0
    assert end["timestamp"].endswith("Z")


def test_a_dry_run_that_stops_at_a_gate_says_which_batch_and_why(run: Run, ledger_url: str, tmp_path: Path):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    result = run("close", JANUARY, "--dry-run")
    end = lines(result)[-1]
    assert (result.exit_code, end["exit_code"], end["level"]) == (2, 2, "warning")
    assert (end["outcome"], end["batch_id"], end["dry_run"]) == ("gate_failed", "2024-01-DRYRUN", True)
    assert any(problem.startswith("record_count:") for problem in end["problems"])


def test_a_refused_attempt_and_its_error_are_lines(run: Run):
    result = run("abort", "POL-88877755501", "--reason", PERSONAL)
    events = {line["event"]: line for line in lines(result)}
    assert list(events) == ["started", "attempt refused: ABORT", "error", "finished"]
    assert events["attempt refused: ABORT"]["operation"] == "ABORT"
    assert "Fix" in events["error"]["problem"]
    assert events["finished"]["exit_code"] == 1
    for needle in ("lestari", "7776", "31740199", "88877755501"):
        assert needle not in result.stderr


def test_a_mistyped_command_is_a_line_too(run: Run):
    result = run("clsoe")
    (line,) = lines(result)
    assert result.exit_code == 1
    assert "No such command" in line["problem"]


def test_an_error_that_nobody_expected_is_told_without_what_it_says(run: Run, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("Siti Aminah")

    monkeypatch.setattr("ledger_assets.storage.incidents.incidents", broken)
    result = run("alerts")
    assert result.exit_code == 1
    assert "unexpected ValueError at " in lines(result)[1]["problem"]
    assert "Siti" not in result.stderr


def test_without_a_setting_nothing_is_logged_and_errors_are_words(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LEDGER_LOG_FORMAT")
    assert run("status").stderr == ""
    assert run("abort", "x", "--reason", "y").stderr.startswith("error: ")
    assert logging.getLogger("ledger_assets").handlers == []


def test_text_and_level_can_be_chosen(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEDGER_LOG_FORMAT", "text")
    assert "event='started'" in run("status").stderr
    monkeypatch.setenv("LEDGER_LOG_LEVEL", "WARNING")
    assert run("status").stderr == ""
    monkeypatch.setenv("LEDGER_LOG_LEVEL", "LOUD")
    result = run("status")
    assert (result.exit_code, "DEBUG or INFO" in result.stderr) == (1, True)


def test_the_settings():
    assert LogSettings.from_environment({}) is None
    assert LogSettings.from_environment({"LEDGER_LOG_FORMAT": "json"}) == LogSettings("json", "INFO")
    assert LogSettings.from_environment({"LEDGER_LOG_LEVEL": "DEBUG"}) == LogSettings("text", "DEBUG")
    with pytest.raises(SettingsError, match="text or json"):
        LogSettings.from_environment({"LEDGER_LOG_FORMAT": "xml"})


@pytest.mark.parametrize(("field", "value", "shown"), [
    ("policy_id", "POL-88877755501", "****5501"),
    ("txn_id", "Wahyuningsih", "****"),
    ("customer_name", "Sastroamidjojo", "(not shown)"),
    ("email", "a@b", "(not shown)"),
    ("reason", PERSONAL, "[e-mail], ****6655, account ****6655"),
    ("detail", "postgresql://u:hunter2@db/x failed", "postgresql://**** failed"),
    ("detail", "connection: password=hunter2 host=db", "connection: password=**** host=db"),
    ("rows", [{"policy_id": "POL-88877755501"}], [{"policy_id": "****5501"}]),
    ("run_id", "12345678-0000-4000-8000-123456789012", "12345678-0000-4000-8000-123456789012"),
    ("entries", 12345678, 12345678),
])  # fmt: skip
def test_what_a_line_shows_of_a_value(field: str, value: Any, shown: Any):
    assert logs.masked(None, "info", {field: value}) == {field: shown}


def test_a_traceback_is_no_part_of_a_line(capsys: pytest.CaptureFixture[str]):
    with logs.written(LogSettings("json", "INFO")):
        try:
            {}["Siti Aminah"]
        except KeyError:
            logging.getLogger("ledger_assets.x").exception("reading failed")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["error"]) == ("reading failed", "KeyError")
    assert "Siti" not in str(line)
