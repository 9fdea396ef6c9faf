"""What the statements of a month are made of: the figures of its accounts, and what each of them is.

Here: the figures and their groups. Not here: how they are read (storage/statements), and the statements themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger_assets.accounting.chart import OPERATOR, AccountType

_CONTRIBUTION, _CLAIM = "PREMIUM", "CLAIM"


@dataclass(frozen=True)
class AccountFigures:
    """An account with the figures of a month. Minor units; debits positive, credits negative.

    Attributes:
        recognised_type: the transaction type whose component it recognises, if it does.
        opening, debit, credit: as in the snapshot; `closing` follows from them.
        carried: what the year end moved on it in this month; part of debit and credit, no income or expense.
        previous_month: net movement of the month before without year end, None if that month is not closed.
        year_to_date: net movement since the first closed month of the year, without year end.
        previous_year_end: closing balance of the December before, None if that is not closed.
    """

    account_code: str
    description: str
    account_type: str
    fund: str
    mirror_account_code: str | None = None
    recognised_type: str | None = None
    opening: int = 0
    debit: int = 0
    credit: int = 0
    carried: int = 0
    previous_month: int | None = None
    year_to_date: int = 0
    previous_year_end: int | None = None

    @property
    def closing(self) -> int:
        return self.opening + self.debit - self.credit

    @property
    def movement(self) -> int:
        """What the month's business moved; the year end only carries it on."""
        return self.debit - self.credit - self.carried

    @property
    def is_position(self) -> bool:
        return self.account_type in {AccountType.ASSET, AccountType.LIABILITY}

    @property
    def is_result(self) -> bool:
        return self.account_type in {AccountType.INCOME, AccountType.EXPENSE}


@dataclass(frozen=True)
class MonthFigures:
    """What the statements of a month are made of.

    Attributes:
        since: the first month that the year to date has.
        previous_period: the month before, None if it is not closed: there is nothing to compare with.
        previous_year_end: the December before, None likewise.
        funds: what the postings moved each fund to, by another route than the snapshot (minor units, surplus positive).
        line_debit, line_credit: the posted lines, where somebody added them up again.
    """

    period: str
    accounts: Sequence[AccountFigures]
    since: str
    previous_period: str | None = None
    previous_year_end: str | None = None
    funds: Mapping[str, int] | None = None
    line_debit: int | None = None
    line_credit: int | None = None

    @property
    def fund_names(self) -> list[str]:
        """The operator first, then the participants' funds."""
        return sorted({account.fund for account in self.accounts}, key=lambda fund: (fund != OPERATOR, fund))

    def of_fund(self, fund: str) -> list[AccountFigures]:
        return [account for account in self.accounts if account.fund == fund]


class Nature(StrEnum):
    """What income or expense is, as the statements group it. The values are what people read."""

    CONTRIBUTIONS = "Contributions"
    FEES = "Fees (ujrah)"
    OTHER_INCOME = "Other income"
    CLAIMS = "Claims"
    OTHER_EXPENSE = "Other expenses"

    @property
    def is_income(self) -> bool:
        return self in _INCOME


_INCOME: Final = (Nature.CONTRIBUTIONS, Nature.FEES, Nature.OTHER_INCOME)


def nature(account: AccountFigures) -> Nature:
    """By what the account recognises. Of what a participant pays, the operator's part is a fee."""
    if account.account_type == AccountType.INCOME:
        if account.recognised_type != _CONTRIBUTION:
            return Nature.OTHER_INCOME
        return Nature.FEES if account.fund == OPERATOR else Nature.CONTRIBUTIONS
    return Nature.CLAIMS if account.recognised_type == _CLAIM else Nature.OTHER_EXPENSE


def net_assets(accounts: Sequence[AccountFigures]) -> int:
    """Assets less liabilities at the end of the month."""
    return sum(a.closing for a in accounts if a.is_position)


def missing(found: str | None, note: str) -> tuple[str, ...]:
    """The note, where there is nothing to compare with."""
    return () if found else (note,)
