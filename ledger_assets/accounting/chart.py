"""The chart of accounts.

Here: what an account is and what can be wrong with one on its own. Not here: how accounts relate to each other and to
templates (rule_proofs), and where the shipped chart stands (rules/chart_of_accounts.toml).

Each account belongs to exactly one fund. That is what keeps the funds of a takaful operator apart (IFRS 17 and the
takaful standards want the participants' money never mixed with the operator's): a line needs no fund of its own, it
takes the fund from its account, and an entry that balances per fund moves nothing between funds except through a
due-to account and the due-from account that mirrors it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.accounting.errors import RuleError

OPERATOR: Final = "OPERATOR"
"""The fund of the takaful operator (the shareholders). Every other fund belongs to participants."""


class AccountType(StrEnum):
    """The five kinds of account."""

    ASSET = "ASSET"
    LIABILITY = "LIABILITY"
    EQUITY = "EQUITY"
    INCOME = "INCOME"
    EXPENSE = "EXPENSE"


@dataclass(frozen=True)
class Account:
    """One account of the chart.

    Attributes:
        account_code: its key.
        description: what a reader of the statements sees.
        account_type: what kind of account it is.
        fund: the one fund that it belongs to; funds are data, any name will do.
        is_open: whether anything may be posted to it.
        mirror_account_code: for a due-to or due-from account, the account of the other fund that always shows the
            same amount on the other side.
        recognises: (source type, component) if this income or expense account is where the component is recognised:
            an income account credits it, an expense account debits it.

    Raises:
        RuleError: a blank code, a mirror of itself, or a recognition that cannot be.
    """

    account_code: str
    description: str
    account_type: AccountType
    fund: str
    is_open: bool = True
    mirror_account_code: str | None = None
    recognises: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        culprit = f"account {self.account_code!r}"
        object.__setattr__(self, "account_type", _account_type(culprit, self.account_type))
        for name in ("account_code", "description", "fund"):
            value = getattr(self, name)
            if not value or value != value.strip():
                raise RuleError(culprit, f"its {name} is blank or has blanks around it", f"give it a {name}")
        if self.mirror_account_code == self.account_code:
            raise RuleError(culprit, "an account cannot mirror itself", "name the account of the other fund")
        if self.recognises is not None:
            self._check_recognition(culprit, *self.recognises)

    def _check_recognition(self, culprit: str, source_type: str, component: str) -> None:
        if not source_type or component not in COMPONENTS:
            raise RuleError(
                culprit, f"it recognises {component!r}, which is no component", f"use one of {', '.join(COMPONENTS)}"
            )
        if self.account_type not in (AccountType.INCOME, AccountType.EXPENSE):
            raise RuleError(
                culprit,
                f"{self.account_type} accounts recognise nothing",
                "let an income or expense account recognise it",
            )


def _account_type(culprit: str, value: str) -> AccountType:
    try:
        return AccountType(value)
    except ValueError as error:
        raise RuleError(
            culprit, f"there is no account type {value!r}", f"use one of {', '.join(AccountType)}"
        ) from error
