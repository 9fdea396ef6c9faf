"""Controls on the balances of a month (B4): they balance, they continue the month before, and they are those of the
lines.

Amounts are integers in minor units; debit balances are positive, credit balances negative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ledger_assets.accounting.verdicts import Verdict, amount, conclude

BALANCE_SHEET = ("ASSET", "LIABILITY")


@dataclass(frozen=True)
class AccountBalance:
    """One account at the end of the month, next to what other routes give for it.

    `previous_closing` comes from the snapshot of the month before (0 when there is none); `line_debit` and
    `line_credit` are re-added from the posted lines themselves.
    """

    account_code: str
    fund: str
    account_type: str
    mirror_account_code: str | None
    opening: int
    debit: int
    credit: int
    closing: int
    previous_closing: int
    line_debit: int
    line_credit: int


@dataclass(frozen=True)
class Balances:
    """A month's balances: of accounts, and of funds as the postings moved them (fund -> minor units)."""

    accounts: Sequence[AccountBalance]
    funds: Mapping[str, int]


def debits_equal_credits(balances: Balances) -> Verdict:
    """Debits equal credits in every fund, and so every fund's closing balances add up to nothing."""
    lines = []
    for fund in _funds(balances):
        accounts = [account for account in balances.accounts if account.fund == fund]
        lines.append(amount(f"{fund} movements", sum(a.debit for a in accounts), sum(a.credit for a in accounts)))
        lines.append(amount(f"{fund} closing balances", 0, sum(a.closing for a in accounts)))
    summary = amount(
        "debits = credits", sum(a.debit for a in balances.accounts), sum(a.credit for a in balances.accounts)
    )
    return conclude("debits_equal_credits", lines, summary=summary, good="every fund balances", bad="out of balance")


def opening_equals_previous_closing(balances: Balances) -> Verdict:
    """Every account opens with the balance that it closed the month before with."""
    lines = [amount(a.account_code, a.previous_closing, a.opening) for a in balances.accounts]
    summary = amount(
        "opening balances",
        sum(abs(a.previous_closing) for a in balances.accounts),
        sum(abs(a.opening) for a in balances.accounts),
    )
    return conclude(
        "opening_equals_previous_closing",
        lines,
        summary=summary,
        good="every account continues",
        bad="the month before ended differently",
    )


def snapshot_equals_lines(balances: Balances) -> Verdict:
    """The snapshot's movements are those of the posted lines, added up again."""
    lines = []
    for account in balances.accounts:
        lines.append(amount(f"{account.account_code} debit", account.line_debit, account.debit))
        lines.append(amount(f"{account.account_code} credit", account.line_credit, account.credit))
    summary = amount("debits", sum(a.line_debit for a in balances.accounts), sum(a.debit for a in balances.accounts))
    return conclude(
        "snapshot_equals_lines", lines, summary=summary, good="the lines say the same", bad="the lines say otherwise"
    )


def fund_balances_agree(balances: Balances) -> Verdict:
    """A fund's assets less its liabilities are the balance that the postings moved it to."""
    lines = []
    for fund in sorted({*_funds(balances), *balances.funds}):
        net_assets = sum(a.closing for a in balances.accounts if a.fund == fund and a.account_type in BALANCE_SHEET)
        lines.append(amount(fund, net_assets, balances.funds.get(fund, 0)))
    summary = amount(
        "all funds",
        sum(a.closing for a in balances.accounts if a.account_type in BALANCE_SHEET),
        sum(balances.funds.values()),
    )
    return conclude(
        "fund_balances_agree", lines, summary=summary, good="net assets = fund balances", bad="fund balances differ"
    )


def interfund_balances_mirror(balances: Balances) -> Verdict:
    """What one fund owes is what the other is owed: every due-to account and its due-from account add up to nothing."""
    closing = {account.account_code: account.closing for account in balances.accounts}
    lines = [
        amount(
            f"{account.account_code} against {account.mirror_account_code}",
            -closing.get(account.mirror_account_code, 0),
            account.closing,
        )
        for account in balances.accounts
        if account.mirror_account_code is not None
    ]
    total = sum(account.closing for account in balances.accounts if account.mirror_account_code is not None)
    summary = amount("inter-fund balances", 0, total)
    return conclude(
        "interfund_balances_mirror", lines, summary=summary, good="every pair mirrors", bad="a pair does not mirror"
    )


def _funds(balances: Balances) -> list[str]:
    return sorted({account.fund for account in balances.accounts})


CONTROLS: Mapping[str, Callable[[Balances], Verdict]] = {
    control.__name__: control
    for control in (
        debits_equal_credits,
        opening_equals_previous_closing,
        snapshot_equals_lines,
        fund_balances_agree,
        interfund_balances_mirror,
    )
}
