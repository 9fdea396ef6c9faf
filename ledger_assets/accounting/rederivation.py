"""A month's balances next to what another engine made of the posted lines: the same, or nothing is certified (E7).

Amounts are integers in minor units; debit balances are positive, credit balances negative.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger_assets.accounting.balances import BALANCE_SHEET
from ledger_assets.accounting.certificate import CertificateError, text

MOVEMENTS = ("opening", "debit", "credit", "closing")


class DerivationDiffers(CertificateError):  # noqa: N818 - what happened
    """The posted lines say something else than the balances that were taken."""


@dataclass(frozen=True)
class DerivedBalance:
    """An account by its lines."""

    account: str
    fund: str
    account_type: str
    opening: int
    debit: int
    credit: int
    closing: int


@dataclass(frozen=True)
class Derivation:
    """What the posted lines of a month give, and how many there are."""

    balances: Sequence[DerivedBalance]
    lines: int

    @property
    def net_assets(self) -> dict[str, int]:
        """What each fund owns over what it owes."""
        funds = {balance.fund for balance in self.balances}
        return {
            fund: sum(b.closing for b in self.balances if b.fund == fund and b.account_type in BALANCE_SHEET)
            for fund in funds
        }


@dataclass(frozen=True)
class Kept:
    """What the ledger keeps of the month: movements of each account, closing balance of each fund, count of lines."""

    accounts: Mapping[str, Mapping[str, int]]
    funds: Mapping[str, int]
    lines: int


def reconcile(period: str, derived: Derivation, kept: Kept) -> None:
    """Raises DerivationDiffers naming the first account (or fund) with expected and actual; returns if all is equal."""
    found = list(_differences(derived, kept))
    if not found:
        return
    culprit, what, expected, actual = found[0]
    others = f" ({len(found) - 1} more figures differ)" if len(found) > 1 else ""
    raise DerivationDiffers(
        f"{period}, {culprit}",
        f"{what}: by the posted lines {expected}, by the ledger {actual}{others}",
        "find out what was changed by hand, lines or balances, and by whom; until they agree nothing is certified",
    )


def _differences(derived: Derivation, kept: Kept) -> Iterator[tuple[str, str, str, str]]:
    by_lines = {balance.account: balance for balance in derived.balances}
    for account in sorted(by_lines.keys() | kept.accounts.keys()):
        for movement in MOVEMENTS:
            expected = getattr(by_lines[account], movement) if account in by_lines else 0
            actual = kept.accounts[account][movement] if account in kept.accounts else 0
            if expected != actual:
                yield f"account {account}", movement, text(expected), text(actual)
    yield from _differing_funds(derived, kept)
    if derived.lines != kept.lines:
        yield "its lines", "count", f"{derived.lines:,}", f"{kept.lines:,}"


def _differing_funds(derived: Derivation, kept: Kept) -> Iterator[tuple[str, str, str, str]]:
    for fund in sorted(derived.net_assets.keys() | kept.funds.keys()):
        expected, actual = derived.net_assets.get(fund, 0), kept.funds.get(fund, 0)
        if expected != actual:
            yield f"fund {fund}", "closing balance", text(expected), text(actual)
        debit = sum(b.debit for b in derived.balances if b.fund == fund)
        credit = sum(b.credit for b in derived.balances if b.fund == fund)
        if debit != credit:
            yield f"fund {fund}", "its debits and credits", text(debit), text(credit)
