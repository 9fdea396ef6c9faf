"""Year end: income and expense of each fund go to its surplus, and the next year opens with none (E4).

Pure. One entry per fund: every income and expense account is brought to zero, and the fund's equity account takes what
that leaves. An entry stays within its fund, so every fund balances on its own as before.
"""

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ledger_assets.accounting.posting import HEADERS, LINES, Expansion
from ledger_assets.accounting.posting_exceptions import EXCEPTIONS


@dataclass(frozen=True)
class ClosingBalance:
    """An income or expense account at the end of the year; minor units, debit positive, credit negative, not zero."""

    account_id: int
    fund: str
    balance: int


def carry_to_surplus(
    balances: Sequence[ClosingBalance],
    surplus_accounts: Mapping[str, int],
    *,
    template_id: int,
    first_je_number: int,
    period: str,
) -> Expansion:
    """The entries of a year end, one per fund in the order of their names, dated the last day of the month.

    Args:
        balances: the accounts that are not at zero.
        surplus_accounts: for each fund the id of its equity account.
        template_id: of the template that headers name.
        first_je_number: the number of the first entry.
        period: the last month of the year, as `2025-12`.

    Raises KeyError for a fund without surplus account; the database has refused to begin then.
    """
    year, month = (int(part) for part in period.split("-"))
    last_day = date(year, month, calendar.monthrange(year, month)[1])
    headers, lines = [], []
    for number, fund in enumerate(sorted({balance.fund for balance in balances}), start=first_je_number):
        own = sorted((b for b in balances if b.fund == fund), key=lambda b: b.account_id)
        amounts = [(balance.account_id, -balance.balance) for balance in own]
        result = sum(balance.balance for balance in own)
        if result != 0:  # a year in which income was expense leaves the surplus as it was
            amounts.append((surplus_accounts[fund], result))
        total = sum(amount for _, amount in amounts if amount > 0)
        headers.append((total, number, last_day, template_id, 1, period, f"YEAR-END {year} {fund}", None))
        lines += [(amount, number, place, account, period) for place, (account, amount) in enumerate(amounts, start=1)]
    return Expansion(
        headers=pl.DataFrame(headers, HEADERS, orient="row"),
        lines=pl.DataFrame(lines, LINES, orient="row"),
        exceptions=EXCEPTIONS.to_frame(),
    )
