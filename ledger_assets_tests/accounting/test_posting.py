"""The expansion: like its row twin, balanced per entry and fund, numbered without a gap, and nothing lost."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.errors import AmountOverflow, PostingError, RuleError
from ledger_assets.accounting.money import MAX_MINOR
from ledger_assets.accounting.posting import HEADERS, LINES, TRANSACTIONS, compile_rules, expand
from ledger_assets.accounting.posting_exceptions import EXCEPTIONS
from ledger_assets.accounting.rule_files import load_rule_set
from ledger_assets.accounting.templates import AccountOverride, RuleSet, Template
from ledger_assets_tests.accounting.posting_twin import expected
from ledger_assets_tests.accounting.rule_examples import (
    CHANNELS,
    DAYS,
    PRODUCTS,
    Transaction,
    compiled,
    frame,
    ids,
    line,
    match,
    rule_set,
    template,
    transaction,
    transactions,
)

# (debit expressions, credit expressions, whether the last credit takes the remainder); most of them balance.
SIDES = (
    ((":gross_amount",), (":tabarru_amount", ":tanahud_amount", ":ujroh_amount"), False),
    ((":tabarru_amount",), (":tabarru_amount",), False),
    ((":gross_amount",), (":gross_amount * 0.4", ":gross_amount * 0.35", ":gross_amount * 0.25"), True),
    ((":gross_amount * 0.5", ":gross_amount * 0.5"), (":gross_amount * 0.125", ":gross_amount * 0.875"), True),
    ((":ujroh_amount * 0.025",), (":ujroh_amount * 0.025",), False),
    ((":gross_amount",), (":gross_amount - :ujroh_amount", ":ujroh_amount"), False),
    ((":tabarru_amount",), (":tabarru_amount - :ujroh_amount", ":ujroh_amount"), False),
    (("0.25",), ("0.25",), False),
    ((":gross_amount",), (":gross_amount * 0.9",), True),
    ((":gross_amount * 0.5",), (":tabarru_amount",), False),
)
CONDITIONS = (
    "gross_amount >= 0.50",
    "channel = 'AGENT'",
    "channel IS NULL",
    "tabarru_amount > ujroh_amount",
    None,
    None,
)


@st.composite
def templates(draw: st.DrawFn, code: str) -> Template:
    """A template with one to three entries over one or two funds, good or bad."""
    lines = []
    for entry in range(1, draw(st.integers(1, 3)) + 1):
        number = 0
        for fund, accounts in (("OPERATOR", ("cash", "fees")), ("FUND", ("due-from", "income")))[
            : draw(st.integers(1, 2))
        ]:
            debits, credited, rest = draw(st.sampled_from(SIDES))
            for side, account, texts in (("DR", accounts[0], debits), ("CR", accounts[1], credited)):
                for text in texts:
                    number += draw(st.integers(1, 3))
                    last = rest and side == "CR" and text == texts[-1]
                    lines.append(line(number, side, account, fund, text, entry=entry, rest=last))
    matches = draw(
        st.lists(
            st.builds(
                match,
                st.sampled_from(CONDITIONS),
                product=st.sampled_from([*PRODUCTS, None]),
                channel=st.sampled_from([*CHANNELS, None, None]),
                priority=st.integers(1, 3),
            ),
            min_size=1,
            max_size=3,
        )
    )
    return template(
        code,
        *lines,
        matches=matches,
        source_type=draw(st.sampled_from(["PREMIUM", "PREMIUM", "CLAIM"])),
        effective_from=draw(st.sampled_from(DAYS[:2])),
        effective_to=draw(st.sampled_from([None, *DAYS[1:]])),
        is_enabled=draw(st.integers(0, 9)) > 0,
    )


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    """One to five random templates, and overrides."""
    overrides = draw(
        st.lists(
            st.builds(
                AccountOverride,
                st.sampled_from(PRODUCTS),
                st.sampled_from([*CHANNELS, None]),
                st.sampled_from(["fees", "income"]),
                st.sampled_from(["fees-2", "income-2"]),
            ),
            max_size=3,
            unique_by=lambda one: (one.product_code, one.channel, one.account_code),
        )
    )
    count = draw(st.integers(1, 5))
    return rule_set(*(draw(templates(f"T{number}")) for number in range(count)), overrides=overrides)


@settings(deadline=None)
@given(rule_sets(), st.lists(transactions(), max_size=12), st.integers(1, 1000))
def test_expansion_is_its_row_twin(rules: RuleSet, rows: list[Transaction], first: int) -> None:
    expansion = expand(frame(rows), compiled(rules), first_je_number=first, period="2025-01")
    twin = expected(rows, rules, first, "2025-01")
    assert expansion.exceptions.select("row_number", "reason").rows() == twin.exceptions
    assert expansion.headers.rows() == twin.headers
    assert expansion.lines.rows() == twin.lines
    assert (expansion.headers.schema, expansion.lines.schema, expansion.exceptions.schema) == (
        HEADERS,
        LINES,
        EXCEPTIONS,
    )


@settings(deadline=None)
@given(rule_sets(), st.lists(transactions(), max_size=12))
def test_whatever_the_rules_what_is_posted_balances_and_nothing_is_lost(
    rules: RuleSet, rows: list[Transaction]
) -> None:
    rows = [row | {"txn_id": f"TXN-{number}"} for number, row in enumerate(rows)]
    expansion = expand(frame(rows), compiled(rules), first_je_number=7, period="2025-01")
    headers, lines, exceptions = expansion.headers, expansion.lines, expansion.exceptions
    posted, refused = set(headers["source_id"]), set(exceptions["txn_id"])
    assert posted | refused == {row["txn_id"] for row in rows}
    assert not posted & refused
    assert headers["je_number"].to_list() == list(range(7, 7 + headers.height))
    assert not lines.filter(pl.col("amount") == 0).height
    funds = pl.DataFrame({"account_id": list(ids(rules)[1].values()), "fund": [a.fund for a in rules.accounts]})
    by_fund = lines.join(funds.cast({"account_id": pl.Int16}), on="account_id").group_by("je_number", "fund")
    # An override of the examples may cross funds, which rule_proofs forbids; without them every fund balances.
    if not rules.overrides:
        assert set(by_fund.agg(pl.col("amount").sum())["amount"]) <= {0}
    debits = lines.filter(pl.col("amount") > 0).group_by("je_number").agg(pl.col("amount").sum())
    assert dict(debits.iter_rows()) == dict(headers.select("je_number", "total_amount").iter_rows())


def _posted(rules: RuleSet, *rows: Transaction) -> list[tuple[int, str, str, str]]:
    """(entry, account, debit, credit) of each line, in major units."""
    expansion = expand(frame(rows), compiled(rules), first_je_number=1, period="2025-01")
    assert expansion.exceptions.is_empty()
    codes = {number: code for code, number in ids(rules)[1].items()}
    return [
        (number, codes[account], f"{max(amount, 0) / 100:.2f}", f"{max(-amount, 0) / 100:.2f}")
        for amount, number, _, account, _ in expansion.lines.iter_rows()
    ]


def test_contribution_in_one_entry_worked_by_hand() -> None:
    """1,000,000.00 split 40/40/20: the operator takes the cash, keeps 200,000.00 and owes each fund 400,000.00."""
    amounts = {"gross_amount": 100_000_000, "tabarru_amount": 40_000_000, "tanahud_amount": 40_000_000}
    row = transaction(product_code="HYBRID-LIFE-001", ujroh_amount=20_000_000, **amounts)
    assert _posted(load_rule_set("combined"), row) == [
        (1, "1100-10", "1000000.00", "0.00"),
        (1, "2320-10", "0.00", "400000.00"),
        (1, "2330-10", "0.00", "400000.00"),
        (1, "4210-10", "0.00", "200000.00"),
        (1, "1310-20", "400000.00", "0.00"),
        (1, "4110-20", "0.00", "400000.00"),
        (1, "1310-30", "400000.00", "0.00"),
        (1, "4110-30", "0.00", "400000.00"),
    ]


def test_contribution_and_claim_in_entries_by_fund_worked_by_hand() -> None:
    """A claim that the tabarru' fund bears alone is one entry; numbers go on from transaction to transaction."""
    claim = transaction(
        txn_type="CLAIM", product_code="MOTOR-001", gross_amount=40_000, tanahud_amount=0, ujroh_amount=0
    )
    assert _posted(load_rule_set("three_entries"), claim, transaction(product_code="MOTOR-001")) == [
        (1, "5110-20", "400.00", "0.00"),
        (1, "1100-20", "0.00", "400.00"),
        (2, "1100-20", "400.00", "0.00"),
        (2, "4110-20", "0.00", "400.00"),
        (3, "1100-30", "400.00", "0.00"),
        (3, "4110-30", "0.00", "400.00"),
        (4, "1100-10", "200.00", "0.00"),
        (4, "4210-10", "0.00", "200.00"),
    ]


def test_line_numbers_are_those_of_the_template_and_skip_zero_lines() -> None:
    row = transaction(product_code="MOTOR-001", gross_amount=60_000, tanahud_amount=0)
    lines = expand(frame([row]), compiled(load_rule_set("combined")), first_je_number=1, period="2025-01").lines
    assert lines["line_number"].to_list() == [1, 2, 4, 5, 6]


REMAINDER = template(
    "REMAINDER",
    line(1, "DR", "cash", "OPERATOR", ":gross_amount"),
    line(2, "CR", "fees", "OPERATOR", ":gross_amount * 0.5"),
    line(3, "CR", "due-to", "OPERATOR", ":gross_amount * 0.5", rest=True),
)


def test_the_remainder_line_takes_the_rounding_difference() -> None:
    """Both halves of 0.05 round up to 0.03; the second gives the cent back."""
    row = transaction(gross_amount=5, tabarru_amount=5, tanahud_amount=0, ujroh_amount=0)
    assert _posted(rule_set(REMAINDER), row) == [
        (1, "cash", "0.05", "0.00"),
        (1, "fees", "0.00", "0.03"),
        (1, "due-to", "0.00", "0.02"),
    ]


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"product_code": "NEW-001"}, "NO_TEMPLATE", ["PREMIUM", "product (not in the rules)", "2025-01-15"]),
        ({"product_code": "NEW-001", "channel": "BROKER"}, "NO_TEMPLATE", ["(not in the rules), channel BROKER,"]),
        ({"product_code": "NEW-001", "channel": "BUDI"}, "NO_TEMPLATE", ["channel (not in the rules)"]),
        ({"txn_type": "REFUND"}, "NO_TEMPLATE", ["type (not in the rules), product MOTOR-001", "no template"]),
        ({"bank_value_date": date(1899, 12, 31)}, "NO_TEMPLATE", ["1899-12-31"]),
        (
            {"ujroh_amount": -1, "gross_amount": 79_999},
            "NEGATIVE_AMOUNT",
            ["PREMIUM-COMBINED v1", "ujroh_amount -0.01"],
        ),
        ({"gross_amount": 100_001}, "OUT_OF_BALANCE", ["gross_amount 1000.01", "tabarru_amount 400.00"]),
        (
            dict.fromkeys(["gross_amount", "tabarru_amount", "tanahud_amount", "ujroh_amount"], 0),
            "NO_AMOUNT",
            ["gross_amount 0.00"],
        ),
        ({"channel": None, "product_code": ""}, "NO_TEMPLATE", ["(none)"]),
        # Equal modulo 2**64: a sum that wraps round would call it balanced.
        (
            {
                "gross_amount": 2**62,
                "tabarru_amount": 2**63 - 1,
                "tanahud_amount": 2**63 - 1,
                "ujroh_amount": 2**62 + 2,
            },
            "OUT_OF_BALANCE",
            ["46116860184273879.04"],
        ),
    ],
)
def test_exceptions_have_their_reason_and_say_what_is_wrong(changes, reason, words) -> None:
    good = transaction(product_code="MOTOR-001", txn_id="GOOD")
    bad = good | {"txn_id": "BAD"} | changes
    expansion = expand(
        frame([good, bad, good]), compiled(load_rule_set("combined")), first_je_number=1, period="2025-01"
    )
    assert expansion.headers["source_id"].to_list() == ["GOOD", "GOOD"]
    (found,) = expansion.exceptions.iter_rows(named=True)
    assert (found["load_id"], found["row_number"], found["txn_id"], found["reason"]) == (1, 2, "BAD", reason)
    assert all(word in found["detail"] for word in words), found["detail"]


def test_two_templates_of_equal_priority_are_an_exception_that_names_both() -> None:
    rules = rule_set(template("ONE"), template("TWO", matches=[match("channel = 'AGENT'")]))
    rows = [transaction(), transaction(channel="WEB")]
    expansion = expand(frame(rows), compiled(rules), first_je_number=1, period="2025-01")
    assert expansion.headers.height == 1
    assert expansion.exceptions["reason"].to_list() == ["AMBIGUOUS_TEMPLATE"]
    assert "template ONE v1 and template TWO v1" in expansion.exceptions["detail"][0]


def test_a_remainder_larger_than_rounding_explains_is_out_of_balance() -> None:
    wrong = template(
        "WRONG",
        line(1, "DR", "cash", "OPERATOR", ":gross_amount"),
        line(2, "CR", "fees", "OPERATOR", ":gross_amount * 0.999", rest=True),
    )
    expansion = expand(frame([transaction()]), compiled(rule_set(wrong)), first_je_number=1, period="2025-01")
    assert expansion.exceptions["reason"].to_list() == ["OUT_OF_BALANCE"]


def test_the_smallest_priority_number_wins_and_versions_follow_the_value_date() -> None:
    new_year = date(2025, 1, 1)
    rules = rule_set(
        template("GENERAL", matches=[match(priority=100)]),
        template(
            "LARGE", matches=[match("gross_amount >= 2000.00", priority=10)], effective_to=new_year - timedelta(1)
        ),
        template("LARGE", matches=[match("gross_amount >= 500.00", priority=10)], effective_from=new_year, version=2),
    )
    old = date(2024, 12, 31)
    rows = [
        transaction(bank_value_date=old),
        transaction(),
        transaction(gross_amount=30_000, tabarru_amount=0, tanahud_amount=10_000),
    ]
    headers = expand(frame(rows), compiled(rules), first_je_number=1, period="2025-01").headers
    keys = {number: key for key, number in ids(rules)[0].items()}
    assert [keys[number] for number in headers["template_id"]] == [("GENERAL", 1), ("LARGE", 2), ("GENERAL", 1)]


def test_the_last_day_of_a_template_is_its_effective_to() -> None:
    rules = rule_set(template(effective_to=date(2024, 12, 31)))
    rows = [transaction(bank_value_date=date(2024, 12, 31)), transaction(bank_value_date=date(2025, 1, 1))]
    exceptions = expand(frame(rows), compiled(rules), first_je_number=1, period="2025-01").exceptions
    assert exceptions.select("row_number", "reason").rows() == [(2, "NO_TEMPLATE")]


def test_a_remainder_that_takes_its_line_below_zero_is_an_exception() -> None:
    """Both halves of 0.05 round up to 0.03, and the line with the remainder has nothing to give back."""
    shares = ((2, ":gross_amount * 0.5"), (3, ":gross_amount * 0.5"))
    credited = [line(number, "CR", "fees", "OPERATOR", text) for number, text in shares]
    last = line(4, "CR", "due-to", "OPERATOR", ":gross_amount - :gross_amount", rest=True)
    rules = rule_set(template("T", line(1, "DR", "cash", "OPERATOR", ":gross_amount"), *credited, last))
    row = transaction(gross_amount=5, tabarru_amount=5, tanahud_amount=0, ujroh_amount=0)
    exceptions = expand(frame([row]), compiled(rules), first_je_number=1, period="2025-01").exceptions
    assert exceptions["reason"].to_list() == ["NEGATIVE_AMOUNT"]


def test_an_override_for_the_channel_beats_one_for_all_channels() -> None:
    rules = rule_set(
        template(),
        overrides=[AccountOverride("P", None, "fees", "fees-2"), AccountOverride("P", "WEB", "fees", "due-to")],
    )
    rows = [transaction(), transaction(channel="WEB"), transaction(product_code="Q"), transaction(channel=None)]
    accounts = [account for _, account, _, _ in _posted(rules, *rows)]
    assert accounts[1::2] == ["fees-2", "due-to", "fees", "fees-2"]


def test_no_transactions_no_entries() -> None:
    expansion = expand(frame([]), compiled(load_rule_set("combined")), first_je_number=1, period="2025-01")
    assert (expansion.headers.schema, expansion.lines.schema, expansion.exceptions.schema) == (
        HEADERS,
        LINES,
        EXCEPTIONS,
    )
    assert expansion.headers.is_empty()
    assert expansion.lines.is_empty()
    assert expansion.exceptions.is_empty()


@pytest.mark.parametrize("amount", [":gross_amount * 3", ":gross_amount + :gross_amount"])
def test_overflow_raises_and_names_template_and_expression(amount: str) -> None:
    rules = rule_set(
        template("BIG", line(1, "DR", "cash", "OPERATOR", amount), line(2, "CR", "fees", "OPERATOR", amount))
    )
    row = transaction(gross_amount=MAX_MINOR - 2, tabarru_amount=MAX_MINOR - 2, tanahud_amount=0, ujroh_amount=0)
    with pytest.raises(AmountOverflow, match="template BIG v1, amount"):
        expand(frame([row]), compiled(rules), first_je_number=1, period="2025-01")


def test_a_total_that_overflows_raises() -> None:
    lines = [
        line(number, side, "cash", "OPERATOR", ":gross_amount")
        for number, side in enumerate(["DR", "DR", "CR", "CR"], 1)
    ]
    row = transaction(gross_amount=MAX_MINOR, tabarru_amount=MAX_MINOR, tanahud_amount=0, ujroh_amount=0)
    with pytest.raises(AmountOverflow, match="total of the debits"):
        expand(frame([row]), compiled(rule_set(template("BIG", *lines))), first_je_number=1, period="2025-01")


def test_numbers_end_at_int32() -> None:
    rows, rules = frame([transaction(), transaction()]), compiled(rule_set(template()))
    assert expand(rows, rules, first_je_number=2**31 - 2, period="2025-01").headers["je_number"][1] == 2**31 - 1
    for first in (2**31 - 1, 0):
        with pytest.raises(PostingError, match="numbers from"):
            expand(rows, rules, first_je_number=first, period="2025-01")


@pytest.mark.parametrize("name", ["txn_id", "txn_type", "product_code", "bank_value_date", "gross_amount", "load_id"])
def test_nulls_missing_columns_and_other_types_are_refused(name: str) -> None:
    rules = compiled(rule_set(template()))
    for broken in (
        frame([transaction(**{name: None})]),
        frame([transaction()]).drop(name),
        frame([transaction()]).with_columns(pl.lit(b"").alias(name)),
    ):
        with pytest.raises(PostingError, match=f"column {name}"):
            expand(broken, rules, first_je_number=1, period="2025-01")


def test_further_columns_and_nulls_in_optional_ones_do_no_harm() -> None:
    row = transaction(policy_id=None, channel=None, txn_date=None, currency=None)
    rows = frame([row]).with_columns(reason=pl.lit("x"), row=pl.lit(1), line_1=pl.lit(9))
    assert expand(rows, compiled(rule_set(template())), first_je_number=1, period="2025-01").headers.height == 1
    assert TRANSACTIONS.names()[0] == "load_id"


def test_rules_compile_only_with_ids_that_fit() -> None:
    rules = rule_set(template())
    template_ids, account_ids = ids(rules)
    for bad_templates, bad_accounts in (
        ({}, account_ids),
        (template_ids, {}),
        (dict.fromkeys(template_ids, 2**15), account_ids),
        (template_ids, dict.fromkeys(account_ids, 0)),
    ):
        with pytest.raises(RuleError, match="its id is"):
            compile_rules(rules, bad_templates, bad_accounts)
    with pytest.raises(RuleError, match="no template"):
        compile_rules(rule_set(), {}, account_ids)
