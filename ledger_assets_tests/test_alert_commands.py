"""`ledger-assets alerts` and `test-alert`: what is shown, sent and ended from the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster import DagsterInstance

from ledger_assets.cli import main
from ledger_assets.storage import periods
from ledger_assets.storage.database import connect
from ledger_assets.storage.incidents import report_incident
from ledger_assets_tests import scenario
from ledger_assets_tests.alerts.receivers import Webhook, dead_port, webhook
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY

Run = Callable[..., Result]


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as one:
        yield one


@pytest.fixture
def run(closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets` on two closed months, with a Dagster of its own."""
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setenv("LEDGER_DATABASE_URL", superuser(closed_url))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    storage = {"module": "dagster._core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
    storage |= {"config": {"base_dir": str(tmp_path)}}
    monkeypatch.setattr(
        "ledger_assets.closing.dagster_instance",
        lambda _: DagsterInstance.local_temp(str(tmp_path), overrides={"event_log_storage": storage}),
    )
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def channels(monkeypatch: pytest.MonkeyPatch, folder: Path, *urls: str) -> None:
    file = folder / "alerts.toml"
    file.write_text("".join(f'[channels.c{n}]\nurl = "{url}"\n' for n, url in enumerate(urls)), encoding="utf-8")
    monkeypatch.setenv("LEDGER_ALERTS", str(file))


def report(url: str, **given: str) -> int:
    with connect(url) as connection:
        return report_incident(connection, **{"kind": "GATE_FAILED", "subject": JANUARY, "period": JANUARY, **given})


def test_cron_notices_and_sends_what_sensors_would(
    run: Run, closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Webhook
):
    channels(monkeypatch, tmp_path, hook.url)
    assert run("alerts", "--send").exit_code == 0
    with connect(batch_admin(closed_url)) as connection:
        periods.reopen(connection, FEBRUARY, reason="late file", performed_by="dewi")
    result = run("alerts", "--send")
    assert result.exit_code == 0, result.output
    assert "overdue: 2024-02" in result.stdout
    assert "2 messages sent" in result.stdout
    assert hook.titles == ["[WARNING] 2024-02 was reopened", "[ERROR] 2024-02: the close is overdue"]
    shown = json.loads(run("alerts", "--json").stdout)
    assert [[(one["channel"], one["status"]) for one in of["deliveries"]] for of in shown] == [[("c0", "SENT")]] * 2
    assert "c0 sent" in run("alerts").stdout


def test_what_cannot_be_sent_is_shown_everywhere(
    run: Run, closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Webhook
):
    channels(monkeypatch, tmp_path, f"json://127.0.0.1:{dead_port()}/x")
    report(closed_url)
    result = run("alerts", "--send")
    assert result.exit_code == 1
    assert "Connection refused (will be tried again)" in result.stdout
    assert "c0 failed after 1 try " in run("alerts", JANUARY).stdout
    health = run("health", "--json")
    findings = {one["what"]: one for one in json.loads(health.stdout)["findings"]}
    assert (health.exit_code, findings["alerts"]["ok"]) == (1, False)
    assert findings["incidents"]["found"].startswith("open: 1 ERROR; last look 0 minutes ago")
    metrics = run("metrics").stdout
    assert 'ledger_open_incidents{severity="ERROR"} 1.0' in metrics
    assert "ledger_alerts_undelivered 1.0" in metrics
    channels(monkeypatch, tmp_path, hook.url)
    assert run("alerts", "--send").exit_code == 0  # it is not due yet
    assert hook.posts == []
    assert run("alerts", "--send", "--retry").exit_code == 0
    assert len(hook.posts) == 1
    assert run("health").exit_code == 0


def test_by_month_and_what_is_open(run: Run, closed_url: str):
    number = report(closed_url)
    report(closed_url, subject=FEBRUARY, period=FEBRUARY)
    assert len(json.loads(run("alerts", JANUARY, "--json").stdout)) == 1
    ended = run("alerts", "--resolve", number, "--reason", "delivered again")
    assert (ended.exit_code, ended.stdout) == (0, f"incident {number} is over\n")
    assert [one["period"] for one in json.loads(run("alerts", "--open", "--json").stdout)] == [FEBRUARY]
    assert "it is over already" in run("alerts", "--resolve", number, "--reason", "x").stderr
    assert "nobody is told" in run("alerts").stdout


@pytest.mark.parametrize("words", [["--retry"], ["--resolve", "1"], ["--reason", "x"]])
def test_options_that_go_together(run: Run, words: list[str]):
    assert run("alerts", *words).exit_code == 1


def test_a_test_of_the_channels(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Webhook):
    refused = run("test-alert")
    assert (refused.exit_code, "LEDGER_ALERTS is not set" in refused.stderr) == (1, True)
    channels(monkeypatch, tmp_path, hook.url, f"json://127.0.0.1:{dead_port()}/x")
    result = run("test-alert")
    assert (result.exit_code, result.stdout) == (1, "c0: sent\n")
    assert "c1: " in result.stderr
    assert "Connection refused" in result.stderr
    assert run("test-alert", "c0").exit_code == 0
    assert "names no such channel" in run("test-alert", "c9").stderr
    assert len(hook.posts) == 2


def test_a_file_that_is_wrong_is_told_by_health_and_stops_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    channels(monkeypatch, tmp_path, "json://127.0.0.1/${NO_SUCH_VARIABLE}")
    assert "NO_SUCH_VARIABLE" in run("health").stdout
    (tmp_path / "alerts.toml").write_text("[channels.a]\nulr = 'x'\n")
    assert "line 2" in run("health").stdout
    assert run("status").exit_code == 0
    assert scenario.FIRST_PERIOD in run("status").stdout
    result = run("alerts", "--send")
    assert (result.exit_code, "'ulr' means nothing" in result.stderr) == (1, True)
