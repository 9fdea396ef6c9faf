"""The statements: whatever the books hold, the totals tie, and what does not mirror is shown."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.balance_sheet import balance_sheet, eliminations
from ledger_assets.accounting.chart import OPERATOR
from ledger_assets.accounting.statement_figures import AccountFigures, MonthFigures, Nature, nature
from ledger_assets.accounting.statement_tables import Kind, Statement
from ledger_assets.accounting.statements import STATEMENTS, fund_statements, profit_and_loss, trial_balance
from ledger_assets.reporting.statement_texts import statement_csv, statement_record, statement_text

AMOUNTS = st.integers(-(10**20), 10**20)
ASSETS, LIABILITIES, EQUITY = "ASSET", "LIABILITY", "EQUITY"


def account(
    code: str, kind: str, fund: str, opening: int = 0, moved: int = 0, carried: int = 0, **more
) -> AccountFigures:
    """An account whose month's business moved it by `moved`, and a year end by `carried`."""
    both = moved + carried
    extra = 7  # debits and credits that answer each other
    return AccountFigures(
        code, f"{kind.title()} of {fund}", kind, fund, opening=opening, debit=max(both, 0) + extra,
        credit=max(-both, 0) + extra, carried=carried, previous_month=moved // 2, year_to_date=moved, **more,
    )  # fmt: skip


@st.composite
def balanced_funds(draw: st.DrawFn) -> list[AccountFigures]:
    """Accounts of an operator and some participants' funds, each fund balancing on its own, every pair mirroring."""
    names = [OPERATOR, *draw(st.lists(st.sampled_from(["TABARRU", "TANAHUD", "WAQF"]), max_size=3, unique=True))]
    owed = {fund: (draw(AMOUNTS), draw(AMOUNTS)) for fund in names[1:]}
    found = []
    for n, fund in enumerate(names, start=1):
        own = [
            account(
                f"4110-{n}0", "INCOME", fund, draw(AMOUNTS), draw(AMOUNTS), draw(AMOUNTS), recognised_type="PREMIUM"
            ),
            account(f"4900-{n}0", "INCOME", fund, draw(AMOUNTS), draw(AMOUNTS)),
            account(
                f"5110-{n}0", "EXPENSE", fund, draw(AMOUNTS), draw(AMOUNTS), draw(AMOUNTS), recognised_type="CLAIM"
            ),
            account(f"2100-{n}0", LIABILITIES, fund, draw(AMOUNTS), draw(AMOUNTS)),
            account(f"3200-{n}0", EQUITY, fund, draw(AMOUNTS), draw(AMOUNTS)),
        ]
        if fund == OPERATOR:
            for m, (opening, moved) in enumerate(owed.values(), start=2):
                own.append(account(f"23{m}0-10", LIABILITIES, fund, -opening, -moved, mirror_account_code=f"1310-{m}0"))
        else:
            own.append(account(f"1310-{n}0", ASSETS, fund, *owed[fund], mirror_account_code=f"23{n}0-10"))
        equity = own[4]
        own[4] = account(
            equity.account_code, EQUITY, fund, equity.opening, equity.movement, -sum(a.carried for a in own)
        )
        cash = (-sum(a.opening for a in own), -sum(a.movement for a in own))
        found += [*own, account(f"1100-{n}0", ASSETS, fund, *cash)]
    return found


def month_of(accounts: Sequence[AccountFigures]) -> MonthFigures:
    funds = {
        fund: sum(a.closing for a in accounts if a.fund == fund and a.account_type in {ASSETS, LIABILITIES})
        for fund in {a.fund for a in accounts}
    }
    return MonthFigures("2025-03", accounts, "2025-01", "2025-02", "2024-12", funds)


def closing(accounts: Sequence[AccountFigures], *kinds: str, fund: str | None = None) -> int:
    return sum(a.closing for a in accounts if a.account_type in kinds and fund in (None, a.fund))


def amounts(statement: Statement, label: str, fund: str = "") -> tuple[int, ...]:
    return statement.line(label, fund).amounts  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(balanced_funds())
def test_assets_are_liabilities_and_funds_in_every_column(accounts: list[AccountFigures]):
    sheet = balance_sheet(month_of(accounts))
    funds = month_of(accounts).fund_names
    company, eliminated = len(funds) + 1, len(funds)
    assets = amounts(sheet, "Total assets")
    assert assets == amounts(sheet, "Total liabilities, equity and participants' funds")
    for place, fund in enumerate(funds):
        assert assets[place] == closing(accounts, ASSETS, fund=fund)
        other = closing(accounts, LIABILITIES, EQUITY, "INCOME", "EXPENSE", fund=fund)
        assert assets[place] == -other
    assert sum(eliminations(accounts).values()) == 0
    owed = [a for a in accounts if a.mirror_account_code]
    assert assets[eliminated] == -sum(a.closing for a in owed if a.account_type == ASSETS)
    assert assets[company] == sum(a.closing for a in accounts if a.account_type == ASSETS and a not in owed)
    assert sheet.ties


@settings(max_examples=60, deadline=None)
@given(balanced_funds())
def test_the_result_is_the_change_of_the_fund(accounts: list[AccountFigures]):
    month = month_of(accounts)
    result, funds = profit_and_loss(month), fund_statements(month)
    for fund in month.fund_names:
        own = month.of_fund(fund)
        label = f"{'Profit or loss' if fund == OPERATOR else 'Surplus or deficit'} {fund}"
        of_month = amounts(result, label)[0]
        assert of_month == -sum(a.debit - a.credit - a.carried for a in own if a.account_type in {"INCOME", "EXPENSE"})
        opened, ended = amounts(funds, "Opening balance", fund)[2], amounts(funds, "Closing balance", fund)[2]
        equity = -sum(a.debit - a.credit - a.carried for a in own if a.account_type == EQUITY)
        assert ended - opened == of_month + equity
        assert ended == closing(own, ASSETS, LIABILITIES)
    assert amounts(result, "Result of all funds")[0] == sum(
        amounts(result, line.label)[0] for line in result.lines if line.kind is Kind.TOTAL and line.fund
    )
    assert result.ties
    assert funds.ties


@settings(max_examples=60, deadline=None)
@given(balanced_funds())
def test_totals_are_the_sums_of_their_lines_and_columns_add_up_as_printed(accounts: list[AccountFigures]):
    for make in STATEMENTS.values():
        statement = make(month_of(accounts))
        for line in statement.lines:
            for column, parts in statement.column_sums.items():
                if line.amounts:
                    assert line.amounts[column] == sum(line.amounts[c] or 0 for c in parts)
            for column, amount in enumerate(line.amounts if line.terms else ()):
                assert amount == sum(t.sign * (statement.lines[t.line].amounts[column] or 0) for t in line.terms)
        printed = list(csv.reader(io.StringIO(statement_csv(statement))))[1:]
        with_amounts = [line for line in statement.lines if line.amounts]
        for row, line in zip(printed, with_amounts, strict=True):
            assert [Decimal(cell) * 100 for cell in row[4:]] == list(line.amounts)


@settings(max_examples=60, deadline=None)
@given(balanced_funds())
def test_a_trial_balance_closes_at_zero_in_every_fund(accounts: list[AccountFigures]):
    balance = trial_balance(month_of(accounts))
    opening, debit, credit, ending = amounts(balance, "Total all funds")
    assert (opening, ending, debit) == (0, 0, credit)
    assert debit == sum(a.debit for a in accounts)
    assert balance.ties


@settings(max_examples=40, deadline=None)
@given(balanced_funds(), st.integers(1, 10**12))
def test_a_pair_that_does_not_mirror_stays_in_sight(accounts: list[AccountFigures], missing: int):
    """Somebody's fund shows more than the operator owes it, with the same again on another account of its own."""
    due = [n for n, a in enumerate(accounts) if a.account_code.startswith("1310")]
    if not due:
        return
    wrong = list(accounts)
    fund = accounts[due[0]].fund
    cash = next(n for n, a in enumerate(accounts) if a.fund == fund and a.account_code.startswith("1100"))
    wrong[due[0]] = replace(accounts[due[0]], debit=accounts[due[0]].debit + missing)
    wrong[cash] = replace(accounts[cash], credit=accounts[cash].credit + missing)
    sheet = balance_sheet(month_of(wrong))
    assert not sheet.ties
    assert amounts(sheet, "Assets less liabilities, equity and funds") == (0,) * len(sheet.columns)
    assert sum(eliminations(wrong).values()) == 0
    left = sum(a.closing + eliminations(wrong).get(a.account_code, 0) for a in wrong if a.mirror_account_code)
    assert left == missing
    assert all(abs(eliminations(wrong).get(a.account_code, 0)) <= abs(a.closing) for a in wrong)
    assert any("does not mirror" in note for note in sheet.notes)


def test_a_pair_on_the_same_side_is_not_eliminated():
    both_owe = [
        account("2320-10", LIABILITIES, OPERATOR, -500, mirror_account_code="1310-20"),
        account("1310-20", ASSETS, "TABARRU", -300, mirror_account_code="2320-10"),
    ]
    assert eliminations(both_owe) == {}
    assert not balance_sheet(month_of(both_owe)).ties


def test_a_fund_that_does_not_balance_on_its_own_is_shown():
    month = month_of(
        [account("1100-10", ASSETS, OPERATOR, moved=100), account("4110-20", "INCOME", "TABARRU", moved=-100)]
    )
    assert not trial_balance(month).ties
    assert not balance_sheet(month).ties
    assert not profit_and_loss(month).ties
    assert amounts(balance_sheet(month), "Assets less liabilities, equity and funds")[:2] == (100, -100)


def test_fund_balances_found_in_another_way_are_compared():
    month = month_of([account("1100-10", ASSETS, OPERATOR, moved=5), account("4210-10", "INCOME", OPERATOR, moved=-5)])
    assert balance_sheet(month).ties
    assert not balance_sheet(replace(month, funds={OPERATOR: 6})).ties
    assert not trial_balance(replace(month, line_debit=1, line_credit=1)).ties


def test_a_year_end_is_no_expense_and_leaves_the_fund_as_it_was():
    income = account("4110-20", "INCOME", "TABARRU", opening=-900, moved=-100, carried=1000, recognised_type="PREMIUM")
    surplus = account("3200-20", EQUITY, "TABARRU", carried=-1000)
    cash = account("1100-20", ASSETS, "TABARRU", opening=900, moved=100)
    month = month_of([income, surplus, cash])
    assert amounts(profit_and_loss(month), "Surplus or deficit TABARRU")[0] == 100
    statement = fund_statements(month)
    assert amounts(statement, "Opening balance") == (0, 900, 900, 900)
    assert amounts(statement, "Contributions") == (0, 100, 100, 100)
    assert amounts(statement, "Carried to surplus at year end") == (1000, -1000, 0, 0)
    assert amounts(statement, "Closing balance") == (1000, 0, 1000, 1000)
    assert statement.ties


def test_a_fund_statement_shows_the_year_to_date_and_begins_where_the_year_before_ended():
    """December closed with 900 in cash and surplus; January and February brought 250, March 100."""
    income = account("4110-20", "INCOME", "TABARRU", opening=-250, moved=-100, recognised_type="PREMIUM")
    surplus = account("3200-20", EQUITY, "TABARRU", opening=-900)
    cash = account("1100-20", ASSETS, "TABARRU", opening=1150, moved=100)
    of_year = {"4110-20": (-350, 0), "3200-20": (0, -900), "1100-20": (350, 900)}
    accounts = [
        replace(a, year_to_date=of_year[a.account_code][0], previous_year_end=of_year[a.account_code][1])
        for a in (income, surplus, cash)
    ]
    statement = fund_statements(month_of(accounts))
    assert statement.columns[3] == "Fund since 2025-01"
    assert amounts(statement, "Opening balance") == (900, 250, 1150, 900)
    assert amounts(statement, "Contributions") == (0, 100, 100, 350)
    assert amounts(statement, "Closing balance") == (900, 350, 1250, 1250)
    assert len(statement.checks) == 2
    assert statement.ties
    accounts[2] = replace(accounts[2], previous_year_end=901)
    assert not fund_statements(month_of(accounts)).ties


def test_one_row_for_the_same_thing_in_several_funds():
    accounts = [
        replace(account("1100-10", ASSETS, OPERATOR, moved=1), description="Cash at bank, operator"),
        replace(account("1100-20", ASSETS, "TABARRU", moved=2), description="Cash at bank, tabarru' fund"),
        replace(account("1200-10", ASSETS, OPERATOR, moved=4), description="Sukuk"),
        replace(account("1200-20", ASSETS, "TABARRU", moved=8), description="Deposits"),
        replace(account("1900", ASSETS, "TABARRU", moved=16), description="Other, and more"),
    ]
    rows = {line.label: line.amounts[:4] for line in balance_sheet(month_of(accounts)).lines if line.account_codes}
    assert rows == {
        "Cash at bank": (1, 2, 0, 3),
        "Sukuk": (4, 0, 0, 4),
        "Deposits": (0, 8, 0, 8),
        "Other, and more": (0, 16, 0, 16),
    }


@pytest.mark.parametrize(
    ("kind", "fund", "recognises", "expected"),
    [
        ("INCOME", "TABARRU", "PREMIUM", Nature.CONTRIBUTIONS),
        ("INCOME", OPERATOR, "PREMIUM", Nature.FEES),
        ("INCOME", OPERATOR, None, Nature.OTHER_INCOME),
        ("INCOME", "TABARRU", "RECOVERY", Nature.OTHER_INCOME),
        ("EXPENSE", "TABARRU", "CLAIM", Nature.CLAIMS),
        ("EXPENSE", OPERATOR, None, Nature.OTHER_EXPENSE),
    ],
)
def test_what_income_and_expense_are_called(kind: str, fund: str, recognises: str | None, expected: Nature):
    assert nature(account("x", kind, fund, recognised_type=recognises)) == expected


def test_months_to_compare_with_are_said_to_be_missing():
    month = replace(
        month_of([replace(account("4210-10", "INCOME", OPERATOR), previous_month=None)]),
        previous_period=None, previous_year_end=None,
    )  # fmt: skip
    assert amounts(profit_and_loss(month), "Profit or loss OPERATOR")[1] is None
    assert amounts(balance_sheet(month), "Total assets")[-2:] == (None, None)
    assert any("not closed" in note for note in balance_sheet(month).notes)
    assert "–" in statement_text(profit_and_loss(month), "2025-03")
    assert statement_csv(profit_and_loss(month)).splitlines()[1].split(",")[5] == ""
    assert statement_record(profit_and_loss(month))["lines"][1]["amounts"][1] is None


def test_in_january_the_month_before_is_the_year_end_before():
    january = replace(month_of([account("1100-10", ASSETS, OPERATOR)]), previous_period="2024-12")
    assert balance_sheet(january).columns == (OPERATOR, "Eliminations", "Company", "Company 2024-12")


def test_a_csv_holds_no_formula():
    evil = replace(account("=1+1", ASSETS, "@SUM(A1)"), description="+cmd|' /C calc'!A0")
    rows = list(csv.reader(io.StringIO(statement_csv(trial_balance(month_of([evil]))))))
    assert rows[1][:4] == ["'@SUM(A1)", "amount", "'+cmd|' /C calc'!A0", "'=1+1"]


def test_nothing_happened():
    for make in STATEMENTS.values():
        statement = make(month_of([]))
        assert statement.ties
        assert not statement.has_figures
