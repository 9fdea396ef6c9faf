"""What a team would otherwise do: that each way really posts the same, and what is said of its speed."""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest

from ledger_assets.bench import alternatives, run_bench
from ledger_assets.settings import Settings
from ledger_assets.storage.database import connect

NAMES = [alternative.name for alternative in alternatives.ALTERNATIVES]


def by_sets_and(*afterwards: str) -> alternatives.Alternative:
    """The set-based way, and what is done to its rows then."""

    def post(url: str, rule_set: str, transactions: int) -> None:
        alternatives._post_by_sets(url, rule_set, transactions)
        with connect(url) as connection:
            for text in afterwards:
                connection.execute(text)  # type: ignore[arg-type]

    return alternatives.Alternative("spoiled", None, post)


@pytest.mark.parametrize("lines", [2, 8])
def test_each_way_comes_to_the_entries_and_totals_of_our_close(quiet_server: Settings, lines: int) -> None:
    result = run_bench(quiet_server, transactions=300, lines=lines, comparing=True, rows_per_worker=120)
    compared = {one["name"]: one for one in result["compare"]}
    assert list(compared) == NAMES
    for name, one in compared.items():
        if name == "pandas to_sql" and find_spec("pandas") is None:
            assert "pip install" in one["not_measured"]
            continue
        # The comparison itself raises when an account's total differs.
        assert (one["transactions"], one["entries"], one["lines"]) == (300, result["entries"], result["lines"]), name
        assert (one["is_extrapolated"], one["all_transactions_s"]) == (False, one["seconds"])
        # Seconds are told in milliseconds: of a way that takes twenty, half a one is more than two percent.
        slowest, fastest = one["seconds"] + 0.0006, max(one["seconds"] - 0.0006, 0.0001)
        assert (one["entries"] + one["lines"]) / slowest <= one["rows_per_s"] + 1
        assert one["rows_per_s"] - 1 <= (one["entries"] + one["lines"]) / fastest


def test_what_cannot_bear_all_rows_is_extrapolated_and_says_so(
    quiet_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = tuple(replace(one, most=100) for one in alternatives.ALTERNATIVES if one.needs is None)
    monkeypatch.setattr(alternatives, "ALTERNATIVES", some)
    result = run_bench(quiet_server, transactions=400, lines=8, comparing=True)
    for one in result["compare"]:
        assert (one["transactions"], one["lines"], one["is_extrapolated"]) == (100, 800, True)
        assert one["all_transactions_s"] == pytest.approx(4 * one["seconds"], abs=0.003)


def test_a_missing_package_is_said_and_the_rest_runs(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternatives, "find_spec", lambda _: None)
    result = run_bench(quiet_server, transactions=50, lines=8, comparing=True)
    missing = {one["name"]: one["not_measured"] for one in result["compare"] if "not_measured" in one}
    assert list(missing) == NAMES[2:]
    assert all("pip install" in text for text in missing.values())
    assert [one["entries"] for one in result["compare"][:2]] == [50, 50]


@pytest.mark.parametrize(
    "spoiled",
    [
        "UPDATE alternative.line SET credit_amount = credit_amount + 0.01 WHERE je_number = 7 AND line_number = 2",
        "UPDATE alternative.line SET account_code = '4210-10' WHERE je_number = 7 AND line_number = 2",
        "DELETE FROM alternative.header WHERE je_number = 7",
        "UPDATE alternative.header SET total_debit = total_debit + 1 WHERE je_number = 7",
    ],
)
def test_a_way_that_comes_to_something_else_is_refused(
    quiet_server: Settings, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    monkeypatch.setattr(alternatives, "ALTERNATIVES", (by_sets_and(spoiled),))
    with pytest.raises(RuntimeError, match="spoiled and our close disagree"):
        run_bench(quiet_server, transactions=20, lines=8, comparing=True)


def test_nothing_is_compared_unless_asked(quiet_server: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("it was not asked for")

    monkeypatch.setattr("ledger_assets.bench.rounds.compare", refuse)
    assert "compare" not in run_bench(quiet_server, transactions=10, lines=8)
