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
from typing import Final

from ledger_assets.accounting.balance_sheet import balance_sheet
from ledger_assets.accounting.chart import OPERATOR, AccountType
from ledger_assets.accounting.statement_figures import (
    AccountFigures,
    MonthFigures,
    Nature,
    missing,
    nature,
    net_assets,
)
from ledger_assets.accounting.statement_tables import Check, Composer, Kind, Statement, Term, less

ALL_FUNDS: Final = "All funds"


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
    checks = [
        Check("Debits = credits", debit, credit),
        *(Check(f"{fund} closes at zero", 0, sum(a.closing for a in month.of_fund(fund))) for fund in month.fund_names),
    ]
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
    composer = Composer(3, unknown=() if month.previous_period else (1,))
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
            *missing(month.previous_period, "The month before is not closed in these books: nothing to compare with."),
        ),
        checks=tuple(_results_are_changes(month)),
    )


def _result_lines(composer: Composer, month: MonthFigures, fund: str, *, income: bool) -> Term:
    sign = -1 if income else 1
    accounts = [a for a in month.of_fund(fund) if a.is_result and (a.account_type == AccountType.INCOME) is income]
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
    return sum(a.closing - a.opening for a in accounts if a.is_position)


def _moved(accounts: Sequence[AccountFigures]) -> int:
    return -sum(a.movement for a in accounts if a.is_result or a.account_type == AccountType.EQUITY)


# ------------------------------------------------------------------------------------------------ funds


def fund_statements(month: MonthFigures) -> Statement:
    """What each fund opened with, what changed it, what the year end carried to its surplus, what it closed with.

    For the month, surplus and result apart, and the whole fund for the year to date.
    """
    composer = Composer(4)
    checks = []
    for fund in month.fund_names:
        accounts = month.of_fund(fund)
        equity = [a for a in accounts if a.account_type == AccountType.EQUITY]
        result = [a for a in accounts if a.is_result]
        composer.heading(fund, fund)
        # What a year end carries, it takes from the result and gives to the surplus: in the whole fund it is nothing.
        began = -sum(a.closing - a.carried - a.year_to_date for a in [*equity, *result])
        opening = (-sum(a.opening for a in equity), -sum(a.opening for a in result))
        terms = [composer.amount("Opening balance", (*_and_sum(*opening), began), fund=fund)]
        for kind in Nature:
            of_kind = [a for a in result if nature(a) == kind]
            if of_kind:
                moved = -sum(a.movement for a in of_kind)
                amounts = (*_and_sum(0, moved), -sum(a.year_to_date for a in of_kind))
                terms.append(composer.amount(kind, amounts, [a.account_code for a in of_kind], fund))
        moved, since = -sum(a.movement for a in equity), -sum(a.year_to_date for a in equity)
        if moved or since:
            terms.append(composer.amount("Movements of equity", (*_and_sum(moved, 0), since), fund=fund))
        carried = (-sum(a.carried for a in equity), -sum(a.carried for a in result))
        if any(carried):
            terms.append(
                composer.amount("Carried to surplus at year end", (*_and_sum(*carried), sum(carried)), fund=fund)
            )
        closing = composer.lines[composer.total("Closing balance", terms, Kind.TOTAL, fund).line]
        checks += _fund_checks(month, fund, closing.amounts[2] or 0, began)
    return Statement(
        "funds",
        "Fund statements",
        ("Surplus or equity", "Result not carried", "Fund", f"Fund since {month.since}"),
        tuple(composer.lines),
        column_sums={2: (0, 1)},
        notes=(
            "Surplus positive. What was earned stays apart until a year end carries it to the surplus.",
            f"The last column begins with the balance at the start of {month.since}.",
        ),
        checks=tuple(checks),
    )


def _fund_checks(month: MonthFigures, fund: str, closing: int, began: int) -> list[Check]:
    """The fund statement against assets less liabilities: at the end of the month, and at the year end before."""
    accounts = month.of_fund(fund)
    checks = [Check(f"{fund} closes with its net assets", net_assets(accounts), closing)]
    if month.previous_year_end and all(a.previous_year_end is not None for a in accounts):
        then = sum(a.previous_year_end or 0 for a in accounts if a.is_position)
        checks.append(Check(f"{fund} begins the year with its net assets of {month.previous_year_end}", then, began))
    return checks


def _and_sum(*amounts: int) -> tuple[int, ...]:
    return (*amounts, sum(amounts))


def _times(sign: int, amount: int | None) -> int | None:
    return None if amount is None else sign * amount


STATEMENTS: Final[Mapping[str, Callable[[MonthFigures], Statement]]] = {
    "trial-balance": trial_balance,
    "profit-and-loss": profit_and_loss,
    "balance-sheet": balance_sheet,
    "funds": fund_statements,
}
"""The statements by their names, in the order of the papers."""
