"""From transactions to journal entries: the expansion (B5) and its exceptions (B6).

Here: which entries a transaction becomes, their numbers, and the transactions that become none, with the reason.
Pure: frames in, frames out. Not here: how a template is chosen (template_matching), what its lines amount to
(entry_amounts), and where entries are stored.

Entries are laid out by position. For each transaction there is one row with a column for each line that its template
can make; the columns are woven into one long column row by row, so lines come out in the order of the transactions
without a sort. A second, equally long index says which line of which template each place is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from ledger_assets.accounting.amounts import VARIABLES
from ledger_assets.accounting.entry_amounts import entry_amounts
from ledger_assets.accounting.errors import PostingError, RuleError
from ledger_assets.accounting.posting_exceptions import AMBIGUOUS_TEMPLATE, NO_TEMPLATE, explain
from ledger_assets.accounting.template_matching import Matching, Vocabulary, match
from ledger_assets.accounting.templates import MAX_SMALLINT, RuleSet

MAX_JE_NUMBER: Final = 2**31 - 1

TRANSACTIONS: Final = pl.Schema(
    {
        "load_id": pl.Int32,
        "row_number": pl.Int32,
        "txn_id": pl.String,
        "txn_type": pl.String,
        "policy_id": pl.String,
        "product_code": pl.String,
        "channel": pl.String,
        "txn_date": pl.Date,
        "bank_value_date": pl.Date,
        "currency": pl.String,
        **dict.fromkeys(VARIABLES, pl.Int64),
    }
)
"""What `expand` takes; amounts in minor units."""

HEADERS: Final = pl.Schema(
    {
        "total_amount": pl.Int64,
        "je_number": pl.Int32,
        "je_date": pl.Date,
        "template_id": pl.Int16,
        "source_entry": pl.Int16,
        "period": pl.String,
        "source_id": pl.String,
        "original_date": pl.Date,
    }
)
LINES: Final = pl.Schema(
    {"amount": pl.Int64, "je_number": pl.Int32, "line_number": pl.Int16, "account_id": pl.Int16, "period": pl.String}
)
_NULLABLE: Final = ("policy_id", "channel", "txn_date", "currency")


@dataclass(frozen=True)
class CompiledRules:
    """A rule set made ready to post.

    A shape is a template with its accounts after overrides. All shapes have `width` places in `places`, one for each
    line and unused ones behind them, so that shape and position of a line give its place.

    Attributes:
        rule_set: the rules.
        vocabulary: the values that they name.
        shapes: (template index, account codes) of each shape, to its index.
        places: `entry` (UInt32), `line_number`, `account_id` (Int16), for each place.
        template_ids: for each template index the id that headers store.
        width: the largest number of lines of a template.
    """

    rule_set: RuleSet
    vocabulary: Vocabulary
    shapes: Mapping[tuple[int, tuple[str, ...]], int]
    places: pl.DataFrame
    template_ids: pl.Series
    width: int


@dataclass(frozen=True)
class Expansion:
    """What transactions became. Each transaction is in headers or in exceptions, never in both.

    Attributes:
        headers: `HEADERS`, one row per entry, by je_number.
        lines: `LINES`, one row per line, by (je_number, line_number); debits positive, credits negative, none zero.
        exceptions: `EXCEPTIONS`, one row per transaction that became no entry, in the order of the transactions.
    """

    headers: pl.DataFrame
    lines: pl.DataFrame
    exceptions: pl.DataFrame


def compile_rules(
    rule_set: RuleSet, template_ids: Mapping[tuple[str, int], int], account_ids: Mapping[str, int]
) -> CompiledRules:
    """Make a rule set ready to post.

    Args:
        rule_set: the rules; whether they are sound and approved is for rule_proofs to say.
        template_ids: (code, version) to the id that headers store.
        account_ids: account code to the id that lines store.

    Raises:
        RuleError: there is no template, or a template or account has no id from 1 to 32767.
    """
    if not rule_set.templates:
        raise RuleError(rule_set.title, "it has no template", "add one")
    width = max(len(template.lines) for template in rule_set.templates)
    shapes: dict[tuple[int, tuple[str, ...]], int] = {}
    for product in (None, *{override.product_code for override in rule_set.overrides}):
        for channel in (None, *{override.channel for override in rule_set.overrides if override.channel}):
            for index in range(len(rule_set.templates)):
                shapes.setdefault((index, _accounts(rule_set, index, product, channel)), len(shapes))
    places: list[tuple[int, int, int]] = []
    for index, accounts in shapes:
        template = rule_set.templates[index]
        for line, account in zip(template.lines, accounts, strict=True):
            account_id = _small(account_ids.get(account), f"account {account} of {template.name}")
            places.append((line.entry, line.line_number, account_id))
        # Lines that the template does not have are zero and left out; entry 1 is one that every transaction has.
        places += [(1, 0, 0)] * (width - len(accounts))
    return CompiledRules(
        rule_set=rule_set,
        vocabulary=Vocabulary.of(rule_set),
        shapes=shapes,
        places=pl.DataFrame(
            places, {"entry": pl.UInt32, "line_number": pl.Int16, "account_id": pl.Int16}, orient="row"
        ),
        template_ids=pl.Series([_small(template_ids.get(t.key), t.name) for t in rule_set.templates], dtype=pl.Int16),
        width=width,
    )


def expand(transactions: pl.DataFrame, rules: CompiledRules, *, first_je_number: int, period: str) -> Expansion:
    """Turn transactions into journal entries.

    Entries are numbered from `first_je_number` on, without a gap, in the order of the transactions and of the entries
    of their template. Entries and lines that would be zero are left out.

    A transaction from before the period came too late for its own month: its template is the one of its date, but its
    entries are of the period's first day and keep that date as `original_date`, which is null everywhere else.

    Args:
        transactions: the columns of `TRANSACTIONS`, with nulls only in policy_id, channel, txn_date and currency.
        rules: the compiled rules.
        first_je_number: from 1.
        period: the month that the entries are posted to, as `2025-01`; written on every row.

    Raises:
        PostingError: columns that are missing, of another type or with nulls; numbers beyond Int32.
        AmountOverflow: a computed amount does not fit into Int64. Amounts that are merely impossible are exceptions.
        RuleError: see `template_matching.match`.
    """
    _check(transactions)
    transactions = transactions.select(TRANSACTIONS.names())
    matching = match(transactions, rules.rule_set, rules.vocabulary)
    evaluated = [
        _evaluated(transactions, matching, rules, index) for index in matching.choice.unique().sort() if index >= 0
    ]
    failed = [frame.filter(pl.col("reason").is_not_null()).select("row", "reason", "templates") for frame in evaluated]
    wide = _in_order([frame.filter(pl.col("reason").is_null()) for frame in evaluated])
    headers, lines = _entries(wide, transactions, rules, first_je_number)
    headers = _dated(headers, date.fromisoformat(f"{period}-01"))
    return Expansion(
        headers=headers.with_columns(period=pl.lit(period)).select(HEADERS.names()),
        lines=lines.with_columns(period=pl.lit(period)).select(LINES.names()),
        exceptions=explain(
            transactions, pl.concat([_unmatched(matching, rules.rule_set), *failed]), rules.rule_set.codes
        ),
    )


def _accounts(rule_set: RuleSet, index: int, product: str | None, channel: str | None) -> tuple[str, ...]:
    """The accounts of a template's lines after overrides."""
    lines = rule_set.templates[index].lines
    return tuple(rule_set.account_for(line.account_code, product, channel) for line in lines)


def _small(value: int | None, culprit: str) -> int:
    if value is None or not 1 <= value <= MAX_SMALLINT:
        raise RuleError(culprit, f"its id is {value}", f"store the rules first; ids run from 1 to {MAX_SMALLINT}")
    return value


def _check(transactions: pl.DataFrame) -> None:
    for name, kind in TRANSACTIONS.items():
        found = transactions.schema.get(name)
        if found != kind:
            raise PostingError(f"column {name}", f"it is {found or 'missing'}, not {kind}", "see posting.TRANSACTIONS")
        nulls = transactions[name].null_count()
        if nulls and name not in _NULLABLE:
            raise PostingError(f"column {name}", f"it has {nulls} nulls", "load the source through its checks")


def _evaluated(transactions: pl.DataFrame, matching: Matching, rules: CompiledRules, index: int) -> pl.DataFrame:
    """The transactions of one template with their amounts, their shape and where they stand."""
    template = rules.rule_set.templates[index]
    shapes = [
        rules.shapes[index, _accounts(rules.rule_set, index, cell.product_code, cell.channel)]
        for cell in matching.cells
    ]
    rows = transactions.select(
        *VARIABLES,
        row=pl.int_range(pl.len(), dtype=pl.UInt32),
        shape=pl.Series(shapes, dtype=pl.UInt32).gather(matching.cell),
        template=pl.lit(index, pl.UInt32),
    )
    chosen = matching.choice == index
    frame = entry_amounts(template, rows if chosen.all() else rows.filter(chosen))
    return frame.with_columns(templates=pl.lit(template.name))


def _unmatched(matching: Matching, rule_set: RuleSet) -> pl.DataFrame:
    """The transactions without a template, in the columns that `explain` takes."""
    names = [" and ".join(rule_set.templates[index].name for index in one) for one in matching.ambiguities]
    # Choices from -1 down: no template, the first ambiguity, the second ...
    number = -1 - pl.col("choice")
    rows = matching.choice.to_frame("choice").with_row_index("row").filter(pl.col("choice") < 0)
    return rows.select(
        "row",
        reason=pl.when(number == 0).then(pl.lit(NO_TEMPLATE)).otherwise(pl.lit(AMBIGUOUS_TEMPLATE)),
        templates=number.replace_strict(range(len(names) + 1), ["", *names], return_dtype=pl.String),
    )


def _in_order(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Put the transactions of several templates back into their order; a line that a template has not is zero."""
    if len(frames) < 2:
        return frames[0] if frames else pl.DataFrame()
    amounts = sorted({name for frame in frames for name in frame.columns if name.startswith(("line_", "total_"))})
    padded = [
        frame.select(
            *("row", "shape", "template"),
            *(pl.col(name) if name in frame.columns else pl.lit(0, pl.Int64).alias(name) for name in amounts),
        )
        for frame in frames
    ]
    return pl.concat(padded).sort("row")


def _entries(
    wide: pl.DataFrame, transactions: pl.DataFrame, rules: CompiledRules, first_je_number: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Headers and lines, without the period and with the transactions' own dates, from one row per transaction."""
    if wide.is_empty():
        return HEADERS.to_frame(), LINES.to_frame()
    depth = sum(name.startswith("total_") for name in wide.columns)
    totals = _woven(wide, "total_", depth)
    made = totals != 0
    # The number of each entry that is made; entries that are not made repeat the one before.
    numbers = made.cum_sum().cast(pl.Int64) + (first_je_number - 1)
    if first_je_number < 1 or numbers[-1] > MAX_JE_NUMBER:
        raise PostingError(
            f"numbers from {first_je_number}", f"they run from 1 to {MAX_JE_NUMBER}", "post in a later period"
        )
    transaction = pl.int_range(totals.len(), dtype=pl.UInt32, eager=True) // depth
    before = numbers.gather_every(depth, depth - 1).shift(1, fill_value=first_je_number - 1)
    row = wide["row"].gather(transaction)
    headers = pl.DataFrame(
        {
            "total_amount": totals,
            "je_number": numbers.cast(pl.Int32),
            "je_date": transactions["bank_value_date"].gather(row),
            "template_id": rules.template_ids.gather(wide["template"].gather(transaction)),
            "source_entry": (numbers - before.gather(transaction)).cast(pl.Int16),
            "source_id": transactions["txn_id"].gather(row),
        }
    ).filter(made)
    return headers, _lines(wide, rules, numbers.cast(pl.Int32), depth)


def _dated(headers: pl.DataFrame, first_day: date) -> pl.DataFrame:
    """Entries of transactions from before the period's first day are booked on it, and keep their own date."""
    is_late = pl.col("je_date") < first_day
    return headers.with_columns(
        je_date=pl.when(is_late).then(pl.lit(first_day)).otherwise("je_date"),
        original_date=pl.when(is_late).then("je_date"),
    )


def _lines(wide: pl.DataFrame, rules: CompiledRules, numbers: pl.Series, depth: int) -> pl.DataFrame:
    """The lines that are not zero; `numbers` are those of the entries, `depth` to a transaction."""
    width = sum(name.startswith("line_") for name in wide.columns)
    amount = _woven(wide, "line_", width)
    position = pl.int_range(amount.len(), dtype=pl.UInt32, eager=True)
    transaction, slot = position // width, position % width
    place = wide["shape"].gather(transaction) * rules.width + slot
    entry = rules.places["entry"].gather(place)
    return pl.DataFrame(
        {
            "amount": amount,
            "je_number": numbers.gather(transaction * depth + entry - 1),
            "line_number": rules.places["line_number"].gather(place),
            "account_id": rules.places["account_id"].gather(place),
        }
    ).filter(amount != 0)


def _woven(wide: pl.DataFrame, prefix: str, count: int) -> pl.Series:
    """The columns `<prefix>1` ... as one, row by row."""
    columns = [f"{prefix}{number}" for number in range(1, count + 1)]
    return wide.select(pl.concat_arr(columns).explode()).to_series()
