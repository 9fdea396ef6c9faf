"""A month of the books as plain-text accounting, for hledger and beancount to check (E8).

Both programs add every entry up again and test every closing balance (a balance assertion for each account), by code
that is not ours. What they accept balances, entry by entry, and ends where the snapshot says.

Here: the two notations. Not here: where entries and balances come from (storage/export).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

ROOTS = {
    "ASSET": "Assets",
    "LIABILITY": "Liabilities",
    "EQUITY": "Equity",
    "INCOME": "Income",
    "EXPENSE": "Expenses",
}
"""The five words that both programs know an account's type by."""


@dataclass(frozen=True)
class Balance:
    """An account of the month: what it opens and closes with, in major units, debit positive."""

    account_code: str
    fund: str
    account_type: str
    opening: Decimal
    closing: Decimal

    @property
    def name(self) -> str:
        """Its name in plain text: type, fund, code; what beancount does not take in a name becomes a dash."""
        fund, code = (re.sub(r"[^A-Za-z0-9-]", "-", part) for part in (self.fund, self.account_code))
        return f"{ROOTS[self.account_type]}:{fund.capitalize()}:{code}"


@dataclass(frozen=True)
class Entry:
    """A posted entry: its lines as (account code, amount in major units, debit positive).

    `original_date` is that of a transaction that came too late for its own month.
    """

    je_number: int
    je_date: date
    description: str
    source_id: str
    lines: tuple[tuple[str, Decimal], ...]
    original_date: date | None = None


def hledger(period: str, currency: str, balances: Iterable[Balance], entries: Iterable[Entry]) -> Iterator[str]:
    """A journal for hledger, block by block; `hledger check` tests it."""
    first, after = _days(period)
    accounts = {balance.account_code: balance for balance in balances}
    yield f"; {period}, posted entries and the balances they lead to\n"
    yield f"commodity 1,000.00 {currency}\n"
    yield from (f"account {balance.name}\n" for balance in accounts.values())
    yield _hledger_entry(first, "opening balances", _openings(accounts), currency)
    for entry in entries:
        title = f"({entry.je_number}) {entry.description} | {entry.source_id}"
        lines = [(accounts[code].name, amount) for code, amount in entry.lines]
        yield _hledger_entry(entry.je_date, title, lines, currency, entry.original_date)
    assertions = "".join(f"    {b.name}  0.00 {currency} = {b.closing} {currency}\n" for b in accounts.values())
    yield f"\n{after - timedelta(days=1)} closing balances of the snapshot\n{assertions}"


def beancount(period: str, currency: str, balances: Iterable[Balance], entries: Iterable[Entry]) -> Iterator[str]:
    """A ledger for beancount, block by block; `bean-check` tests it."""
    first, after = _days(period)
    accounts = {balance.account_code: balance for balance in balances}
    yield f'option "title" "{period}, posted entries and the balances they lead to"\n'
    yield f'option "operating_currency" "{currency}"\n'
    yield from (f"{first} open {balance.name} {currency}\n" for balance in accounts.values())
    yield _beancount_entry(first, '"opening balances"', _openings(accounts), currency)
    for entry in entries:
        title = f'"{_quoted(entry.source_id)}" "{_quoted(entry.description)}"\n  je_number: {entry.je_number}'
        if entry.original_date:
            title += f"\n  original_date: {entry.original_date}"
        lines = [(accounts[code].name, amount) for code, amount in entry.lines]
        yield _beancount_entry(entry.je_date, title, lines, currency)
    # A balance of a day is that of its beginning: the closing balances are those of the day after the month. Without
    # "~ 0" beancount would let a cent pass.
    yield from (f"{after} balance {balance.name} {balance.closing} ~ 0 {currency}\n" for balance in accounts.values())


FORMATS: Mapping[str, Callable[[str, str, Iterable[Balance], Iterable[Entry]], Iterator[str]]] = {
    "hledger": hledger,
    "beancount": beancount,
}


def _days(period: str) -> tuple[date, date]:
    first = date.fromisoformat(f"{period}-01")
    return first, (first + timedelta(days=31)).replace(day=1)


def _openings(accounts: Mapping[str, Balance]) -> list[tuple[str, Decimal]]:
    """Every fund's opening balances add up to nothing, so they are an entry of their own."""
    return [(balance.name, balance.opening) for balance in accounts.values()]


def _hledger_entry(
    day: date, title: str, lines: Iterable[tuple[str, Decimal]], currency: str, original: date | None = None
) -> str:
    title = _printable(title.replace(";", ","))  # a semicolon begins a comment, a line break ends the title
    tag = f"  ; original_date: {original}" if original else ""
    return f"\n{day} {title}{tag}\n" + "".join(f"    {name}  {amount} {currency}\n" for name, amount in lines)


def _beancount_entry(day: date, title: str, lines: Iterable[tuple[str, Decimal]], currency: str) -> str:
    return f"\n{day} * {title}\n" + "".join(f"  {name} {amount} {currency}\n" for name, amount in lines)


def _quoted(text: str) -> str:
    # On one line: beancount takes no more than 64 of them for one text.
    return _printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _printable(text: str) -> str:
    """The text on one line, without the characters that a terminal or a parser would take for more than text."""
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
