"""The month on one page: what the CFO reads first (A14), with the month before beside it.

Here: which figures, and how they are found. Not here: how they are drawn (page, pdf, workbook).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ledger_assets.accounting.chart import OPERATOR
from ledger_assets.accounting.dry_run import TARGET_SECONDS
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures, Nature, nature, net_assets
from ledger_assets.reporting.close_report import CloseReport, Row, amount, moment, seconds

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
class Fact:
    """Something about the close that is no amount: a name, what is said of it, whether it is as it should be."""

    label: str
    text: str
    is_good: bool = True


@dataclass(frozen=True)
class Summary:
    """What stands on the page.

    Attributes:
        counts: of transactions, entries and lines: whole numbers, no minor units.
        deficits: what is said of each fund that owes more than it owns.
    """

    results: Sequence[KeyFigure]
    flows: Sequence[KeyFigure]
    ratio: Ratio
    fund_balances: Sequence[KeyFigure]
    position: Sequence[KeyFigure]
    counts: Sequence[KeyFigure]
    deficits: Sequence[str]
    facts: Sequence[Fact]

    @property
    def all_figures(self) -> list[KeyFigure]:
        """The amounts, in the order of the page; the ratio stands behind the flows."""
        return [*self.results, *self.flows, *self.fund_balances, *self.position]


def summarize(report: CloseReport) -> Summary:
    """The figures of the page, from the month's figures and its statements."""
    month = report.figures
    contributions = _flow("Contributions, with fees", month, (Nature.CONTRIBUTIONS, Nature.FEES))
    claims = _flow("Claims", month, (Nature.CLAIMS,))
    balance_sheet = report.statements["balance-sheet"]
    company = len(month.fund_names) + 1
    totals = balance_sheet.line("Total assets").amounts
    fund_balances = [_fund_balance(month, fund) for fund in month.fund_names]
    return Summary(
        results=[
            *(_result(f"Result {fund}", month, month.of_fund(fund)) for fund in month.fund_names),
            _result("Result of all funds", month, month.accounts),
        ],
        flows=[contributions, claims],
        ratio=Ratio(
            "Claims / contributions",
            _per_mille(claims.now, contributions.now),
            _per_mille(claims.before, contributions.before),
        ),
        fund_balances=fund_balances,
        position=[KeyFigure("Balance sheet total, company", totals[company], totals[company + 1])],
        counts=_counts(report),
        deficits=[
            _deficit(fund, balance.now)
            for fund, balance in zip(month.fund_names, fund_balances, strict=True)
            if balance.now is not None and balance.now < 0
        ],
        facts=_facts(report),
    )


def figure(minor: int | None) -> str:
    """An amount as the page prints it."""
    return NOT_KNOWN if minor is None else amount(from_minor(minor))


def counted(value: int | None) -> str:
    """A count as the page prints it."""
    return NOT_KNOWN if value is None else f"{value:,}"


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


def _counts(report: CloseReport) -> list[KeyFigure]:
    """What was posted: transactions by type, entries, lines."""
    is_known = report.figures.previous_period is not None
    now, before = _posted(report.source), _posted(report.source_before)
    transactions = [
        KeyFigure(f"{name} transactions", now.get(name, 0), before.get(name, 0) if is_known else None)
        for name in sorted({*now, *before}, reverse=True)
    ]
    posted = [batch for batch in report.batches_before if batch["state"] == "COMMITTED"]
    entries, lines = (sum(b[name] for b in posted) if is_known else None for name in ("entry_count", "line_count"))
    return [
        *transactions,
        KeyFigure("Journal entries", report.entry_count, entries),
        KeyFigure("Journal lines", report.line_count, lines),
    ]


def _posted(source: Sequence[Row]) -> dict[str, int]:
    return {row["txn_type"]: int(row["transactions"]) for row in source if row["is_posted"]}


def _deficit(fund: str, balance: int) -> str:
    """A participants' fund in deficit is carried by a qard: a loan of the operator, without profit."""
    owes = f"{fund} owes {figure(-balance)} more than it owns"
    return f"{owes}." if fund == OPERATOR else f"{owes}: a qard of the operator or later surpluses have to cover it."


def _facts(report: CloseReport) -> list[Fact]:
    outcomes = [*(g.outcome == "passed" for g in report.gates), *(c.passed for c in report.controls)]
    exceptions = sum(row["count"] for row in report.exceptions)
    refused = {name: sum(row[name] for row in report.refusals) for name in ("open", "acknowledged", "resolved")}
    late = sum(row["transactions"] for row in report.late)
    facts = [
        Fact("Gates and controls", f"{sum(outcomes)} of {len(outcomes)} passed", all(outcomes)),
        Fact("Exceptions", f"{exceptions:,} open", not exceptions),
        Fact("Refused rows", ", ".join(f"{n:,} {name}" for name, n in refused.items()), not refused["open"]),
        *([Fact("Late transactions", f"{late:,} booked here or of this month booked later")] if late else []),
        *([_time(report)] if report.timing else []),
    ]
    for batch in {row["rules"]: row for row in report.posted}.values():
        by = (
            f"approved {moment(batch['approved_at'])} by {batch['approved_by']}"
            if batch["approved_by"]
            else "not approved"
        )
        facts.append(Fact("Rules", f"{batch['rules']}, {by}", bool(batch["approved_by"])))
    return facts


def _time(report: CloseReport) -> Fact:
    total = sum((row["total"] or Decimal(0) for row in report.timing), Decimal(0))
    share = total * 100 / TARGET_SECONDS
    text = f"{seconds(total)}, {share:,.1f} % of the target of {TARGET_SECONDS // 60} min"
    return Fact("Time from start to posted", text, total <= TARGET_SECONDS)


def _per_mille(part: int | None, whole: int | None) -> int | None:
    """Whole numbers alone: a quotient of two of thirty digits has no exact Decimal."""
    if part is None or whole is None or whole <= 0:
        return None
    quotient, rest = divmod(part * 1000, whole)
    return quotient + (2 * rest > whole or (2 * rest == whole and quotient % 2 == 1))
