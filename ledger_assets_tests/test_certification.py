"""What people see of certificates: the close that makes one or fails, the page, and the command."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster import AssetSelection

from ledger_assets import closing
from ledger_assets.cli import main
from ledger_assets.close_result import Outcome
from ledger_assets.storage.certificates import certificate_path
from ledger_assets_tests import scenario
from ledger_assets_tests.reporting.page import Page
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import Close, materialized

Run = Callable[..., Result]


REPORT = AssetSelection.assets("close_report").without_checks()
BY_ONE = "UPDATE ledger.account_balance_snapshot SET debit = debit + 1 WHERE account_code = '1100-10'"


@pytest.fixture(autouse=True)
def home(ledger_home: Path) -> Path:
    """Before every other fixture: certificates of one test's books must not lie where another's are looked for."""
    return ledger_home


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ledger-assets certificate`, in the home of this test."""
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *words: CliRunner().invoke(main, ["certificate", *map(str, words)])


@pytest.fixture
def certified(closed_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two closed months, certified by the asset; the command finds them."""
    monkeypatch.setenv("LEDGER_DATABASE_URL", closed_url)
    assert materialized(closed_url, FEBRUARY, REPORT).success
    return closed_url


def page_of(home: Path, period: str) -> Page:
    return Page((home / "reports" / period / f"close-report-{period}.html").read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------ the close


def test_a_close_certifies_the_month(ledger_url: str, ledger_home: Path, tmp_path: Path) -> None:
    scenario.store_rules(ledger_url)
    scenario.deliver(ledger_url, JANUARY, folder=tmp_path)
    assert scenario.close(ledger_url, JANUARY).outcome == Outcome.POSTED
    document = json.loads(certificate_path(ledger_home, JANUARY, 1).read_text(encoding="utf-8"))
    page = page_of(ledger_home, JANUARY)
    assert page.texts["certificate-hash"] == document["sha256"]
    assert len(page.texts["certificate-key"]) == 64
    assert scenario.close(ledger_url, JANUARY) == Close(Outcome.NOTHING_NEW)
    assert json.loads(certificate_path(ledger_home, JANUARY, 1).read_text(encoding="utf-8")) == document


def test_a_month_whose_lines_say_otherwise_ends_with_exit_code_2(closed_url: str, ledger_home: Path) -> None:
    """Changed between the balances and the report, where no check stands any more."""
    scenario.execute(closed_url, BY_ONE)
    run = materialized(closed_url, FEBRUARY, REPORT)
    assert closing._outcome(run) == Outcome.NOT_CERTIFIED
    assert Outcome.NOT_CERTIFIED.exit_code == 2
    (problem,) = closing._problems(run)
    assert "account 1100-10: debit: by the posted lines" in problem
    page = page_of(ledger_home, FEBRUARY)
    assert "The month is not certified" in page.text
    assert not list((ledger_home / "certificates").glob("*.json"))


def test_a_month_that_is_not_closed_gets_its_page_without_one(staged_url: str, ledger_home: Path) -> None:
    assert materialized(staged_url, JANUARY, REPORT).success
    assert "A month is certified when it is closed." in page_of(ledger_home, JANUARY).text
    assert not (ledger_home / "certificates").exists()


# ------------------------------------------------------------------------------------------------ the command


@pytest.mark.usefixtures("certified")
def test_the_command_shows_and_checks_a_certificate(run: Run) -> None:
    answer = json.loads(run(FEBRUARY, "--json").stdout)
    assert (answer["period"], answer["as_certified"], answer["problems"]) == (FEBRUARY, True, [])
    shown = run(FEBRUARY, "--all-lines")
    assert shown.exit_code == 0
    assert answer["sha256"] in shown.stdout
    assert "as certified" in shown.stdout


def test_the_command_ends_with_2_when_the_ledger_differs(certified: str, run: Run) -> None:
    scenario.execute(certified, BY_ONE)
    result = run(FEBRUARY)
    assert result.exit_code == 2
    assert "balances: 1100-10, debit: certified" in result.stdout
    assert not json.loads(run(FEBRUARY, "--json").stdout)["as_certified"]


@pytest.mark.parametrize("words", [["2024-07"], [], ["2024-02", "--file", __file__], ["--file", __file__]])
@pytest.mark.usefixtures("certified")
def test_everything_else_ends_with_1(run: Run, words: list[str]) -> None:
    assert run(*words).exit_code == 1


@pytest.mark.usefixtures("certified")
def test_a_file_is_checked_without_a_ledger(
    run: Run, ledger_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate_path(ledger_home, FEBRUARY, 1)
    (key,) = (ledger_home / "certificates").glob("*.pem")
    monkeypatch.setenv("LEDGER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert run("--file", path).exit_code == 0
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path / "elsewhere"))
    assert run("--file", path, "--public-key", key).exit_code == 0
    assert "No public key was given" in run("--file", path).stdout
    path.write_text(path.read_text(encoding="utf-8").replace('"lines": 480', '"lines": 481'), encoding="utf-8")
    result = run("--file", path)
    assert result.exit_code == 2
    assert "its content has the hash" in result.stdout
    path.write_bytes(b"\xff\xfe{")
    assert run("--file", path).exit_code == 1


@pytest.mark.usefixtures("certified")
def test_openssl_and_nothing_of_ours_finds_it_valid(ledger_home: Path, tmp_path: Path) -> None:
    """The three commands of docs/certificate.md."""
    page = (Path(__file__).parent.parent / "docs" / "certificate.md").read_text(encoding="utf-8")
    script = page.partition("```sh\n# by hand\n")[2].partition("```")[0]
    assert "openssl" in script
    folder = ledger_home / "certificates"
    (tmp_path / "certificate.json").write_bytes(certificate_path(ledger_home, FEBRUARY, 1).read_bytes())
    (tmp_path / "public-key.pem").write_bytes(next(folder.glob("*.pem")).read_bytes())
    right = subprocess.run(["/bin/sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Signature Verified Successfully" in right.stdout
    text = (tmp_path / "certificate.json").read_text(encoding="utf-8")
    (tmp_path / "certificate.json").write_text(text.replace('"lines": 480', '"lines": 481'), encoding="utf-8")
    wrong = subprocess.run(["/bin/sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode


@pytest.mark.slow
def test_postgresql_15_gives_the_same_certificate(
    oldest_url: str, closed_url: str, ledger_home: Path, tmp_path: Path
) -> None:
    url = oldest_url
    scenario.store_rules(url)
    for period in (JANUARY, FEBRUARY):
        scenario.deliver(url, period, folder=tmp_path)
        scenario.close_directly(url, period)
    assert materialized(url, FEBRUARY, REPORT).success
    mine = json.loads(certificate_path(ledger_home, FEBRUARY, 1).read_text(encoding="utf-8"))["certificate"]
    for path in (ledger_home / "certificates").glob("*.json"):
        path.unlink()
    assert materialized(closed_url, FEBRUARY, REPORT).success
    theirs = json.loads(certificate_path(ledger_home, FEBRUARY, 1).read_text(encoding="utf-8"))["certificate"]
    own = {"issued_at", "previous", "loads", "chain_heads", "batches"}  # moments, hashes of moments, the loads' ids
    assert {part: mine[part] for part in mine.keys() - own} == {part: theirs[part] for part in theirs.keys() - own}
