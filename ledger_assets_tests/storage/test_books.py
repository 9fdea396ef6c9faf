"""What people ask of the books: the answers. How they are found is in test_query_plans."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_assets.storage import books
from ledger_assets.storage.books import BEGINNING, Place, UnknownAccountError
from ledger_assets.storage.database import connect
from ledger_assets.storage.reading import rows
from ledger_assets.storage.verification import verify
from ledger_assets_tests.disturbances import waiting_backend
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import close_directly, deliver, fingerprint, post, rows_of, store_rules, value_of
from ledger_assets_tests.test_reversal import MARCH, reversed_
from ledger_assets_tests.test_rollback import MONTHEND, NEXT, rolled_back

FUNDS = ("OPERATOR", "TABARRU", "TANAHUD")
CASH = "1100-10"
NOTHING = Decimal("0.00")


def asked(url: str, question: Any, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
    with connect(url) as connection:
        answer: list[dict[str, Any]] = question(connection, *arguments, **options)
        return answer


def made_by_its_rule(line: Mapping[str, Any]) -> bool:
    """Whether a line's amount is what its expression says, of its transaction; the shipped ones name a component."""
    amount = line[line["amount_expression"].removeprefix(":")]
    expected = (amount, NOTHING) if line["side"] == "DR" else (NOTHING, amount)
    return (line["debit_amount"], line["credit_amount"]) == expected


@pytest.mark.parametrize("fund", FUNDS)
def test_a_fund_statement_adds_up_from_opening_to_closing(closed_url: str, fund: str) -> None:
    first, *accounts, last = asked(closed_url, books.fund_statement, FEBRUARY, fund)
    (balance,) = rows_of(
        closed_url, "SELECT * FROM ledger.fund_balance WHERE period = %s AND fund = %s", FEBRUARY, fund
    )
    assert (first["item"], first["amount"]) == ("opening balance", balance["opening_balance"])
    assert (last["item"], last["amount"]) == ("closing balance", balance["closing_balance"])
    assert first["amount"] + sum(row["amount"] for row in accounts) == last["amount"]
    assert [row["section"] for row in accounts] == [2, 3]
    assert [row["amount"] for row in accounts] == [balance["income"], -balance["expense"]]


def test_pages_of_an_account_are_its_lines_each_once_and_in_order(closed_url: str) -> None:
    wanted = rows_of(
        closed_url,
        "SELECT je_number, line_number, batch_id, account_code, fund, debit_amount, credit_amount "
        "FROM ledger.ledger_entry_line WHERE period = %s AND account_code = %s ORDER BY je_number, line_number",
        FEBRUARY,
        CASH,
    )
    found: list[dict[str, Any]] = []
    for pages in range(9):
        after = Place(found[-1]["je_number"], found[-1]["line_number"]) if pages else BEGINNING
        found += asked(closed_url, books.account_lines, FEBRUARY, CASH, after=after, page=7)
    assert found == wanted
    assert len(found) == 60


def test_an_account_with_several_lines_in_an_entry_is_paged_between_them(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path, rows=5)
    close_directly(ledger_url, JANUARY)
    (first, *_, last) = asked(ledger_url, books.entry, JANUARY, 3)
    after = Place(3, first["line_number"])
    assert (
        asked(ledger_url, books.account_lines, JANUARY, first["account_code"], after=after, page=1)[0]["je_number"] == 4
    )
    before = Place(3, last["line_number"] - 1)
    assert (
        asked(ledger_url, books.account_lines, JANUARY, last["account_code"], after=before, page=1)[0]["je_number"] == 3
    )


def test_an_account_that_is_not_in_the_chart_is_named(closed_url: str) -> None:
    with pytest.raises(UnknownAccountError, match="9999-99"):
        asked(closed_url, books.account_lines, FEBRUARY, "9999-99")


def test_an_entry_has_its_header_and_its_lines(closed_url: str) -> None:
    entry = asked(closed_url, books.entry, FEBRUARY, 17)
    lines = "SELECT * FROM ledger.ledger_entry_line WHERE period = %s AND je_number = 17 ORDER BY line_number"
    wanted = rows_of(closed_url, lines, FEBRUARY)
    assert [{column: row[column] for column in wanted[0]} for row in entry] == wanted
    assert sum(row["debit_amount"] for row in entry) == entry[0]["total_debit"] > 0
    assert asked(closed_url, books.entry, FEBRUARY, 61) == []


def test_every_balance_is_explained_by_what_came_before_and_the_batches(closed_url: str) -> None:
    post(closed_url, reversed_(closed_url, into=MARCH))
    close_directly(closed_url, MARCH)
    balances = rows_of(closed_url, "SELECT * FROM ledger.account_balance_snapshot WHERE period >= %s", FEBRUARY)
    for balance in balances:
        parts = asked(closed_url, books.explain_balance, balance["period"], balance["account_code"])
        assert parts[0]["amount"] == balance["opening_balance"]
        assert sum(part["amount"] for part in parts) == balance["closing_balance"]
    explained = asked(closed_url, books.explain_balance, MARCH, CASH)
    assert [(part["kind"], part["lines"]) for part in explained] == [("opening balance", None), ("REVERSAL", 60)]
    assert {balance["period"] for balance in balances} == {FEBRUARY, MARCH}


@pytest.mark.parametrize("rule_set", ["combined", "three_entries"])
def test_every_line_is_explained_by_rule_and_transaction(ledger_url: str, tmp_path: Path, rule_set: str) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path, rows=20)
    close_directly(ledger_url, JANUARY, rule_set=rule_set, rows_per_worker=8)
    entries = value_of(ledger_url, "SELECT count(*) FROM ledger.je_header")
    for number in range(1, entries + 1):
        explained = asked(ledger_url, books.explain_entry, JANUARY, number)
        lines = asked(ledger_url, books.entry, JANUARY, number)
        assert [row["line_number"] for row in explained] == [row["line_number"] for row in lines] != []
        assert all(made_by_its_rule(row) for row in explained)
        assert all(row["account_code"] == row["template_account_code"] for row in explained)
        assert {(row["rule_set"], row["rule_version"], row["approved_by"]) for row in explained} == {
            (rule_set, 1, "financial-controller")
        }
        assert {row["row_number"] for row in explained} == {(number - 1) * 20 // entries + 1}


def test_a_reversal_is_explained_by_the_transaction_that_it_takes_back(closed_url: str) -> None:
    post(closed_url, reversed_(closed_url, into=MARCH))
    original = asked(closed_url, books.explain_entry, JANUARY, 30)
    counter = asked(closed_url, books.explain_entry, MARCH, 30)
    swapped = [row | {"debit_amount": row["credit_amount"], "credit_amount": row["debit_amount"]} for row in counter]
    assert [row | {"batch_id": MONTHEND, "kind": "MONTHEND"} for row in swapped] == original
    assert {row["kind"] for row in counter} == {"REVERSAL"}


def test_a_late_entry_is_explained_by_its_own_month(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=5, seed=2)
    deliver(closed_url, JANUARY, folder=tmp_path, rows=5, seed=3)
    close_directly(closed_url, FEBRUARY)
    late = rows_of(closed_url, "SELECT * FROM ledger.late_entry WHERE period = %s", FEBRUARY)
    for entry in late:
        explained = asked(closed_url, books.explain_entry, FEBRUARY, entry["je_number"])
        assert {row["source_period"] for row in explained} == {JANUARY}
        assert all(made_by_its_rule(row) for row in explained)
    assert len(late) == 5


def test_nothing_of_a_batch_that_was_rolled_back_is_shown(closed_url: str) -> None:
    rolled_back(closed_url, NEXT)
    assert asked(closed_url, books.account_lines, FEBRUARY, CASH) == []
    assert asked(closed_url, books.entry, FEBRUARY, 17) == []
    assert asked(closed_url, books.explain_entry, FEBRUARY, 17) == []
    assert asked(closed_url, books.explain_balance, FEBRUARY, CASH) == []


def test_preparing_changes_nothing_in_the_books_and_can_be_repeated(closed_url: str) -> None:
    before = fingerprint(closed_url)
    indexes = (
        "SELECT count(*) FROM pg_indexes WHERE schemaname = 'ledger' AND indexdef LIKE '%%USING brin (account_id%%'"
    )
    assert books.prepare_for_readers(closed_url, FEBRUARY) == 3
    assert value_of(closed_url, indexes) == 3
    assert books.prepare_for_readers(closed_url, FEBRUARY) == 3
    assert value_of(closed_url, indexes) == 3
    assert fingerprint(closed_url) == before
    assert verify(closed_url).differences == []


def test_who_prepares_what_another_is_preparing_waits_and_makes_no_second_index(closed_url: str) -> None:
    the_same = {"batch_id": NEXT, "worker_number": 1}
    with connect(closed_url) as first, ThreadPoolExecutor(1) as pool:
        rows(first, "queries/prepare_for_readers", **the_same)
        second = pool.submit(books.prepare_for_readers, closed_url, FEBRUARY)
        waiting_backend(closed_url)
        first.commit()
        assert second.result() == 3
    indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'ledger' AND indexdef LIKE '%%USING brin%%'"
    assert value_of(closed_url, indexes) == 3


def test_what_is_not_posted_is_not_prepared(staged_url: str) -> None:
    assert books.prepare_for_readers(staged_url, JANUARY) == 0
    with connect(staged_url) as connection:
        asked_for = rows(connection, "queries/prepare_for_readers", batch_id=MONTHEND, worker_number=1)
    assert asked_for == [{"prepare_for_readers": False}]


def test_a_month_that_was_prepared_is_rolled_back_and_closed_again(closed_url: str) -> None:
    books.prepare_for_readers(closed_url, FEBRUARY)
    rolled_back(closed_url, NEXT)
    assert books.prepare_for_readers(closed_url, FEBRUARY) == 0
    close_directly(closed_url, FEBRUARY)
    assert books.prepare_for_readers(closed_url, FEBRUARY) == 3
    assert verify(closed_url).differences == []
