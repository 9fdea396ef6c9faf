"""`ledger-assets health` and `metrics`, and the dashboard that shows the figures."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from ledger_assets import health
from ledger_assets.cli import main
from ledger_assets.settings import Settings
from ledger_assets.storage import monitoring
from ledger_assets.storage.corrections import abort_batch
from ledger_assets.storage.database import connect
from ledger_assets_tests import scenario
from ledger_assets_tests.logins import batch_admin, superuser
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.waiting import PATIENCE

PROJECT = Path(__file__).resolve().parents[1]
DASHBOARD = PROJECT / "deploy" / "grafana" / "ledger-assets.json"
RULES = PROJECT / "deploy" / "prometheus" / "ledger-assets.rules.yml"

Run = Callable[..., Result]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets` on the books of a URL."""
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)

    def run(url: str | None, *words: str) -> Result:
        if url is not None:
            monkeypatch.setenv("LEDGER_DATABASE_URL", url)
        return CliRunner().invoke(main, words)

    return run


def findings(result: Result) -> dict[str, tuple[bool | None, str]]:
    return {one["what"]: (one["ok"], one["found"]) for one in json.loads(result.stdout)["findings"]}


def samples(exposition: str) -> Samples:
    """Every figure by its name and labels. Raises ValueError for what is not Prometheus' text format."""
    families = text_string_to_metric_families(exposition)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


# ------------------------------------------------------------------------------------------------ health


def test_books_that_are_well(run: Run, closed_url: str):
    result = run(closed_url, "health", "--json")
    found = findings(result)
    assert (result.exit_code, json.loads(result.stdout)["well"]) == (0, True)
    assert {what: ok for what, (ok, _) in found.items()} == {
        "server": True, "schema": True, "disk": True, "roles": True, "last close": None, "open batches": None,
        "incidents": None, "alerts": None,
    }  # fmt: skip
    assert found["last close"][1] == f"{FEBRUARY}, 0 days ago"
    assert found["open batches"][1] == "none"


def test_an_open_batch_is_told_and_no_fault(run: Run, staged_url: str):
    result = run(staged_url, "health")
    assert result.exit_code == 0
    assert f"{JANUARY}-MONTHEND VALIDATING" in result.output
    assert "no month is closed" in result.output


def test_an_old_schema_is_told_and_left_alone(run: Run, closed_url: str):
    scenario.execute(closed_url, "UPDATE public.ledger_assets_migration SET version_num = '0001'")
    result = run(closed_url, "health", "--json")
    assert (result.exit_code, findings(result)["schema"][0]) == (1, False)
    assert scenario.value_of(closed_url, "SELECT version_num FROM public.ledger_assets_migration") == "0001"


def test_an_embedded_server_that_is_down_stays_down(run: Run, tmp_path: Path):
    result = run(None, "health", "--json")
    assert (result.exit_code, findings(result)["server"][0]) == (1, False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "LEAST_FREE", 1 << 60)
    found = health.health(Settings(database_url=closed_url, home=tmp_path))
    assert [finding.what for finding in found.findings if finding.ok is False] == ["disk"]
    assert not found.well


# ------------------------------------------------------------------------------------------------ metrics


def test_the_figures_of_two_closed_months(run: Run, closed_url: str):
    result = run(closed_url, "metrics")
    assert result.exit_code == 0
    found = samples(result.stdout)
    for period in (JANUARY, FEBRUARY):
        assert found["ledger_batches", (("kind", "MONTHEND"), ("period", period), ("state", "COMMITTED"))] == 1
        assert found["ledger_gate_passed", (("gate", "record_count"), ("period", period))] == 1
    assert found["ledger_up", ()] == 1
    assert found["ledger_posted_entries", ()] == scenario.value_of(closed_url, "SELECT count(*) FROM ledger.je_header")
    assert found["ledger_posted_lines", ()] == scenario.value_of(closed_url, "SELECT count(*) FROM ledger.je_line")
    assert found["ledger_open_exceptions", ()] == found["ledger_open_refused_rows", ()] == 0
    assert found["ledger_database_bytes", ()] > 0
    assert ("ledger_last_verification_succeeded", ()) not in found
    assert ("ledger_batch_records_expected", ()) not in found


def test_the_figures_of_a_batch_whose_gates_failed(run: Run, ledger_url: str, tmp_path: Path):
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    batch = scenario.staged(ledger_url, JANUARY)
    during = samples(run(ledger_url, "metrics").stdout)
    of_batch = (("kind", "MONTHEND"), ("period", JANUARY))
    assert during["ledger_batch_records_expected", of_batch] == 60
    assert during["ledger_batch_records_processed", of_batch] == 60
    assert during["ledger_workers", (*of_batch, ("status", "COMPLETED"))] == 3
    assert during["ledger_recent_checkpoints", ()] == 3
    assert scenario.failing_gates(ledger_url, batch)
    after = samples(run(ledger_url, "metrics").stdout)
    assert after["ledger_gate_passed", (("gate", "record_count"), ("period", JANUARY))] == 0
    assert after["ledger_gate_passed", (("gate", "sequence_integrity"), ("period", JANUARY))] == 1
    assert after["ledger_open_exceptions", ()] == 1
    with connect(batch_admin(ledger_url)) as connection:
        abort_batch(connection, batch.batch_id, performed_by="siti", reason="a wrong file")
    assert not [name for name, _ in samples(run(ledger_url, "metrics").stdout) if name == "ledger_gate_passed"]


def test_the_last_verification_is_among_them(run: Run, closed_url: str):
    assert run(closed_url, "verify", JANUARY).exit_code == 0
    found = samples(run(closed_url, "metrics").stdout)
    assert found["ledger_last_verification_succeeded", ()] == 1
    assert found["ledger_last_verification_timestamp_seconds", ()] > 0


def test_a_server_that_does_not_answer_is_a_figure_too(ledger_url: str):
    nowhere = re.sub(r"host=[^&]*", "host=/nowhere", superuser(ledger_url))
    assert [(metric.name, metric.samples) for metric in monitoring.metrics(nowhere)] == [("ledger_up", [((), 0.0)])]


def test_they_are_served_until_somebody_stops_it(closed_url: str, tmp_path: Path):
    command = [sys.executable, "-m", "ledger_assets.cli", "metrics", "--port", "0"]  # any that is free
    environment = {**os.environ, "LEDGER_DATABASE_URL": superuser(closed_url), "LEDGER_HOME": str(tmp_path)}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            address = serving.stdout.readline().strip()
            with urlopen(address) as answer:  # noqa: S310 - the command's own address
                assert samples(answer.read().decode())["ledger_up", ()] == 1
        finally:
            serving.send_signal(signal.SIGTERM)
        assert serving.wait(PATIENCE) == 0


# ------------------------------------------------------------------------------------------------ what shows them


def existing(url: str) -> set[str]:
    return {metric.name for metric in monitoring.metrics(url)}


def test_the_dashboard_shows_every_figure_and_no_other(closed_url: str):
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert {name for query in queries for name in re.findall(r"\bledger_\w+", query)} == existing(closed_url)


def test_every_alert_rule_is_about_a_figure_that_there_is_and_says_what_to_do(closed_url: str):
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    labels = {metric.name: set(metric.labels) for metric in monitoring.metrics(closed_url)}
    for rule in group["rules"]:
        named = re.findall(r"\bledger_\w+", rule["expr"])
        assert named, rule["alert"]
        assert set(named) <= set(labels), rule["alert"]
        used = re.findall(r"\$labels\.(\w+)", str(rule["annotations"])) + re.findall(r"[{,](\w+)=", rule["expr"])
        assert set(used) <= set().union(*(labels[name] for name in named)), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "what_to_do"}, rule["alert"]


def test_the_legends_of_the_dashboard_name_labels_that_there_are(closed_url: str):
    labels = {metric.name: set(metric.labels) for metric in monitoring.metrics(closed_url)}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            of_figures = (labels[name] for name in re.findall(r"\bledger_\w+", target["expr"]))
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set().union(*of_figures), panel["title"]


def test_the_page_explains_every_figure_query_and_view(closed_url: str):
    page = (PROJECT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(ledger_\w+)`", page)) - {"ledger_assets"} == existing(closed_url)
    assert {f"control.{question}" for question in monitoring.QUESTIONS} <= set(re.findall(r"`(control\.\w+)`", page))
    files = {file.relative_to(PROJECT).as_posix() for file in (PROJECT / "sql" / "monitoring").glob("*.sql")}
    assert set(re.findall(r"`(sql/monitoring/\w+\.sql)`", page)) == files
