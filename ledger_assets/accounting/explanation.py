"""Why an amount is what it is: a line's expression with the numbers of its transaction, and what comes out of it.

Here: the name that an entry goes by, and the arithmetic of its lines done once more, row by row and exactly. Not here:
where lines and transactions are found (storage.explaining).
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ledger_assets.accounting.amounts import VARIABLES, parse_amount
from ledger_assets.accounting.errors import LedgerError
from ledger_assets.accounting.money import from_minor, to_minor
from ledger_assets.accounting.months import PeriodError, first_day

LARGEST_NUMBER: Final = 2**31 - 1
_NAME: Final = re.compile(r"JE-([0-9]{4}-[0-9]{2})-([0-9]{1,12})")
_VARIABLE: Final = re.compile(r":([a-z_]+)")


class EntryNameError(LedgerError):
    """What was given is no name of an entry."""


class EntryName(NamedTuple):
    """A posted entry: numbers count from 1 in every month."""

    period: str
    je_number: int

    def __str__(self) -> str:
        return f"JE-{self.period}-{self.je_number:06d}"


class Amount(NamedTuple):
    """A line's amount, worked out again.

    Attributes:
        with_numbers: the expression with the transaction's amounts in major units.
        remainder: what the line takes beside it, so that its fund balances; zero for most.
        result: both together, in major units, as the side of the template has it.
    """

    with_numbers: str
    remainder: Decimal
    result: Decimal


def entry_name(text: str) -> EntryName:
    """The entry that `JE-2025-01-000123` names; leading zeros may be left out. Raises EntryNameError."""
    fix = "write it as JE-YYYY-MM-NUMBER, for example JE-2025-01-000123, or as 2025-01 --entry 123"
    named = _NAME.fullmatch(text)
    if named is None:
        raise EntryNameError(repr(text), "an entry is named by its month and its number in it", fix)
    try:
        first_day(named[1])
    except PeriodError as error:
        raise EntryNameError(repr(text), f"{named[1]} is no month", fix) from error
    number = int(named[2])
    if not 1 <= number <= LARGEST_NUMBER:
        raise EntryNameError(repr(text), f"an entry's number is from 1 to {LARGEST_NUMBER}", fix)
    return EntryName(named[1], number)


def worked_out(lines: Sequence[Mapping[str, Any]]) -> list[Amount | None]:
    """Each line of one entry from its rule; None for a line that no expression made (a year end has none).

    Args:
        lines: `amount_expression`, `side` (DR or CR, as in the template), `fund`, `takes_remainder`, and the
            transaction's `amounts.VARIABLES` in major units; all lines of the entry that are not zero.

    Raises:
        AmountOverflow, ExpressionError: what no posted line has.
    """
    written = [_evaluated(line) for line in lines]
    missing: dict[str, int] = defaultdict(int)
    for line, amount in zip(lines, written, strict=True):
        missing[line["fund"]] -= amount * _sign(line) if amount is not None else 0
    worked: list[Amount | None] = []
    for line, amount in zip(lines, written, strict=True):
        if amount is None:
            worked.append(None)
            continue
        remainder = missing[line["fund"]] * _sign(line) if line["takes_remainder"] else 0
        worked.append(Amount(_with_numbers(line), from_minor(remainder), from_minor(amount + remainder)))
    return worked


def _evaluated(line: Mapping[str, Any]) -> int | None:
    if line["amount_expression"] is None or line["gross_amount"] is None:
        return None
    return parse_amount(line["amount_expression"]).evaluate({name: to_minor(line[name]) for name in VARIABLES})


def _sign(line: Mapping[str, Any]) -> int:
    return 1 if line["side"] == "DR" else -1


def _with_numbers(line: Mapping[str, Any]) -> str:
    return _VARIABLE.sub(lambda name: str(line[name[1]]), line["amount_expression"])
