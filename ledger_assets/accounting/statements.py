"""The statements of a month (B8): trial balance, profit and loss, balance sheet, changes of each fund.

Pure: from the balances of the accounts, and what the chart says of them, to tables. Nothing is estimated or allocated:
a figure is a balance, or a sum of balances.

How takaful is presented, and where that is said:

- The participants' money is not the operator's, and papers show them side by side and never mixed: columns for the
  operator and for each participants' fund, and one for the company. AAOIFI FAS 12, since 2025 superseded by FAS 42
  (Presentation and Disclosures in the Financial Statements of Takaful Institutions), asks for a statement of income of
  the operator, of revenues and expenses (surplus or deficit) of the participants' funds, and of their changes; what
  belongs to participants stands apart from the owners' equity. In Malaysia the same columnar presentation (operator,
  takaful fund, company) is kept with IFRS 17 (MASB Discussion Paper i-1 Takaful, 2011, and its paper on IFRS 17 of
  2020).
- What one fund owes another is eliminated in the company's column, as IFRS 10 B86(c) asks of balances within a group.
  Only what both sides show is taken out. The rest of a pair that does not mirror stays in the company's column and is
  named as a difference: an elimination may not hide one.
- The result that is not carried to surplus yet is shown within equity or the participants' fund (IAS 1.54(r), 106),
  so that assets are liabilities plus funds in every column in every month, and not only after a year end.

IFRS 17 measures groups of insurance contracts (contractual service margin, risk adjustment). The books hold what was
contributed and paid, so that is not done here: these are statements of the books, by fund, in the presentation that
IFRS 17 and FAS 42 statements have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby, takewhile
from typing import Final

from ledger_assets.accounting.chart import OPERATOR, AccountType
from ledger_assets.accounting.statement_tables import Amount, Check, Composer, Kind, Statement, Term, less

ALL_FUNDS: Final = "All funds"
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
    """By what the account recognises: of a contribution the operator's part is its fee, the others are contributions."""
    if account.account_type == AccountType.INCOME:
        if account.recognised_type != _CONTRIBUTION:
            return Nature.OTHER_INCOME
        return Nature.FEES if account.fund == OPERATOR else Nature.CONTRIBUTIONS
    return Nature.CLAIMS if account.recognised_type == _CLAIM else Nature.OTHER_EXPENSE


# ------------------------------------------------------------------------------------------------ trial balance


def trial_balance(month: MonthFigures) -> Statement:
    """Every account with what it opened with, its debits and credits, and what it closed with; by fund."""
    composer = Composer(4)
    totals = []
    for fund in month.fund_names:
        composer.heading(fund, fund)
        terms = [
            composer.amount(a.description, (a.opening, a.debit, a.credit, a.closing), (a.account_code,), fund)
            for a in sorted(month.of_fund(fund), key=lambda a: a.account_code)
        ]
        totals.append(composer.total(f"Total {fund}", terms, fund=fund))
    composer.total(f"Total {ALL_FUNDS.lower()}", totals, Kind.TOTAL)
    debit, credit = sum(a.debit for a in month.accounts), sum(a.credit for a in month.accounts)
    checks = [Check("Debits = credits", debit, credit)]
    for fund in month.fund_names:
        checks.append(Check(f"{fund} closes at zero", 0, sum(a.closing for a in month.of_fund(fund))))
    if month.line_debit is not None and month.line_credit is not None:
        checks += [
            Check("Debits = the posted lines'", month.line_debit, debit),
            Check("Credits = the posted lines'", month.line_credit, credit),
        ]
    return Statement(
        "trial-balance",
        "Trial balance",
        ("Opening", "Debit", "Credit", "Closing"),
        tuple(composer.lines),
        notes=("Debit balances are positive, credit balances negative.",),
        checks=tuple(checks),
    )


# ------------------------------------------------------------------------------------------------ profit and loss


def profit_and_loss(month: MonthFigures) -> Statement:
    """Income, expense and result of the operator, surplus or deficit of each participants' fund.

    For the month, the month before, and the year to date. The year end is in none of them.
    """
    composer = Composer(3)
    results = []
    for fund in month.fund_names:
        of_operator = fund == OPERATOR
        composer.heading(f"{fund}: statement of {'profit or loss' if of_operator else 'surplus or deficit'}", fund)
        income = _result_lines(composer, month, fund, income=True)
        expense = _result_lines(composer, month, fund, income=False)
        result = "Profit or loss" if of_operator else "Surplus or deficit"
        results.append(composer.total(f"{result} {fund}", [income, less(expense)], Kind.TOTAL, fund))
    composer.heading(ALL_FUNDS)
    composer.total("Result of all funds", results, Kind.TOTAL)
    return Statement(
        "profit-and-loss",
        "Profit and loss",
        (month.period, month.previous_period or "month before", f"since {month.since}"),
        tuple(composer.lines),
        notes=(
            "Income and expense of the month's postings; what a year end carries to surplus is neither.",
            *_missing(month.previous_period, "The month before is not closed in these books: nothing to compare with."),
        ),
        checks=tuple(_results_are_changes(month)),
    )


def _result_lines(composer: Composer, month: MonthFigures, fund: str, *, income: bool) -> Term:
    sign = -1 if income else 1
    accounts = [
        a for a in month.of_fund(fund) if a.is_result and (a.account_type == AccountType.INCOME) is income
    ]
    order = list(Nature)
    ordered = sorted(accounts, key=lambda a: (order.index(nature(a)), a.account_code))
    terms = [
        composer.amount(
            a.description,
            (sign * a.movement, _times(sign, a.previous_month), sign * a.year_to_date),
            (a.account_code,),
            fund,
        )
        for a in ordered
    ]
    return composer.total("Total income" if income else "Total expenses", terms, fund=fund)


def _results_are_changes(month: MonthFigures) -> list[Check]:
    """A fund changes by its result and by what is moved on its equity; its net assets say the same."""
    return [
        Check(f"Result and equity movements of {fund} = change of its net assets", _change(accounts), _moved(accounts))
        for fund in month.fund_names
        for accounts in [month.of_fund(fund)]
    ]


def _change(accounts: Sequence[AccountFigures]) -> int:
    return sum(a.closing - a.opening for a in accounts if a.account_type in {AccountType.ASSET, AccountType.LIABILITY})


def _moved(accounts: Sequence[AccountFigures]) -> int:
    return -sum(a.movement for a in accounts if a.is_result or a.account_type == AccountType.EQUITY)


# ------------------------------------------------------------------------------------------------ balance sheet


def balance_sheet(month: MonthFigures) -> Statement:
    """Statement of financial position: a column for each fund, the eliminations, the company, and its comparatives."""
    funds = month.fund_names
    combined = len(funds) + 1
    composer = Composer(combined + 3)
    row = _Rows(month, funds)
    liabilities_and_funds: list[Term] = []
    terms: list[Term] = []
    for title, kinds, sign, participants in _SECTIONS:
        composer.heading(title)
        accounts = [
            a for a in month.accounts
            if a.account_type == kinds and (participants is None or (a.fund != OPERATOR) is participants)
        ]  # fmt: skip
        terms = [
            composer.amount(_label(group), row(group, sign), [a.account_code for a in group])
            for group in _natural_groups(accounts)
        ]
        if participants is not None:
            result = [a for a in month.accounts if a.is_result and (a.fund != OPERATOR) is participants]
            terms.append(composer.amount(RESULT_LABEL, row(result, sign)))
        total = composer.total(f"Total {title[0].lower()}{title[1:]}", terms)
        if kinds is AccountType.ASSET:
            assets = total
        else:
            liabilities_and_funds.append(total)
    funded = composer.total("Total liabilities, equity and participants' funds", liabilities_and_funds, Kind.TOTAL)
    composer.total("Assets less liabilities, equity and funds", [assets, less(funded)], Kind.CHECK)
    return Statement(
        "balance-sheet",
        "Balance sheet",
        (*funds, "Eliminations", "Company", month.previous_period or "month before",
         month.previous_year_end or "year end before"),
        tuple(composer.lines),
        column_sums={combined: tuple(range(combined))},
        notes=_position_notes(month),
        checks=tuple([*_mirror_checks(month), *_fund_checks(month)]),
    )  # fmt: skip


RESULT_LABEL: Final = "Result not yet carried to surplus"
_SECTIONS: Final = (
    ("Assets", AccountType.ASSET, 1, None),
    ("Liabilities", AccountType.LIABILITY, -1, None),
    ("Shareholders' equity", AccountType.EQUITY, -1, False),
    ("Participants' funds", AccountType.EQUITY, -1, True),
)


class _Rows:
    """Makes a row of the balance sheet: what a group of accounts shows in each column."""

    def __init__(self, month: MonthFigures, funds: Sequence[str]) -> None:
        self._funds = funds
        routes: list[tuple[bool, Callable[[AccountFigures], int]]] = [
            (True, lambda a: a.closing),
            (month.previous_period is not None, lambda a: a.opening),
            (month.previous_year_end is not None, lambda a: a.previous_year_end or 0),
        ]
        self._dates = [(known, balance, eliminations(month.accounts, balance)) for known, balance in routes]

    def __call__(self, accounts: Sequence[AccountFigures], sign: int) -> list[Amount]:
        now, *before = self._dates
        _, balance, eliminated = now
        by_fund = [sign * sum(balance(a) for a in accounts if a.fund == fund) for fund in self._funds]
        elimination = sign * sum(eliminated.get(a.account_code, 0) for a in accounts)
        compared = [
            sign * sum(balance(a) + eliminated.get(a.account_code, 0) for a in accounts) if known else None
            for known, balance, eliminated in before
        ]
        return [*by_fund, elimination, sum(by_fund) + elimination, *compared]


def eliminations(
    accounts: Sequence[AccountFigures], balance: Callable[[AccountFigures], int] = lambda a: a.closing
) -> dict[str, int]:
    """What is taken off each due-to and due-from account in the company's column; they add up to zero.

    Of a pair, what both show on opposite sides. Nothing where both are on the same side, or one of them is missing.
    """
    found = {}
    for one, other in _pairs(accounts):
        a, b = balance(one), balance(other)
        if a * b < 0:
            shared = min(abs(a), abs(b))
            found[one.account_code] = -shared if a > 0 else shared
            found[other.account_code] = -found[one.account_code]
    return found


def _pairs(accounts: Sequence[AccountFigures]) -> list[tuple[AccountFigures, AccountFigures]]:
    by_code = {a.account_code: a for a in accounts}
    return [
        (a, by_code[a.mirror_account_code])
        for a in accounts
        if a.mirror_account_code in by_code
        and by_code[a.mirror_account_code].mirror_account_code == a.account_code
        and a.account_code < a.mirror_account_code
    ]


def _mirror_checks(month: MonthFigures) -> list[Check]:
    """For each due-to or due-from account: what the other side shows. An account without its mirror is one of zero."""
    by_code = {a.account_code: a for a in month.accounts}
    paired = {frozenset((a.account_code, a.mirror_account_code)): a for a in month.accounts if a.mirror_account_code}
    return [
        Check(
            f"Inter-fund {a.account_code} against {a.mirror_account_code}",
            -mirror.closing if (mirror := by_code.get(a.mirror_account_code or "")) else 0,
            a.closing,
        )
        for a in paired.values()
    ]


def _fund_checks(month: MonthFigures) -> list[Check]:
    if month.funds is None:
        return []
    return [
        Check(f"Net assets of {fund} = its fund balance", month.funds.get(fund, 0), sum(
            a.closing for a in month.of_fund(fund) if a.account_type in {AccountType.ASSET, AccountType.LIABILITY}))
        for fund in sorted({*month.fund_names, *month.funds})
    ]  # fmt: skip


def _position_notes(month: MonthFigures) -> tuple[str, ...]:
    return (
        "Eliminations take out what both sides of a due-to/due-from pair show; they add up to zero. The last two columns are "
        "the company's at earlier dates.",
        *(f"{c.label}: {_printed(c.difference)} does not mirror and stays in the column Company."
          for c in _mirror_checks(month) if not c.passed),
        *_missing(month.previous_period, "The month before is not closed in these books."),
        *_missing(month.previous_year_end, "The year end before is not closed in these books."),
    )  # fmt: skip


def _natural_groups(accounts: Sequence[AccountFigures]) -> list[list[AccountFigures]]:
    """Accounts that are the same thing in several funds: `1100-10` and `1100-20` are one row in two columns."""
    ordered = sorted(accounts, key=lambda a: (_natural(a), a.account_code))
    groups = [list(group) for _, group in groupby(ordered, key=_natural)]
    return [part for group in groups for part in ([group] if _shared_words(group) else [[a] for a in group])]


def _natural(account: AccountFigures) -> str:
    return account.account_code.rpartition("-")[0] or account.account_code


def _label(group: Sequence[AccountFigures]) -> str:
    """The words that the descriptions begin with in common; the whole of a single one."""
    return _shared_words(group) if len(group) > 1 else group[0].description


def _shared_words(group: Sequence[AccountFigures]) -> str:
    words = [a.description.replace(",", " ,").split() for a in group]
    same = takewhile(lambda place: len(set(place)) == 1, zip(*words, strict=False))
    return " ".join(place[0] for place in same).replace(" ,", ",").rstrip(", ")


# ------------------------------------------------------------------------------------------------ funds


def fund_statements(month: MonthFigures) -> Statement:
    """What each fund opened with, what changed it, what the year end carried to its surplus, what it closed with."""
    composer = Composer(3)
    checks = []
    for fund in month.fund_names:
        accounts = month.of_fund(fund)
        equity = [a for a in accounts if a.account_type == AccountType.EQUITY]
        result = [a for a in accounts if a.is_result]
        composer.heading(fund, fund)
        opening = (-sum(a.opening for a in equity), -sum(a.opening for a in result))
        terms = [composer.amount("Opening balance", _and_sum(*opening), fund=fund)]
        for kind in Nature:
            of_kind = [a for a in result if nature(a) == kind]
            if of_kind:
                moved = -sum(a.movement for a in of_kind)
                terms.append(composer.amount(kind, _and_sum(0, moved), [a.account_code for a in of_kind], fund))
        moved = -sum(a.movement for a in equity)
        if moved:
            terms.append(composer.amount("Movements of equity", _and_sum(moved, 0), fund=fund))
        carried = (-sum(a.carried for a in equity), -sum(a.carried for a in result))
        if any(carried):
            terms.append(composer.amount("Carried to surplus at year end", _and_sum(*carried), fund=fund))
        closing = composer.total("Closing balance", terms, Kind.TOTAL, fund)
        checks.append(
            Check(f"{fund} closes with its net assets", _net_assets(accounts), composer.lines[closing.line].amounts[2] or 0)
        )
    return Statement(
        "funds",
        "Fund statements",
        ("Surplus or equity", "Result not carried", "Fund"),
        tuple(composer.lines),
        column_sums={2: (0, 1)},
        notes=("Surplus positive. What was earned stays apart until a year end carries it to the surplus.",),
        checks=tuple(checks),
    )


def _net_assets(accounts: Sequence[AccountFigures]) -> int:
    return sum(a.closing for a in accounts if a.account_type in {AccountType.ASSET, AccountType.LIABILITY})


def _and_sum(*amounts: int) -> tuple[int, ...]:
    return (*amounts, sum(amounts))


def _times(sign: int, amount: int | None) -> int | None:
    return None if amount is None else sign * amount


def _missing(found: str | None, note: str) -> tuple[str, ...]:
    return () if found else (note,)


def _printed(minor: int) -> str:
    """With thousands separators and two decimals; exactly."""
    whole, cents = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole:,}.{cents:02}"


STATEMENTS: Final[Mapping[str, Callable[[MonthFigures], Statement]]] = {
    "trial-balance": trial_balance,
    "profit-and-loss": profit_and_loss,
    "balance-sheet": balance_sheet,
    "funds": fund_statements,
}
"""The statements by their names, in the order of the papers."""
