"""What counts as a month of the books, wherever one is given as text.

Here: the one form, `YYYY-MM`. Not here: which months there are (periods), and what state they are in (control.period).
"""

import re
from datetime import date
from typing import Final

from ledger_assets.accounting.errors import LedgerError, quoted

_MONTH: Final = re.compile(r"([0-9]{4})-([0-9]{2})")


class PeriodError(LedgerError):
    """A text that is no month."""


def first_day(period: str) -> date:
    """The first day of a month.

    A period becomes part of table names and paths: whatever takes one from outside asks here first.

    Raises:
        PeriodError: the text is not the YYYY-MM of a month of the years 1 to 9998: there is a day after each.
    """
    parts = _MONTH.fullmatch(period)
    if parts is None or not (1 <= int(parts[1]) < date.max.year and 1 <= int(parts[2]) <= 12):
        raise PeriodError(f"period {quoted(period)}", "it is no month", "write it as YYYY-MM, for example 2025-01")
    return date(int(parts[1]), int(parts[2]), 1)
