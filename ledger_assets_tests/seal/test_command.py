"""`ledger-assets verify`: exit codes that programs rely on, and what people and programs are told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger_assets.accounting.seal_proof import check_proof
from ledger_assets.cli import main
from ledger_assets_tests.scenario import execute
from ledger_assets_tests.seal.test_tampering import LINES, UNGUARDED, VALUES, Entry

Run = Callable[..., Result]


@pytest.fixture
def run(sealed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LEDGER_DATABASE_URL", sealed_url)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)
    return lambda *arguments: CliRunner().invoke(main, ["verify", *(str(argument) for argument in arguments)])


def test_proven_books_end_with_0(run: Run) -> None:
    result = run()
    assert (result.exit_code, result.stdout[:6]) == (0, "PROVEN")
    assert "chain: 3 links, the last is " in result.stdout
    told = json.loads(run("2024-02", "--json").stdout)
    assert (told["verdict"], told["batches"], told["differences"]) == ("PROVEN", 1, [])


def test_an_entry_is_shown_with_its_proof(run: Run, sealed_url: str) -> None:
    number = Entry.of(sealed_url).number
    result = run("2024-02", "--entry", number)
    assert result.exit_code == 0
    assert "root of 2024-02-MONTHEND" in result.stdout
    proof = json.loads(run("2024-02", "--entry", number, "--json").stdout)["proof"]
    assert check_proof(proof) == []
    assert proof["chain"]["hash"] in result.stdout
    assert all(sibling in result.stdout for sibling in proof["worker_path"])


def test_a_difference_ends_with_2_and_shows_the_row(run: Run, sealed_url: str) -> None:
    entry = Entry.of(sealed_url)
    execute(sealed_url, UNGUARDED + VALUES["one account"][0](entry))
    result = run()
    assert (result.exit_code, result.stdout[:9]) == (2, "DIFFERENT")
    assert "3100-10" in result.stdout
    assert run("2024-01").exit_code == 0
    assert run("2024-02", "--entry", entry.number).exit_code == 2


def test_what_was_not_looked_at_ends_with_3(run: Run, sealed_url: str) -> None:
    execute(
        sealed_url,
        UNGUARDED + "UPDATE ledger.batch_seal SET seal_version = 2 WHERE batch_id = '2024-03-MONTHEND'",
    )
    result = run()
    assert (result.exit_code, result.stdout[:10]) == (3, "INCOMPLETE")
    assert run("2024-03", "--entry", 1).exit_code == 3


@pytest.mark.parametrize("words", [["--entry", 3], ["2024-02", "--entry", 100_000], ["2024-02", "--entry", 0]])
def test_what_cannot_be_asked_ends_with_1(run: Run, words: list[str]) -> None:
    assert run(*words).exit_code == 1


def test_a_dropped_table_ends_with_2(run: Run, sealed_url: str) -> None:
    execute(sealed_url, UNGUARDED + f"DROP TABLE {LINES}")
    assert run().exit_code == 2
    assert run("2024-02", "--entry", 30).exit_code == 2
