"""Personal data in what people and programs read beside the books: logs, metadata, messages, reports (A9).

Here: what may be shown of a value. Not here: the books themselves, which keep what was delivered (`source.txn_source`,
`source.rejected_row`, and the transaction's id on its entry).

What may appear is listed, as far as that can be: codes that the rules name, ids that look like ids, numbers and days by
their pattern. Only words that people typed as words (a reason, a file's name) pass through `masked_text`, which knows
addresses and numbers but no names.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

UNLISTED: Final = "(not in the rules)"
"""Stands for a type, product or channel that no rule names; `acct.shown_code` says the same in SQL."""

NONE: Final = "(none)"

COMMON_CHANNELS: Final = ("AGENCY", "BANCA", "BROKER", "DIGITAL", "DIRECT", "ONLINE", "BRANCH", "WORKSITE")
"""Words of the trade for how cover is sold: nobody's name. The shipped rules take any channel and name none."""

_SHOWN: Final = 4
_LONGEST_PATTERN: Final = 40

# The same three expressions stand in SQL, in audit.masked; a test holds the two against each other.
_EMAIL: Final = re.compile(r"[^][ \t\r\n@<>,;:\"'()=]+@[^][ \t\r\n@<>,;:\"'()=]+")
_PHONE: Final = re.compile(
    r"(?<![0-9A-Za-z_.,-])(?<![0-9]:)(?:\+[0-9]|0[0-9])[0-9 ().-]{2,}([0-9 ().-]{3}[0-9])(?![0-9A-Za-z])"
)
_LONG_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z_.,])[0-9]{4,}([0-9]{4})(?![0-9A-Za-z]|[.,][0-9])")

_ID: Final = re.compile(r"(?=.*[0-9])(?!.*[A-Z]{7})[A-Z0-9]+(?:[-_/.:][A-Z0-9]+)*")
_PERSONAL_NUMBER: Final = re.compile(r"0[0-9]{7,}|[0-9]{10,}")
_LONGEST_ID: Final = 40

_LETTER: Final = re.compile(r"[^\W\d_]")
_DIGIT: Final = re.compile(r"\d")
_QUOTED: Final = re.compile(r'"([^"]*)"')

_NUMBERS: Final = frozenset({"policy_id", "account_number", "bank_account"})
_IDS: Final = frozenset({"txn_id", "source_id", "first_transaction"})


def masked_number(value: str) -> str:
    """The last four characters of an account's or policy-holder's number.

    Nothing of one that has no more than these, nor where they hold no digit: that is no number but perhaps a name.
    """
    last = value[-_SHOWN:] if len(value) > _SHOWN else ""
    return "*" * 4 + (last if _DIGIT.search(last) else "")


def masked_id(value: str) -> str:
    """A transaction's id as it is if it looks like one (capitals, digits, separators), else its last four characters.

    Source systems put anything there: a name has lower case, blanks or many letters in a row, a telephone, account or
    identity number is nothing but digits.
    """
    looks_like_one = len(value) <= _LONGEST_ID and _ID.fullmatch(value) and not _PERSONAL_NUMBER.fullmatch(value)
    return value if looks_like_one else masked_number(value)


def masked_text(words: str) -> str:
    """Words without e-mail addresses, and of long numbers (telephone, account) only the last four characters.

    Amounts, days, and numbers with thousands separators stay. A name cannot be told from other words: text that may
    hold one must not get here.
    """
    words = _EMAIL.sub("[e-mail]", words)
    words = _PHONE.sub(r"****\1", words)
    return _LONG_NUMBER.sub(r"****\1", words)


def masked_code(value: str | None, listed: Collection[str]) -> str:
    """A type, product or channel if the rules name it."""
    if value is None:
        return NONE
    return value if value in listed else UNLISTED


def pattern(value: str) -> str:
    """What a value looks like: every digit as 9, every letter as x. Enough to see why it is no number or no day.

    `12,5x` becomes `99,9x`.
    """
    shown = _DIGIT.sub("9", _LETTER.sub("x", value[:_LONGEST_PATTERN]))
    return shown if len(value) <= _LONGEST_PATTERN else f"{shown}..."


def without_quotes(message: str) -> str:
    """A message of PostgreSQL about a value, with the value that it quotes as a pattern."""
    return _QUOTED.sub(lambda quoted: f'"{pattern(quoted[1])}"', message)


def looks_like_data(cells: Collection[str]) -> bool:
    """Whether what should be the names of columns is a row: an amount, a day or an address stands among them."""
    return any("@" in cell or re.fullmatch(r"\s*[-+]?[0-9][0-9.,:/ -]*", cell) for cell in cells)


def masked_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row for people to read: numbers and ids by their column, every other text as `masked_text`."""
    return {column: _masked_cell(column, value) for column, value in record.items()}


def _masked_cell(column: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if column in _NUMBERS:
        return masked_number(value)
    if column in _IDS:
        return masked_id(value)
    return masked_text(value)
