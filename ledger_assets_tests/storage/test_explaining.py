"""Balance to entries to transaction and rule, and forward again: what is answered, on small books."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_assets.accounting.explanation import entry_name
from ledger_assets.storage import explaining
from ledger_assets.storage.books import UnknownAccountError
from ledger_assets.storage.database import connect, statement
from ledger_assets.storage.source_loads import withdraw
from ledger_assets_tests import test_year_end as year_end
from ledger_assets_tests.scenario import FIRST_PERIOD as JANUARY
from ledger_assets_tests.scenario import SECOND_PERIOD as FEBRUARY
from ledger_assets_tests.scenario import close_directly, deliver, rows_of, staged, store_rules, value_of
from ledger_assets_tests.storage.test_books import CASH
from ledger_assets_tests.test_reversal import MARCH, REVERSAL, reversed_
from ledger_assets_tests.test_rollback import NEXT, rolled_back


def entry(url: str, name: str) -> dict[str, Any]:
    with connect(url) as connection:
        return explaining.explained_entry(connection, entry_name(name))


def transaction(url: str, txn_id: str) -> list[dict[str, Any]]:
    with connect(url) as connection:
        return rows_of_transaction(connection, txn_id)


def rows_of_transaction(connection: psycopg.Connection, txn_id: str) -> list[dict[str, Any]]:
    answer = explaining.explained_transaction(connection, txn_id)
    assert answer["transaction"] == txn_id
    rows: list[dict[str, Any]] = answer["rows"]
    return rows


def balance(url: str, account: str, fund: str, period: str, **options: Any) -> dict[str, Any]:
    with connect(url) as connection:
        return explaining.explained_balance(connection, account, fund, period, **options)


def all_names(url: str) -> list[str]:
    posted = rows_of(url, "SELECT period, je_number FROM ledger.je_header ORDER BY 1, 2")
    return [f"JE-{row['period']}-{row['je_number']:06d}" for row in posted]


def forward(connection: psycopg.Connection, txn_id: str) -> set[str]:
    """Every entry that a transaction leads to."""
    return {
        name
        for row in rows_of_transaction(connection, txn_id)
        for made in row["entries"]
        for name in (made["entry"], *made["reversed_by"])
    }


def agree(url: str) -> int:
    """Each line's expression gives its stored amount, and each entry's transaction leads to it. How many entries."""
    names = all_names(url)
    with connect(url) as connection:
        for name in names:
            answer = explaining.explained_entry(connection, entry_name(name))
            for line in answer["lines"]:
                assert line["result"] == line["debit_amount"] + line["credit_amount"], name
                assert ":" not in line["with_numbers"]
            assert name in forward(connection, answer["transaction"]["txn_id"])
    return len(names)


@pytest.mark.parametrize(("rule_set", "entries"), [("combined", 20), ("three_entries", 60)])
def test_every_line_of_a_month_is_worked_out_and_both_directions_agree(
    ledger_url: str, tmp_path: Path, rule_set: str, entries: int
) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path, rows=20)
    close_directly(ledger_url, JANUARY, rule_set=rule_set, rows_per_worker=8)
    assert agree(ledger_url) == value_of(ledger_url, "SELECT count(*) FROM ledger.je_header") > 19
    assert entry(ledger_url, "JE-2024-01-000001")["rules"]["rule_set"] == rule_set
    assert agree(ledger_url) <= entries


def test_both_directions_agree_with_late_transactions_and_reversals(closed_url: str, tmp_path: Path) -> None:
    deliver(closed_url, FEBRUARY, folder=tmp_path, rows=5, seed=2)
    deliver(closed_url, JANUARY, folder=tmp_path, rows=5, seed=3)
    close_directly(closed_url, FEBRUARY)
    reversed_(closed_url, into=MARCH)
    reversed_(closed_url, REVERSAL)
    assert agree(closed_url) == 60 + 60 + 10 + 60 + 60
    late = [entry(closed_url, f"JE-2024-02-{number}")["transaction"]["period"] for number in range(61, 71)]
    assert sorted(late) == [JANUARY] * 5 + [FEBRUARY] * 5


def test_reversals_are_named_both_ways(closed_url: str) -> None:
    reversed_(closed_url, into=MARCH)
    reversed_(closed_url, REVERSAL)
    first, second, third = (entry(closed_url, f"JE-{name}") for name in ("2024-01-30", "2024-03-30", "2024-03-90"))
    assert (first["reverses"], first["reversed_by"]) == (None, second["entry"])
    assert (second["reverses"], second["reversed_by"]) == (first["entry"], third["entry"])
    assert (third["reverses"], third["reversed_by"]) == (second["entry"], None)
    (row,) = transaction(closed_url, first["transaction"]["txn_id"])
    assert row["entries"] == [{"entry": first["entry"], "reversed_by": [second["entry"], third["entry"]]}]


def test_a_balance_leads_to_its_entries_page_by_page(closed_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining.books, "PAGE", 25)
    whole: list[str] = []
    first: int | None = 1
    while first is not None:
        answer = balance(closed_url, CASH, "OPERATOR", FEBRUARY, first=first)
        whole += [line["entry"] for line in answer["lines"]]
        first = entry_name(answer["next"]).je_number if answer["next"] else None
    assert whole == [f"JE-2024-02-{number:06d}" for number in range(1, 61)]
    closing = value_of(
        closed_url,
        "SELECT closing_balance FROM ledger.account_balance_snapshot WHERE period = %s AND account_code = %s",
        FEBRUARY,
        CASH,
    )
    assert answer["balance"] == sum(part["amount"] for part in answer["parts"]) == closing
    assert [part["kind"] for part in answer["parts"]] == ["opening balance", "MONTHEND"]


def test_the_account_belongs_to_the_fund_that_is_named(closed_url: str) -> None:
    with pytest.raises(explaining.OtherFundError, match="1100-10: it belongs to the fund OPERATOR, not to TABARRU"):
        balance(closed_url, CASH, "TABARRU", FEBRUARY)
    with pytest.raises(UnknownAccountError, match="9999-99"):
        balance(closed_url, "9999-99", "TABARRU", FEBRUARY)
    with pytest.raises(explaining.NoBalanceError, match="1100-10 in 2025-07"):
        balance(closed_url, CASH, "OPERATOR", "2025-07")


def test_a_year_end_has_neither_transaction_nor_expression(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    year_end.deliver(ledger_url, tmp_path, year_end.DECEMBER, year_end.ROWS)
    year_end.close(ledger_url, year_end.DECEMBER)
    year_end.closed_year(ledger_url)
    answer = entry(ledger_url, "JE-2024-12-000004")
    assert (answer["kind"], answer["transaction"]) == ("YEAREND", None)
    assert {line["expression"] for line in answer["lines"]} == {line["result"] for line in answer["lines"]} == {None}
    assert entry(ledger_url, "JE-2024-12-000001")["transaction"]["policy_id"] == "****"


def test_what_was_rolled_back_waits_again_and_its_entries_are_unknown(closed_url: str) -> None:
    txn_id = entry(closed_url, "JE-2024-02-000017")["transaction"]["txn_id"]
    rolled_back(closed_url, NEXT)
    with pytest.raises(explaining.UnknownEntryError, match="JE-2024-02-000017: no posted entry"):
        entry(closed_url, "JE-2024-02-17")
    (row,) = transaction(closed_url, txn_id)
    assert (row["state"], "entries" in row) == ("WAITING", False)


def test_a_staged_transaction_is_in_its_batch(staged_url: str) -> None:
    txn_id = value_of(staged_url, "SELECT min(txn_id) FROM source.txn_source")
    (row,) = transaction(staged_url, txn_id)
    assert (row["state"], row["batch_id"]) == ("IN_BATCH", "2024-01-MONTHEND")


def test_an_exception_says_why_and_a_refused_row_too(ledger_url: str, tmp_path: Path) -> None:
    store_rules(ledger_url)
    deliver(ledger_url, JANUARY, folder=tmp_path, defects=["unknown_product"])
    staged(ledger_url, JANUARY)
    (txn_id,) = {row["txn_id"] for row in rows_of(ledger_url, "SELECT txn_id FROM control.exception_queue")}
    (row,) = transaction(ledger_url, txn_id)
    assert (row["state"], row["reason"]) == ("EXCEPTION", "NO_TEMPLATE")
    deliver(ledger_url, FEBRUARY, folder=tmp_path, defects=["negative_amount"])
    (refused,) = rows_of(ledger_url, "SELECT txn_id FROM source.rejected_row")
    (row,) = transaction(ledger_url, refused["txn_id"])
    assert (row["state"], row["reasons"]) == ("REFUSED", ["NEGATIVE_AMOUNT"])


def test_a_transaction_that_nobody_delivered_is_unknown_and_withdrawn_loads_are_named(
    ledger_url: str, tmp_path: Path
) -> None:
    load = deliver(ledger_url, JANUARY, folder=tmp_path)
    txn_id = value_of(ledger_url, "SELECT min(txn_id) FROM source.txn_source")
    with connect(ledger_url) as connection:
        withdraw(connection, load.load_id, reason="wrong file", by="tests")
    with pytest.raises(explaining.UnknownTransactionError, match=rf"{txn_id}: no load .* not kept: {load.load_id} "):
        transaction(ledger_url, txn_id)


def test_names_and_numbers_of_persons_are_masked(closed_url: str) -> None:
    with connect(closed_url) as connection, pytest.raises(explaining.UnknownTransactionError) as refused:
        explaining.explained_transaction(connection, "Wahyuningsih")
    assert "Wahyuningsih" not in str(refused.value)
    told = entry(closed_url, "JE-2024-01-000001")["transaction"]
    policy = value_of(closed_url, "SELECT policy_id FROM source.txn_source WHERE txn_id = %s", told["txn_id"])
    assert told["policy_id"] == f"****{policy[-4:]}"
    assert transaction(closed_url, told["txn_id"])[0]["policy_id"] == f"****{policy[-4:]}"


def test_an_expression_with_a_long_number_is_no_telephone(closed_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = statement_with(":gross_amount * 12345678")
    monkeypatch.setattr(explaining, "statement", lambda _: text)
    assert {line["expression"] for line in entry(closed_url, "JE-2024-01-1")["lines"]} == {":gross_amount * 12345678"}


def statement_with(expression: str) -> bytes:
    asked_for = statement("queries/explain_entry")
    text = asked_for if isinstance(asked_for, bytes) else asked_for.encode()
    return text.replace(b"t.amount_expression", f"'{expression}' AS amount_expression".encode())
