"""Rule sets, transactions and hypothesis strategies that the tests of rules and posting share."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

import polars as pl
from hypothesis import strategies as st

from ledger_assets.accounting.amounts import parse_amount
from ledger_assets.accounting.chart import Account, AccountType
from ledger_assets.accounting.conditions import parse_condition
from ledger_assets.accounting.posting import TRANSACTIONS, CompiledRules, compile_rules
from ledger_assets.accounting.predicates import Value
from ledger_assets.accounting.templates import (
    AccountOverride,
    RuleSet,
    Side,
    Template,
    TemplateLine,
    TemplateMatch,
)

Transaction = dict[str, Value | None]

EPOCH = date(1900, 1, 1)


def line(
    number: int, side: str, account: str, fund: str, amount: str, *, entry: int = 1, rest: bool = False
) -> TemplateLine:
    """A template line, its amount given as text."""
    return TemplateLine(number, entry, Side(side), account, fund, parse_amount(amount), takes_remainder=rest)


def match(
    condition: str | None = None, *, product: str | None = None, channel: str | None = None, priority: int = 100
) -> TemplateMatch:
    """A template match, its condition given as text."""
    return TemplateMatch(product, channel, parse_condition(condition) if condition else None, priority)


def template(
    code: str = "T", *lines: TemplateLine, matches: Iterable[TemplateMatch] = (match(),), **changes: object
) -> Template:
    """A template of PREMIUM transactions; without lines, gross is debited and credited within the operator's fund."""
    lines = lines or (
        line(1, "DR", "cash", "OPERATOR", ":gross_amount"),
        line(2, "CR", "fees", "OPERATOR", ":gross_amount"),
    )
    plain = Template(code, 1, "PREMIUM", f"description of {code}", EPOCH, tuple(matches), lines)
    return replace(plain, **changes)  # type: ignore[arg-type]


ACCOUNTS = (
    Account("cash", "Cash", AccountType.ASSET, "OPERATOR"),
    Account("fees", "Fees", AccountType.INCOME, "OPERATOR"),
    Account("fees-2", "Other fees", AccountType.INCOME, "OPERATOR"),
    Account("due-to", "Due to the fund", AccountType.LIABILITY, "OPERATOR", mirror_account_code="due-from"),
    Account("due-from", "Due from operator", AccountType.ASSET, "FUND", mirror_account_code="due-to"),
    Account("income", "Contributions", AccountType.INCOME, "FUND"),
    Account("income-2", "Other contributions", AccountType.INCOME, "FUND"),
    Account("closed", "Closed", AccountType.ASSET, "OPERATOR", is_open=False),
)


def rule_set(
    *templates: Template, overrides: Iterable[AccountOverride] = (), products: Iterable[str] = ("P",)
) -> RuleSet:
    """A rule set over `ACCOUNTS`."""
    return RuleSet("example", 1, "author", ACCOUNTS, tuple(products), templates, tuple(overrides))


def ids(rules: RuleSet) -> tuple[dict[tuple[str, int], int], dict[str, int]]:
    """Ids for templates (from 101) and accounts (from 1), as a database would give them."""
    return (
        {one.key: number for number, one in enumerate(rules.templates, 101)},
        {one.account_code: number for number, one in enumerate(rules.accounts, 1)},
    )


def compiled(rules: RuleSet) -> CompiledRules:
    """The rules, compiled with `ids`."""
    return compile_rules(rules, *ids(rules))


def transaction(**changes: Value | None) -> Transaction:
    """A contribution of 1,000.00 split 40/40/20, and changes."""
    plain: Transaction = {
        "load_id": 1,
        "row_number": 1,
        "txn_id": "TXN-1",
        "txn_type": "PREMIUM",
        "policy_id": "POL-1",
        "product_code": "P",
        "channel": "AGENT",
        "txn_date": date(2025, 1, 14),
        "bank_value_date": date(2025, 1, 15),
        "currency": "IDR",
        "gross_amount": 100_000,
        "tabarru_amount": 40_000,
        "tanahud_amount": 40_000,
        "ujroh_amount": 20_000,
    }
    return plain | changes


def frame(transactions: Iterable[Mapping[str, object]]) -> pl.DataFrame:
    """Transactions as `expand` takes them, numbered from 1."""
    rows = [dict(one) | {"row_number": number} for number, one in enumerate(transactions, 1)]
    return pl.DataFrame(rows, TRANSACTIONS)


CHANNELS = ("AGENT", "BANK", "WEB")
PRODUCTS = ("P", "Q", "R")
DAYS = (date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 15), date(2025, 2, 1))

small_amounts = st.integers(0, 60)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Transactions of few types, products and channels, mostly in order, with small amounts so that rounding shows."""
    parts = [draw(small_amounts) for _ in range(3)]
    if draw(st.integers(0, 9)) == 0:
        parts[draw(st.integers(0, 2))] = -draw(small_amounts)
    off = draw(st.sampled_from([0] * 9 + [1]))
    return transaction(
        txn_id=f"TXN-{draw(st.integers(0, 10**6))}",
        txn_type=draw(st.sampled_from(["PREMIUM", "PREMIUM", "CLAIM", "REFUND"])),
        product_code=draw(st.sampled_from([*PRODUCTS, "UNKNOWN"])),
        channel=draw(st.sampled_from([*CHANNELS, "OTHER", None])),
        bank_value_date=draw(st.sampled_from(DAYS)),
        gross_amount=sum(parts) + off,
        tabarru_amount=parts[0],
        tanahud_amount=parts[1],
        ujroh_amount=parts[2],
    )
