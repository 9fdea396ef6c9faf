"""The month on one page: what the CFO reads first (A14), with the month before beside it.

Here: which figures, and how they are found. Not here: how they are drawn (page, pdf, workbook).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures, Nature, nature, net_assets
from ledger_assets.reporting.close_report import CloseReport, amount

NOT_KNOWN: Final = "–"
MOST_POINTS: Final = 10
"""So many open points stand on the page of the CFO; the others on the pages behind it."""


@dataclass(frozen=True)
class KeyFigure:
    """A figure of the month beside that of the month before; minor units, None where there is none."""

    label: str
    now: int | None
    before: int | None

    @property
    def change(self) -> int | None:
        return None if self.now is None or self.before is None else self.now - self.before


@dataclass(frozen=True)
class Ratio:
    """Claims in tenths of a percent of contributions, rounded half to even; None without contributions."""

    label: str
    now: int | None
    before: int | None


@dataclass(frozen=True)
class Summary:
    """What stands on the page."""

    flows: Sequence[KeyFigure]
    ratio: Ratio
    results: Sequence[KeyFigure]
    position: Sequence[KeyFigure]
    fund_balances: Sequence[KeyFigure]

    @property
    def all_figures(self) -> list[KeyFigure]:
        return [*self.flows, *self.results, *self.position, *self.fund_balances]


def summarize(report: CloseReport) -> Summary:
    """The figures of the page, from the month's figures and its statements."""
    month = report.figures
    contributions = _flow("Contributions, with fees", month, (Nature.CONTRIBUTIONS, Nature.FEES))
    claims = _flow("Claims", month, (Nature.CLAIMS,))
    balance_sheet = report.statements["balance-sheet"]
    company = len(month.fund_names) + 1
    totals = balance_sheet.line("Total assets").amounts
    return Summary(
        flows=[contributions, claims],
        ratio=Ratio(
            "Claims / contributions",
            _per_mille(claims.now, contributions.now),
            _per_mille(claims.before, contributions.before),
        ),
        results=[
            *(_result(f"Result {fund}", month, month.of_fund(fund)) for fund in month.fund_names),
            _result("Result of all funds", month, month.accounts),
        ],
        position=[KeyFigure("Balance sheet total, company", totals[company], totals[company + 1])],
        fund_balances=[_fund_balance(month, fund) for fund in month.fund_names],
    )


def figure(minor: int | None) -> str:
    """An amount as the page prints it."""
    return NOT_KNOWN if minor is None else amount(from_minor(minor))


def percent(per_mille: int | None) -> str:
    """Tenths of a percent as the page prints them."""
    return NOT_KNOWN if per_mille is None else f"{Decimal(per_mille) / 10:,.1f} %"


def _flow(label: str, month: MonthFigures, natures: Sequence[Nature]) -> KeyFigure:
    accounts = [a for a in month.accounts if a.is_result and nature(a) in natures]
    sign = -1 if natures[0].is_income else 1
    return KeyFigure(label, sign * sum(a.movement for a in accounts), _before(month, accounts, sign))


def _result(label: str, month: MonthFigures, accounts: Sequence[AccountFigures]) -> KeyFigure:
    of_result = [a for a in accounts if a.is_result]
    return KeyFigure(label, -sum(a.movement for a in of_result), _before(month, of_result, -1))


def _before(month: MonthFigures, accounts: Sequence[AccountFigures], sign: int) -> int | None:
    return sign * sum(a.previous_month or 0 for a in accounts) if month.previous_period else None


def _fund_balance(month: MonthFigures, fund: str) -> KeyFigure:
    accounts = month.of_fund(fund)
    opening = sum(a.opening for a in accounts if a.is_position) if month.previous_period else None
    return KeyFigure(f"Net assets {fund}", net_assets(accounts), opening)


def _per_mille(part: int | None, whole: int | None) -> int | None:
    """Whole numbers alone: a quotient of two of thirty digits has no exact Decimal."""
    if part is None or whole is None or whole <= 0:
        return None
    quotient, rest = divmod(part * 1000, whole)
    return quotient + (2 * rest > whole or (2 * rest == whole and quotient % 2 == 1))
