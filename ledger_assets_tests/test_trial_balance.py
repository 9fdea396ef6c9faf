"""The balances of a month, worked out a second time: by DuckDB, from the delivered files, with the rules by hand.

Nothing of the product is used on that way: not its reader, not its rules, not its sums. What a contribution or a claim
does to the accounts stands below as an accountant would write it on a sheet of paper.
"""

from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ledger_assets_tests.scenario import (
    ROWS,
    close_directly,
    generated,
    load,
    rows_of,
    store_rules,
    trial_balance,
)

JANUARY, FEBRUARY = "2024-01", "2024-02"

COMBINED = """
    PREMIUM  1100-10  DR gross     CLAIM  1100-10  CR gross
    PREMIUM  2320-10  CR tabarru   CLAIM  2320-10  DR tabarru
    PREMIUM  2330-10  CR tanahud   CLAIM  2330-10  DR tanahud
    PREMIUM  4210-10  CR ujroh     CLAIM  5110-10  DR ujroh
    PREMIUM  1310-20  DR tabarru   CLAIM  1310-20  CR tabarru
    PREMIUM  4110-20  CR tabarru   CLAIM  5110-20  DR tabarru
    PREMIUM  1310-30  DR tanahud   CLAIM  1310-30  CR tanahud
    PREMIUM  4110-30  CR tanahud   CLAIM  5110-30  DR tanahud
"""
"""The operator takes (or pays) the whole amount in cash and owes each fund its part; each fund books what it is owed,
and its own contribution or claim."""

THREE_ENTRIES = """
    PREMIUM  1100-20  DR tabarru   CLAIM  5110-20  DR tabarru
    PREMIUM  4110-20  CR tabarru   CLAIM  1100-20  CR tabarru
    PREMIUM  1100-30  DR tanahud   CLAIM  5110-30  DR tanahud
    PREMIUM  4110-30  CR tanahud   CLAIM  1100-30  CR tanahud
    PREMIUM  1100-10  DR ujroh     CLAIM  5110-10  DR ujroh
    PREMIUM  4210-10  CR ujroh     CLAIM  1100-10  CR ujroh
"""
"""Each fund takes (or pays) its part by its own bank account."""

SHEETS = pytest.mark.parametrize(
    ("rule_set", "sheet"),
    [
        pytest.param("combined", COMBINED, id="combined"),
        pytest.param("three_entries", THREE_ENTRIES, id="three_entries"),
    ],
)


def movements(files: list[Path], sheet: str) -> dict[str, tuple[Decimal, Decimal]]:
    """Account -> debits and credits that the files come to."""
    words = sheet.split()
    bookings = [tuple(words[place : place + 4]) for place in range(0, len(words), 4)]
    with duckdb.connect() as database:
        database.execute("CREATE TABLE booking (txn_type TEXT, account TEXT, side TEXT, component TEXT)")
        database.executemany("INSERT INTO booking VALUES (?, ?, ?, ?)", bookings)
        totals = database.execute(
            """
            WITH delivered AS (
                SELECT txn_type, unnest(['gross', 'tabarru', 'tanahud', 'ujroh']) AS component,
                       unnest([gross_amount, tabarru_amount, tanahud_amount, ujroh_amount]) AS amount
                FROM read_csv(?, types = {'gross_amount': 'DECIMAL(18,2)', 'tabarru_amount': 'DECIMAL(18,2)',
                                          'tanahud_amount': 'DECIMAL(18,2)', 'ujroh_amount': 'DECIMAL(18,2)'}))
            SELECT account, coalesce(sum(amount) FILTER (side = 'DR'), 0), coalesce(sum(amount) FILTER (side = 'CR'), 0)
            FROM delivered JOIN booking USING (txn_type, component) GROUP BY account
            """,
            [list(map(str, files))],
        ).fetchall()
    return {code: (debit, credit) for code, debit, credit in totals}


def rolled_forward(
    opening: dict[str, tuple[Decimal, ...]], moved: dict[str, tuple[Decimal, Decimal]]
) -> dict[str, tuple[Decimal, ...]]:
    """A trial balance on top of the one before: account -> opening, debit, credit, closing."""
    balances = {}
    for code in opening.keys() | moved.keys():
        opened = opening[code][3] if code in opening else Decimal(0)
        debit, credit = moved.get(code, (Decimal(0), Decimal(0)))
        balances[code] = (opened, debit, credit, opened + debit - credit)
    return balances


@SHEETS
def test_two_months_in_a_row_are_what_the_files_say(ledger_url: str, tmp_path: Path, rule_set: str, sheet: str) -> None:
    store_rules(ledger_url)
    balances: dict[str, tuple[Decimal, ...]] = {}
    for period, seeds in ((JANUARY, (1, 2)), (FEBRUARY, (3,))):
        files = [generated(tmp_path, period, seed=seed, rows=2 * ROWS) for seed in seeds]
        for file in files:
            load(ledger_url, file, period)
            close_directly(ledger_url, period, rule_set=rule_set)  # the second file of January comes late
        balances = rolled_forward(balances, movements(files, sheet))
        assert trial_balance(ledger_url, period) == balances
        assert all(row[1] and row[2] for code, row in balances.items() if code.startswith(("1", "2"))), (
            "both sides moved"
        )


@SHEETS
def test_fund_balances_are_what_the_files_say(ledger_url: str, tmp_path: Path, rule_set: str, sheet: str) -> None:
    store_rules(ledger_url)
    files = [generated(tmp_path, JANUARY)]
    load(ledger_url, files[0], JANUARY)
    close_directly(ledger_url, JANUARY, rule_set=rule_set)
    moved = movements(files, sheet)
    earned = {"OPERATOR": "4210-10", "TABARRU": "4110-20", "TANAHUD": "4110-30"}
    borne = {"OPERATOR": "5110-10", "TABARRU": "5110-20", "TANAHUD": "5110-30"}
    assert rows_of(
        ledger_url,
        "SELECT fund, opening_balance, income, expense, closing_balance FROM ledger.fund_balance ORDER BY fund",
    ) == [
        {
            "fund": fund,
            "opening_balance": Decimal(0),
            "income": moved[earned[fund]][1],
            "expense": moved[borne[fund]][0],
            "closing_balance": moved[earned[fund]][1] - moved[borne[fund]][0],
        }
        for fund in sorted(earned)
    ]


@SHEETS
def test_the_lines_that_people_read_add_up_to_what_the_files_say(
    ledger_url: str, tmp_path: Path, rule_set: str, sheet: str
) -> None:
    store_rules(ledger_url)
    file = generated(tmp_path, JANUARY)
    load(ledger_url, file, JANUARY)
    close_directly(ledger_url, JANUARY, rule_set=rule_set)
    lines = rows_of(
        ledger_url,
        "SELECT account_code, sum(debit_amount) AS debit, sum(credit_amount) AS credit "
        "FROM ledger.ledger_entry_line GROUP BY account_code",
    )
    assert {line["account_code"]: (line["debit"], line["credit"]) for line in lines} == movements([file], sheet)
