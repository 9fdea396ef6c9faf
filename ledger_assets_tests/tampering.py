"""Ways to be wrong, one function each: changes by hand of what is staged, of its source, or of what measures both.

Each function gives SQL, to be run by the owner of every table, and is registered with the gates that must see it: all
of them, so that a gate that sees too much is noticed too. Rows can be reached through the leaf that holds them and
through the tables above it. What the generator does to rows before they are loaded is in accounting.defects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ledger_assets_tests.scenario import execute, rows_of


@dataclass(frozen=True)
class Scene:
    """Where a tampering strikes: the tables by which it reaches the staged month, and entries of the first worker."""

    headers: str
    lines: str
    source: str
    premium: int
    another_premium: int
    claim: int
    last: int


@dataclass(frozen=True)
class Tampering:
    """A change by hand, the places through which it can be done, and all gates that it fails."""

    statements: Callable[[Scene], str]
    places: tuple[str, ...]
    gates: frozenset[str]


LEAF, PARENT, ROOT = "leaf", "parent", "root"
TAMPERINGS: Final[dict[str, Tampering]] = {}

_Statements = Callable[[Scene], str]


def _caught_by(*gates: str, places: tuple[str, ...]) -> Callable[[_Statements], _Statements]:
    def register(statements: _Statements) -> _Statements:
        TAMPERINGS[statements.__name__] = Tampering(statements, places, frozenset(gates))
        return statements

    return register


def _entry(*gates: str, places: tuple[str, ...] = (LEAF, PARENT)) -> Callable[[_Statements], _Statements]:
    """A change of staged rows; each fails record_count, which refuses changes by hand whatever they are."""
    return _caught_by("record_count", *gates, places=places)


def _source(*gates: str, places: tuple[str, ...] = (LEAF, PARENT, ROOT)) -> Callable[[_Statements], _Statements]:
    """A change of source rows; each fails source_unchanged."""
    return _caught_by("source_unchanged", *gates, places=places)


def _elsewhere(*gates: str) -> Callable[[_Statements], _Statements]:
    """A change of what measures entries and source: the chart, the calendar."""
    return _caught_by(*gates, places=("",))


def tamper(ledger_url: str, name: str, place: str) -> None:
    """Be wrong in one way, through one place, in one transaction."""
    execute(ledger_url, TAMPERINGS[name].statements(scene(ledger_url, place)))


def scene(ledger_url: str, place: str) -> Scene:
    """The staged month of a database that holds just one, seen from a leaf, from its parent or from the root."""
    (leaves,) = rows_of(
        ledger_url,
        "SELECT w.header_leaf::text AS headers, w.line_leaf::text AS lines, w.last_je_number, l.leaf::text AS source, "
        "i.inhparent::regclass::text AS month "
        "FROM control.batch_worker w, source.load l JOIN pg_inherits i ON i.inhrelid = l.leaf "
        "WHERE w.worker_number = 1",
    )
    numbers = {"PREMIUM": [], "CLAIM": []}
    for row in rows_of(ledger_url, "SELECT * FROM staging.je_header_staging ORDER BY je_number"):
        numbers[row["source_type"]].append(row["je_number"])
    is_leaf = place == LEAF
    return Scene(
        headers=leaves["headers"] if is_leaf else "staging.je_header",
        lines=leaves["lines"] if is_leaf else "staging.je_line",
        source={LEAF: leaves["source"], PARENT: leaves["month"]}.get(place, "source.txn_source"),
        premium=numbers["PREMIUM"][0],
        another_premium=numbers["PREMIUM"][1],
        claim=numbers["CLAIM"][0],
        last=leaves["last_je_number"],
    )


def account(code: str) -> str:
    """The id of an account, as SQL."""
    return f"(SELECT account_id FROM acct.chart_of_accounts WHERE account_code = '{code}')"


def _set(at: Scene, change: str, number: int, code: str) -> str:
    """Change the line of an entry that is booked to an account."""
    return f"UPDATE {at.lines} SET {change} WHERE je_number = {number} AND account_id = {account(code)};"


def _move(at: Scene, number: int, line_from: str, line_to: str) -> str:
    return _set(at, f"account_id = {account(line_to)}", number, line_from)


def _raise(at: Scene, number: int, code: str, by: int) -> str:
    """Make a line worth more, on the side on which it is."""
    return _set(at, f"amount = amount + {by} * sign(amount)::bigint", number, code)


def _raise_total(at: Scene, number: int, by: int) -> str:
    return f"UPDATE {at.headers} SET total_amount = total_amount + {by} WHERE je_number = {number};"


def _raise_tabarru(at: Scene, number: int, by: int) -> str:
    """A premium that brings the tabarru' fund more: its whole chain from cash to contribution, and the header."""
    chain = ("1100-10", "2320-10", "1310-20", "4110-20")
    return "".join(_raise(at, number, code, by) for code in chain) + _raise_total(at, number, 2 * by)


# --- staged entries: amounts


@_entry("debit_credit_balance", "fund_reconciliation")
def a_line_is_worth_more(at: Scene) -> str:
    return _raise(at, at.premium, "4110-20", 1)


@_entry("debit_credit_balance")
def a_line_that_recognises_nothing_is_worth_more(at: Scene) -> str:
    return _raise(at, at.claim, "1100-10", 1)


@_entry("debit_credit_balance")
def a_line_changes_sides(at: Scene) -> str:
    return (
        f"UPDATE {at.lines} SET amount = -amount WHERE je_number = {at.premium} AND account_id = {account('1100-10')}"
    )


@_entry("debit_credit_balance")
def a_header_says_another_total(at: Scene) -> str:
    return _raise_total(at, at.premium, 1)


@_entry("fund_reconciliation")
def a_balanced_entry_is_worth_more(at: Scene) -> str:
    return _raise_tabarru(at, at.premium, 100)


@_entry()
def one_entry_is_worth_more_and_another_less(at: Scene) -> str:
    return _raise_tabarru(at, at.premium, 100) + _raise_tabarru(at, at.another_premium, -100)


# --- staged entries: accounts and funds


@_entry("debit_credit_balance", "fund_reconciliation")
def a_contribution_moves_to_another_fund(at: Scene) -> str:
    return _move(at, at.premium, "4110-20", "4110-30")


@_entry("debit_credit_balance", "fund_reconciliation")
def two_entries_exchange_the_funds_of_a_line(at: Scene) -> str:
    return _move(at, at.premium, "4110-20", "4110-30") + _move(at, at.another_premium, "4110-30", "4110-20")


@_entry("fund_reconciliation")
def a_balanced_pair_moves_to_another_fund(at: Scene) -> str:
    return _move(at, at.premium, "4110-20", "4110-30") + _move(at, at.premium, "1310-20", "1310-30")


@_entry("fund_reconciliation")
def the_operator_owes_it_to_the_other_fund(at: Scene) -> str:
    return _move(at, at.premium, "2320-10", "2330-10")


@_entry("fund_reconciliation")
def a_claim_becomes_a_negative_contribution(at: Scene) -> str:
    return _move(at, at.claim, "5110-20", "4110-20")


@_entry()
def cash_becomes_equity(at: Scene) -> str:
    return _move(at, at.premium, "1100-10", "3100-10")


@_entry("debit_credit_balance", "fund_reconciliation")
def a_line_names_an_unknown_account(at: Scene) -> str:
    return (
        f"UPDATE {at.lines} SET account_id = 9999 WHERE je_number = {at.premium} AND account_id = {account('4110-20')}"
    )


# --- staged entries: rows that are missing or too many


@_entry("debit_credit_balance", "fund_reconciliation")
def a_line_is_gone(at: Scene) -> str:
    return f"DELETE FROM {at.lines} WHERE je_number = {at.premium} AND account_id = {account('4110-20')}"


@_entry("sequence_integrity", "fund_reconciliation")
def a_whole_entry_is_gone(at: Scene) -> str:
    return "".join(f"DELETE FROM {table} WHERE je_number = {at.premium};" for table in (at.headers, at.lines))


@_entry("sequence_integrity", "fund_reconciliation")
def the_last_entry_is_gone(at: Scene) -> str:
    return "".join(f"DELETE FROM {table} WHERE je_number = {at.last};" for table in (at.headers, at.lines))


@_entry("sequence_integrity", "debit_credit_balance")
def a_header_is_gone(at: Scene) -> str:
    return f"DELETE FROM {at.headers} WHERE je_number = {at.premium}"


@_entry("debit_credit_balance", "fund_reconciliation")
def an_entry_has_no_lines(at: Scene) -> str:
    return f"DELETE FROM {at.lines} WHERE je_number = {at.premium}"


@_entry("debit_credit_balance", "fund_reconciliation")
def all_lines_are_gone(at: Scene) -> str:
    return f"TRUNCATE {at.lines}"


@_entry("sequence_integrity", "fund_reconciliation")
def the_rows_of_workers_are_gone(at: Scene) -> str:
    return f"DELETE FROM {at.headers}; DELETE FROM {at.lines}"


@_entry("sequence_integrity", "fund_reconciliation", places=(LEAF,))
def the_leaf_of_a_worker_is_dropped(at: Scene) -> str:
    return f"DROP TABLE {at.lines}"


@_entry("debit_credit_balance", places=(LEAF,))
def a_balanced_pair_of_lines_is_added(at: Scene) -> str:
    lines = f"(100, {at.premium}, 9, {account('1100-10')}), (-100, {at.premium}, 10, {account('3100-10')})"
    return f"INSERT INTO {at.lines} SELECT line.*, '2024-01' FROM (VALUES {lines}) AS line"


@_entry("debit_credit_balance", places=(LEAF,))
def a_number_occurs_twice(at: Scene) -> str:
    key = f"{at.headers.removeprefix('staging.')}_pkey"
    return (
        f"ALTER TABLE {at.headers} DROP CONSTRAINT {key}; "
        f"UPDATE {at.headers} SET je_number = {at.premium} WHERE je_number = {at.another_premium}"
    )


# --- staged entries: what headers say


@_entry()
def a_header_names_a_template_of_another_type(at: Scene) -> str:
    template = "SELECT template_id FROM acct.journal_template WHERE template_code = 'CLAIM-COMBINED'"
    return f"UPDATE {at.headers} SET template_id = ({template}) WHERE je_number = {at.premium}"


@_entry()
def an_entry_does_not_count_its_transaction(at: Scene) -> str:
    return f"UPDATE {at.headers} SET source_entry = 2 WHERE je_number = {at.premium}"


@_entry()
def an_entry_bears_another_date(at: Scene) -> str:
    return f"UPDATE {at.headers} SET je_date = je_date - 40 WHERE je_number = {at.premium}"


@_entry()
def two_entries_exchange_their_transactions(at: Scene) -> str:
    return (
        f"UPDATE {at.headers} AS one SET source_id = other.source_id FROM staging.je_header AS other "
        f"WHERE (one.je_number, other.je_number) IN "
        f"(({at.premium}, {at.another_premium}), ({at.another_premium}, {at.premium}))"
    )


# --- source rows

_THE_TRANSACTION = "WHERE row_number = 7"


@_source("fund_reconciliation")
def a_transaction_is_worth_more(at: Scene) -> str:
    change = "gross_amount = gross_amount + 1, tabarru_amount = tabarru_amount + 1"
    return f"UPDATE {at.source} SET {change} {_THE_TRANSACTION}"


@_source("fund_reconciliation")
def a_transaction_is_split_otherwise(at: Scene) -> str:
    change = "tabarru_amount = tabarru_amount - 0.01, ujroh_amount = ujroh_amount + 0.01"
    return f"UPDATE {at.source} SET {change} {_THE_TRANSACTION}"


@_source()
def a_transaction_names_another_policy(at: Scene) -> str:
    return f"UPDATE {at.source} SET policy_id = policy_id || 'X' {_THE_TRANSACTION}"


@_source()
def a_transaction_bears_another_date(at: Scene) -> str:
    return f"UPDATE {at.source} SET bank_value_date = '2024-01-01', txn_date = '2024-01-01' {_THE_TRANSACTION}"


@_source("record_count", "fund_reconciliation")
def a_premium_becomes_a_claim(at: Scene) -> str:
    first = f"(SELECT min(row_number) FROM {at.source} WHERE txn_type = 'PREMIUM')"
    return f"UPDATE {at.source} SET txn_type = 'CLAIM' WHERE row_number = {first}"


@_source("record_count", "fund_reconciliation")
def a_transaction_is_gone(at: Scene) -> str:
    return f"DELETE FROM {at.source} {_THE_TRANSACTION}"


@_source("record_count", "fund_reconciliation")
def a_transaction_is_added(at: Scene) -> str:
    columns = (
        "txn_type, policy_id, product_code, channel, txn_date, bank_value_date, currency, gross_amount, "
        "tabarru_amount, tanahud_amount, ujroh_amount, period, load_id"
    )
    return (
        f"INSERT INTO {at.source} (txn_id, row_number, {columns}) "
        f"SELECT 'ADDED', 61, {columns} FROM {at.source} {_THE_TRANSACTION}"
    )


@_source("record_count", "fund_reconciliation")
def all_transactions_are_gone(at: Scene) -> str:
    return f"TRUNCATE {at.source}"


@_source("record_count", "fund_reconciliation", places=(LEAF,))
def the_leaf_of_a_load_is_dropped(at: Scene) -> str:
    return f"DROP TABLE {at.source}"


# --- elsewhere


def _chart(change: str) -> str:
    return f"UPDATE acct.chart_of_accounts SET {change} WHERE account_code = '4110-20'"


@_elsewhere("fund_reconciliation")
def an_account_is_closed(_: Scene) -> str:
    return _chart("is_open = false")


@_elsewhere("debit_credit_balance")
def an_account_joins_another_fund(_: Scene) -> str:
    return _chart("fund = 'TANAHUD'")


@_elsewhere("fund_reconciliation")
def an_account_recognises_another_component(_: Scene) -> str:
    return _chart("recognised_component = 'tanahud_amount'")


@_elsewhere("fund_reconciliation")
def an_account_recognises_on_the_other_side(_: Scene) -> str:
    return _chart("account_type = 'EXPENSE'")


@_elsewhere("sequence_integrity")
def the_numbers_of_the_period_have_moved(_: Scene) -> str:
    return "UPDATE control.period SET next_je_number = 5"
