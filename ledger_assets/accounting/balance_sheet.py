"""The balance sheet of a month: the funds side by side, what they owe each other taken out, the company.

`statements` says how takaful is presented and where that is said.
"""

from collections.abc import Callable, Sequence
from itertools import groupby, takewhile
from typing import Final

from ledger_assets.accounting.chart import OPERATOR, AccountType
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures, missing, net_assets
from ledger_assets.accounting.statement_tables import Amount, Check, Composer, Kind, Statement, Term, less


def balance_sheet(month: MonthFigures) -> Statement:
    """Statement of financial position: a column for each fund, the eliminations, the company, and its comparatives."""
    funds = month.fund_names
    combined = len(funds) + 1
    row = _Rows(month, funds)
    columns = (*funds, "Eliminations", "Company", *row.comparatives)
    composer = Composer(len(columns), unknown=[combined + n for n in row.unknown])
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
        columns,
        tuple(composer.lines),
        column_sums={combined: tuple(range(combined))},
        notes=_position_notes(month),
        checks=(*_mirror_checks(month), *_fund_checks(month)),
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
        routes: dict[str, tuple[bool, Callable[[AccountFigures], int]]] = {
            "": (True, lambda a: a.closing),
            f"Company {month.previous_period or 'month before'}": (
                month.previous_period is not None, lambda a: a.opening
            ),
        }  # fmt: skip
        # In January the month before is the year end before: one column.
        routes.setdefault(
            f"Company {month.previous_year_end or 'year end before'}",
            (month.previous_year_end is not None, lambda a: a.previous_year_end or 0),
        )
        self.comparatives = list(routes)[1:]
        self.unknown = [n for n, (known, _) in enumerate(routes.values()) if not known]
        self._dates = [(known, balance, eliminations(month.accounts, balance)) for known, balance in routes.values()]

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
        Check(f"Net assets of {fund} = its fund balance", month.funds.get(fund, 0), net_assets(month.of_fund(fund)))
        for fund in sorted({*month.fund_names, *month.funds})
    ]  # fmt: skip


def _position_notes(month: MonthFigures) -> tuple[str, ...]:
    differences = [c for c in _mirror_checks(month) if not c.passed]
    return (
        "Eliminations take out what both sides of a due-to/due-from pair show. They add up to zero.",
        "The columns behind Company are the company's at earlier month ends.",
        *(f"{c.label}: {_printed(c.difference)} does not mirror and stays in the column Company." for c in differences),
        *missing(month.previous_period, "The month before is not closed in these books."),
        *missing(month.previous_year_end, "The year end before is not closed in these books."),
    )


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


def _printed(minor: int) -> str:
    """With thousands separators and two decimals; exactly."""
    whole, cents = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole:,}.{cents:02}"
