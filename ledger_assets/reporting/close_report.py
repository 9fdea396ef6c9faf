"""The close report: what the papers of a month say, for those who answer for the books (A14, B8).

Here: the figures of a month, and what follows from them. Not here: how they are read (reading), how they are shown
(page, pdf, workbook), and where the papers lie (papers). They show counts and totals, never a transaction: nothing on
them is personal.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cached_property, reduce
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.accounting.balances import CONTROLS, Balances
from ledger_assets.accounting.certificate import Document, fingerprint, signer
from ledger_assets.accounting.counting import counted
from ledger_assets.accounting.gates import GATES
from ledger_assets.accounting.money import from_minor
from ledger_assets.accounting.statement_figures import MonthFigures
from ledger_assets.accounting.statement_tables import Statement
from ledger_assets.accounting.statements import STATEMENTS
from ledger_assets.accounting.verdicts import Verdict
from ledger_assets.accounting.waiting_rules import WaitingVersion

Row = Mapping[str, Any]
"""A row of the statement that the field is named after; its columns are those of the file in sql/."""

ZERO: Final = Decimal("0.00")
EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation])
PAST: Final = frozenset({"ROLLED_BACK", "ABORTED"})


@dataclass(frozen=True)
class FundAccounts:
    """The accounts of one fund in the trial balance, and what they add up to."""

    fund: str
    accounts: Sequence[Row]

    @property
    def opening_balance(self) -> Decimal:
        return _column(self.accounts, "opening_balance")

    @property
    def debit(self) -> Decimal:
        return _column(self.accounts, "debit")

    @property
    def credit(self) -> Decimal:
        return _column(self.accounts, "credit")

    @property
    def closing_balance(self) -> Decimal:
        return _column(self.accounts, "closing_balance")

    @property
    def adds_up_to_zero(self) -> bool:
        """A fund that balances on its own: nothing in it is another fund's."""
        return not self.opening_balance and self.debit == self.credit and not self.closing_balance


@dataclass(frozen=True)
class Gate:
    """The last word of a gate on a batch; None when the batch as it is now was never put to it."""

    batch_id: str
    name: str
    verdict: Row | None

    @property
    def outcome(self) -> str:
        if self.verdict is None:
            return "not evaluated"
        return "passed" if self.verdict["passed"] else "failed"


@dataclass(frozen=True)
class Recognition:
    """What was posted of a transaction type, per component: as delivered, and as the accounts of the funds show it."""

    txn_type: str
    delivered: Mapping[str, Decimal]
    recognised: Mapping[str, Decimal]

    @property
    def passed(self) -> bool:
        return self.delivered == self.recognised


@dataclass(frozen=True)
class ProductFigures:
    """A transaction type as posted, and by product and channel."""

    txn_type: str
    transactions: int
    gross_amount: Decimal
    rows: Sequence[Row]

    @property
    def ties(self) -> bool:
        counted, added = sum(row["transactions"] for row in self.rows), _column(self.rows, "gross_amount")
        return (counted, added) == (self.transactions, self.gross_amount)


@dataclass(frozen=True)
class CloseReport:
    """Everything that the papers say about a month, as read from the database.

    `batches_before` and `source_before` are those of the month before, to compare counts with.
    """

    month: Row
    batches: Sequence[Row]
    verdicts: Sequence[Row]
    deliveries: Sequence[Row]
    source: Sequence[Row]
    funds: Sequence[Row]
    trial_balance: Sequence[Row]
    balances: Balances
    exceptions: Sequence[Row]
    refusals: Sequence[Row]
    certificate: Document | None = None
    certificate_refusal: str | None = None
    late: Sequence[Row] = ()
    closes: Sequence[Row] = ()
    changes: Sequence[Row] = ()
    figures: MonthFigures = field(default_factory=lambda: MonthFigures("", (), ""))
    products: Sequence[Row] = ()
    timing: Sequence[Row] = ()
    waiting_rules: Sequence[WaitingVersion] = ()
    batches_before: Sequence[Row] = ()
    source_before: Sequence[Row] = ()

    @property
    def period(self) -> str:
        return str(self.month["period"])

    @property
    def title(self) -> str:
        """The month as people say it: January 2025."""
        return f"{date.fromisoformat(f'{self.period}-01'):%B %Y}"

    @property
    def last_day(self) -> str:
        """The day of the balance sheet: 31 January 2025."""
        year, month = map(int, self.period.split("-"))
        return f"{monthrange(year, month)[1]} {self.title}"

    @property
    def is_closed(self) -> bool:
        return self.month["status"] in {"CLOSED", "LOCKED"}

    @property
    def status(self) -> str:
        if self.is_closed:
            return "Locked" if self.month["status"] == "LOCKED" else "Closed"
        return "Posted, not closed" if self.posted else "Not posted"

    @property
    def posted(self) -> list[Row]:
        """The batches that the books consist of."""
        return [batch for batch in self.batches if batch["state"] == "COMMITTED"]

    @property
    def entry_count(self) -> int:
        return sum(batch["entry_count"] for batch in self.posted)

    @property
    def line_count(self) -> int:
        return sum(batch["line_count"] for batch in self.posted)

    @property
    def numbers(self) -> tuple[int, int] | None:
        """First and last number of the month's entries; None when there is no entry."""
        used = [batch for batch in self.posted if batch["entry_count"]]
        return (min(b["first_je_number"] for b in used), max(b["last_je_number"] for b in used)) if used else None

    @property
    def numbers_are_gapless(self) -> bool:
        first, last = self.numbers or (1, 0)
        return last - first + 1 == self.entry_count

    @cached_property
    def gates(self) -> list[Gate]:
        """Every gate for every batch that is posted or open, evaluated or not."""
        words = {(v["batch_id"], v["attempt"], v["gate"]): v for v in self.verdicts}
        return [
            Gate(batch["batch_id"], name, words.get((batch["batch_id"], batch["attempt"], name)))
            for batch in self.batches
            if batch["state"] not in PAST
            for name in GATES
        ]

    @cached_property
    def controls(self) -> list[Verdict]:
        """The controls on the balances, evaluated on what was read for this page."""
        return [control(self.balances) for control in CONTROLS.values()]

    @cached_property
    def accounts_by_fund(self) -> list[FundAccounts]:
        ordered = sorted(self.trial_balance, key=itemgetter("fund", "account_code"))
        return [FundAccounts(fund, list(accounts)) for fund, accounts in groupby(ordered, key=itemgetter("fund"))]

    @property
    def all_accounts(self) -> FundAccounts:
        return FundAccounts("All funds", self.trial_balance)

    @property
    def line_debit(self) -> Decimal:
        """The posted lines added up again, for this page."""
        return from_minor(sum(account.line_debit for account in self.balances.accounts))

    @property
    def line_credit(self) -> Decimal:
        return from_minor(sum(account.line_credit for account in self.balances.accounts))

    @property
    def ties(self) -> bool:
        """Trial balance debits = credits = the lines."""
        return self.all_accounts.debit == self.all_accounts.credit == self.line_debit == self.line_credit

    @cached_property
    def recognitions(self) -> list[Recognition]:
        posted = [row for row in self.source if row["is_posted"]]
        delivered = {row["txn_type"]: {name: row[name] for name in COMPONENTS} for row in posted}
        recognised = {name: dict.fromkeys(COMPONENTS, ZERO) for name in delivered}
        for account in self.trial_balance:
            if account["recognised_type"] is not None:
                components = recognised.setdefault(account["recognised_type"], dict.fromkeys(COMPONENTS, ZERO))
                component = account["recognised_component"]
                components[component] = EXACT.add(components[component], _movement(account))
        nothing = dict.fromkeys(COMPONENTS, ZERO)
        return [
            Recognition(name, delivered.get(name, nothing), recognised[name])
            for name in sorted(recognised)
            if name in delivered or any(recognised[name].values())
        ]

    @property
    def signed_with(self) -> str:
        """The fingerprint of the key that signed the certificate."""
        return fingerprint(signer(self.certificate)) if self.certificate else ""

    @cached_property
    def statements(self) -> Mapping[str, Statement]:
        """The statements of the month by their names."""
        return {name: make(self.figures) for name, make in STATEMENTS.items()}

    @property
    def by_product(self) -> list[ProductFigures]:
        """What was posted of each transaction type, next to what it adds up to by product and channel; empty when
        nobody has added it up: no load was posted, or its source was archived before.
        """
        if not self.products:
            return []
        posted = {
            row["txn_type"]: (row["transactions"], row["gross_amount"]) for row in self.source if row["is_posted"]
        }
        types = sorted({*posted, *(row["txn_type"] for row in self.products)})
        return [
            ProductFigures(
                name, *posted.get(name, (0, ZERO)), [row for row in self.products if row["txn_type"] == name]
            )
            for name in types
        ]

    @property
    def open_points(self) -> list[str]:
        """What a person still has to look at, in the order of the page; empty when the month is in order."""
        waiting = sum(row["transactions"] for row in self.source if not row["is_posted"])
        exceptions = sum(row["count"] for row in self.exceptions)
        refused = sum(row["open"] for row in self.refusals)
        points = [
            (not self.is_closed, "The month is not closed: its balances are not final."),
            (not self.numbers_are_gapless, "The entry numbers have a gap."),
            *((g.outcome != "passed", f"{g.batch_id}: {in_words(g.name)} {g.outcome}.") for g in self.gates),
            *((not c.passed, f"{in_words(c.gate)} failed: {c.detail}.") for c in self.controls),
            *((not r.passed, f"{r.txn_type}: the funds do not show what was delivered.") for r in self.recognitions),
            *((not f.adds_up_to_zero, f"{f.fund} does not balance on its own.") for f in self.accounts_by_fund),
            (not self.ties, "Trial balance and posted lines differ."),
            *((not s.ties, f"{s.title} does not tie: {_untied(s)}.") for s in self.statements.values()),
            *((not p.ties, f"{p.txn_type} by product is not what was posted.") for p in self.by_product),
            (waiting, f"{counted(waiting, 'delivered transaction')} {_are(waiting)} in no posted batch."),
            (exceptions, f"{counted(exceptions, 'transaction')} {_are(exceptions)} in the exception queue."),
            (refused, f"{counted(refused, 'refused row')} {_are(refused)} open."),
            *((version, f"The {version}. To do: {version.fix}.") for version in self.waiting_rules),
            (self.certificate_refusal, f"The month is not certified: {self.certificate_refusal}"),
        ]
        return [point for is_open, point in points if is_open]


def amount(value: Decimal) -> str:
    """An amount as it is printed: thousands separators, two decimals, exactly."""
    return f"{value:,.2f}"


def moment(value: datetime | None) -> str:
    """A point in time as it is printed; UTC, whatever the server and the reader use."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if value else "–"


def seconds(value: Decimal | None) -> str:
    """A duration as people read it; a dash for a step that the batch's record does not have."""
    if value is None:
        return "–"
    return f"{value:,.1f} s" if value < 120 else f"{value / 60:,.1f} min"


def in_words(identifier: str) -> str:
    """A gate's or a control's name in words."""
    return identifier.replace("_", " ")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _untied(statement: Statement) -> str:
    """What does not tie, in words."""
    failed = [
        f"{check.label}: {amount(from_minor(check.difference))}" for check in statement.checks if not check.passed
    ]
    return "; ".join(failed) or "a line that has to be zero is not"


def _movement(account: Row) -> Decimal:
    """What the month's transactions moved, on the side where the account recognises: debit for an expense, credit for
    an income. Year ends and reversals move it too, but deliver nothing.
    """
    moved = EXACT.subtract(EXACT.subtract(account["debit"], account["credit"]), account["derived"])
    return moved if account["account_type"] == "EXPENSE" else EXACT.minus(moved)


def _column(records: Iterable[Row], column: str) -> Decimal:
    """The sum of a column, exactly or not at all (Python's own sum rounds to 28 digits)."""
    return reduce(EXACT.add, (record[column] for record in records), ZERO)
