"""`ledger-assets explain`: what is typed, what is printed, for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ledger_assets.cli import main
from ledger_assets_tests.scenario import value_of

ENTRY = {"entry", "batch_id", "kind", "reverses", "reversed_by", "rules", "transaction", "lines"}
LINE = {
    "line_number", "account_code", "fund", "debit_amount", "credit_amount", "template_account_code", "expression",
    "with_numbers", "remainder", "result",
}  # fmt: skip
BALANCE = {"account_code", "description", "fund", "period", "balance", "parts", "lines", "next"}


@pytest.fixture
def run(closed_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LEDGER_DATABASE_URL", closed_url)
    monkeypatch.setenv("LEDGER_HOME", str(tmp_path))
    monkeypatch.setattr("ledger_assets.storage.database.ensure_databases", lambda _: None)

    def explain(*words: str) -> Result:
        return CliRunner().invoke(main, ["explain", *words])

    return explain


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_programs_get_the_whole_way_there_and_back(run: Any) -> None:
    balance = answer(run("--account", "1100-10", "--fund", "OPERATOR", "--period", "2024-02", "--json"))
    assert balance.keys() == BALANCE
    entry = answer(run(balance["lines"][16]["entry"], "--json"))
    assert entry.keys() == ENTRY
    assert {frozenset(line) for line in entry["lines"]} == {frozenset(LINE)}
    assert entry == answer(run("2024-02", "--entry", "17", "--json"))
    back = answer(run("--transaction", entry["transaction"]["txn_id"], "--json"))
    assert [row["entries"] for row in back["rows"]] == [[{"entry": "JE-2024-02-000017", "reversed_by": []}]]


def test_people_read_expression_numbers_and_result(run: Any) -> None:
    entry = answer(run("JE-2024-02-17", "--json"))
    shown = run("JE-2024-02-17").output
    first = entry["lines"][0]
    assert f"{first['expression']}: {first['with_numbers']} = {first['result']}" in " ".join(shown.split())
    assert "combined v1, approved by financial-controller" in shown
    assert "POSTED in 2024-02-MONTHEND" in run("--transaction", entry["transaction"]["txn_id"]).output
    made_of = run("--account", "1100-10", "--fund", "OPERATOR", "--period", "2024-02", "--from", "JE-2024-02-60").output
    assert "JE-2024-02-000060" in made_of
    assert "JE-2024-02-000059" not in made_of


def test_no_policy_number_is_printed(run: Any, closed_url: str) -> None:
    txn_id = answer(run("JE-2024-02-17", "--json"))["transaction"]["txn_id"]
    policy = value_of(closed_url, "SELECT policy_id FROM source.txn_source WHERE txn_id = %s", txn_id)
    for words in (["JE-2024-02-17"], ["--transaction", txn_id]):
        for output in (run(*words).output, run(*words, "--json").output):
            assert policy not in output
            assert f"****{policy[-4:]}" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one thing"),
        (["JE-2024-02-17", "--transaction", "X"], "name one thing"),
        (["--entry", "3"], "name one thing"),
        (["--entry", "3", "--transaction", "X"], "--entry needs the month"),
        (["17"], "an entry is named by its month and its number"),
        (["JE-2024-02-61"], "JE-2024-02-000061: no posted entry has that number"),
        (["--account", "1100-10"], "--account needs --fund and --period"),
        (["JE-2024-02-17", "--fund", "TABARRU"], "belong to --account"),
        (["--account", "1100-10", "--fund", "TABARRU", "--period", "2024-02"], "it belongs to the fund OPERATOR"),
        (
            ["--account", "1100-10", "--fund", "OPERATOR", "--period", "2024-02", "--from", "JE-2024-01-1"],
            "no entry of",
        ),
        (["--transaction", "TXN-0"], "transaction TXN-0: no load has a row with that id"),
    ],
)
def test_what_is_not_one_question_or_not_there_is_one_message(run: Any, words: list[str], message: str) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
