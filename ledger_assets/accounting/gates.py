"""The gates before the commit (A4): five pure functions from control totals to a verdict.

Control totals are read from the stored rows (see `storage/control_totals.py`), never from what was in memory when the
rows were written. The same five conditions stand in SQL, in `control.failed_conditions`, where the posting
transaction enforces them; a test holds the two against each other. Here they are explained: what was expected, what
is there, and the difference, line by line.

Amounts are integers in minor units. None of these functions raises on bad data: bad data is what a verdict is for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger_assets.accounting.amounts import COMPONENTS
from ledger_assets.accounting.verdicts import Comparison, Verdict, amount, conclude, count


@dataclass(frozen=True)
class LoadTotals:
    """One source load: what was recorded when it was loaded, and what its rows add up to now."""

    load_id: int
    loaded_count: int
    loaded_checksum: int
    count: int
    checksum: int


@dataclass(frozen=True)
class SourceTotals:
    """The source transactions of one type, as stored now: count, and minor units per component."""

    count: int
    components: Mapping[str, int]


@dataclass(frozen=True)
class WorkerTotals:
    """One worker's leaves: what it reported (`reserved`, `reported_*`) and what the leaves hold.

    `changes` counts the statements that changed the leaves after the worker wrote them.
    """

    worker_number: int
    reserved: tuple[int, int] | None
    reported_entries: int
    reported_lines: int
    numbers: tuple[int, int] | None
    entries: int
    lines: int
    debit: int
    credit: int
    unbalanced_entries: int
    fund_unbalanced_entries: int
    header_line_mismatches: int
    changes: int


@dataclass(frozen=True)
class AccountTotals:
    """What the batch's lines add up to on one account; code, fund and type are None when the chart does not know it."""

    account_id: int
    account_code: str | None
    fund: str | None
    account_type: str | None
    is_open: bool
    mirror_account_code: str | None
    recognises: tuple[str, str] | None
    debit: int
    credit: int

    @property
    def net(self) -> int:
        """Debits less credits."""
        return self.debit - self.credit

    @property
    def recognised(self) -> int:
        """The amount on the side where the account recognises: debit for an expense, credit for an income."""
        return self.net if self.account_type == "EXPENSE" else -self.net


@dataclass(frozen=True)
class OriginTotals:
    """What a batch is derived from that has no deliveries of its own: the posted batch that it reverses, or the
    balances that a year end carries on.

    `posted_*` is what was counted when the origin was posted, `entries`, `lines` and `unequal_accounts` what its rows
    say now; `stands` that it is still part of the books. `accounts` maps an account's id to its code and to the debit
    and credit that the derived batch has to book on it.
    """

    name: str
    stands: bool
    expected_entries: int
    posted_entries: int
    posted_lines: int
    entries: int
    lines: int
    unequal_accounts: int
    accounts: Mapping[int, tuple[str, int, int]]


@dataclass(frozen=True)
class ControlTotals:
    """Everything that the gates look at, of one batch. `origin` is None for a batch of deliveries."""

    batch_id: str
    first_je_number: int
    next_je_number: int
    loads: Sequence[LoadTotals]
    source: Mapping[str, SourceTotals]
    staged: Mapping[str, int]
    workers: Sequence[WorkerTotals]
    accounts: Sequence[AccountTotals]
    open_exceptions: Mapping[str, int] = field(default_factory=dict)
    origin: OriginTotals | None = None


def record_count(totals: ControlTotals) -> Verdict:
    """Every transaction is journaled once, no exception is open, the leaves hold what the workers wrote.

    Changes by hand are refused whatever they are, because totals do not see all of them: two that cancel out, another
    date, cash for equity. Staging again takes seconds.
    """
    if totals.origin is None:
        types = sorted(totals.source.keys() | totals.staged.keys())
        expected = {name: totals.source[name].count if name in totals.source else 0 for name in types}
        lines = [count(f"{name} transactions journaled", expected[name], totals.staged.get(name, 0)) for name in types]
        summary = count("transactions", sum(expected.values()), sum(totals.staged.values()))
    else:
        entries = sum(worker.entries for worker in totals.workers)
        summary = count(f"entries from {totals.origin.name}", totals.origin.expected_entries, entries)
        lines = [summary]
    lines += [
        count(f"exceptions {reason}", 0, open_rows) for reason, open_rows in sorted(totals.open_exceptions.items())
    ]
    for worker in totals.workers:
        lines.append(count(f"worker {worker.worker_number} entries", worker.reported_entries, worker.entries))
        lines.append(count(f"worker {worker.worker_number} lines", worker.reported_lines, worker.lines))
        lines.append(count(f"worker {worker.worker_number} changes by hand", 0, worker.changes))
    return conclude(
        "record_count", lines, summary=summary, good="every transaction is journaled once", bad="counts differ"
    )


def sequence_integrity(totals: ControlTotals) -> Verdict:
    """The numbers run from the period's next free number on, without gap or duplicate, each worker inside its range.

    Within a leaf the primary key keeps numbers apart, so first, last and count of each leaf are all there is to
    compare.
    """
    lines = [count("first number of the batch", totals.next_je_number, totals.first_je_number)]
    following = totals.first_je_number
    for worker in sorted((w for w in totals.workers if w.reserved or w.numbers), key=lambda w: w.reserved or (0, 0)):
        name = f"worker {worker.worker_number}"
        first, last = worker.reserved or (following, following - 1)
        found_first, found_last = worker.numbers or (0, 0)
        lines.append(count(f"{name} reserved from", following, first))
        lines.append(count(f"{name} first number", first, found_first))
        lines.append(count(f"{name} last number", last, found_last))
        lines.append(count(f"{name} numbers used", last - first + 1, worker.entries))
        following = last + 1
    summary = count("numbers", following - totals.first_je_number, sum(w.entries for w in totals.workers))
    return conclude(
        "sequence_integrity", lines, summary=summary, good="no gap, no duplicate", bad="numbers are not in order"
    )


def debit_credit_balance(totals: ControlTotals) -> Verdict:
    """Debits equal credits: in each entry, in each entry within each fund, in each fund, and in the batch."""
    lines = []
    for worker in totals.workers:
        name = f"worker {worker.worker_number}"
        lines.append(count(f"{name} entries out of balance", 0, worker.unbalanced_entries))
        lines.append(count(f"{name} entries out of balance within a fund", 0, worker.fund_unbalanced_entries))
        lines.append(count(f"{name} entries that differ from their header", 0, worker.header_line_mismatches))
    for fund in sorted({account.fund or "(unknown)" for account in totals.accounts}):
        accounts = [account for account in totals.accounts if (account.fund or "(unknown)") == fund]
        lines.append(
            amount(f"{fund} debits = credits", sum(a.debit for a in accounts), sum(a.credit for a in accounts))
        )
    debit, credit = sum(w.debit for w in totals.workers), sum(w.credit for w in totals.workers)
    summary = amount("debits = credits", debit, credit)
    return conclude(
        "debit_credit_balance", lines, summary=summary, good="every entry and every fund balances", bad="out of balance"
    )


def fund_reconciliation(totals: ControlTotals) -> Verdict:
    """Each source component adds up to the lines of the accounts that recognise it; what one fund owes another is what
    the other is owed; every account is known and open. A batch derived from the books moves every account by what its
    origin says.
    """
    lines, summary = _by_component(totals) if totals.origin is None else _by_origin(totals.origin, totals.accounts)
    lines += _mirrors_and_states(totals.accounts)
    return conclude(
        "fund_reconciliation", lines, summary=summary, good="every component reached its fund", bad="funds differ"
    )


def _by_component(totals: ControlTotals) -> tuple[list[Comparison], Comparison]:
    recognised: dict[tuple[str, str], int] = {}
    for account in totals.accounts:
        if account.recognises is not None:
            recognised[account.recognises] = recognised.get(account.recognises, 0) + account.recognised
    expected = {
        (name, component): source.components[component]
        for name, source in totals.source.items()
        for component in COMPONENTS
    }
    keys = sorted(expected.keys() | recognised.keys())
    lines = [
        amount(f"{name} {component}", expected.get((name, component), 0), recognised.get((name, component), 0))
        for name, component in keys
    ]
    return lines, amount("components", sum(expected.values()), sum(recognised.values()))


def _by_origin(origin: OriginTotals, accounts: Sequence[AccountTotals]) -> tuple[list[Comparison], Comparison]:
    staged = {account.account_id: (account.debit, account.credit) for account in accounts}
    codes = {account.account_id: account.account_code or str(account.account_id) for account in accounts}
    codes |= {account_id: code for account_id, (code, _, _) in origin.accounts.items()}
    lines = []
    for account_id in sorted(codes, key=lambda known: codes[known]):
        _, debit, credit = origin.accounts.get(account_id, ("", 0, 0))
        found_debit, found_credit = staged.get(account_id, (0, 0))
        lines.append(amount(f"{codes[account_id]} debit", debit, found_debit))
        lines.append(amount(f"{codes[account_id]} credit", credit, found_credit))
    expected = sum(debit for _, debit, _ in origin.accounts.values())
    return lines, amount(f"debits from {origin.name}", expected, sum(debit for debit, _ in staged.values()))


def _mirrors_and_states(accounts: Sequence[AccountTotals]) -> list[Comparison]:
    lines = []
    net = {account.account_code: account.net for account in accounts}
    for account in accounts:
        if account.mirror_account_code is not None:
            mirrored = -net.get(account.mirror_account_code, 0)
            lines.append(amount(f"{account.account_code} against {account.mirror_account_code}", mirrored, account.net))
        if not account.is_open:
            state = "unknown" if account.account_code is None else "closed"
            lines.append(
                Comparison(f"account {account.account_code or account.account_id}", "open", state, "", passed=False)
            )
    return lines


def source_unchanged(totals: ControlTotals) -> Verdict:
    """The source rows are those that were loaded: same count, same checksum, load by load. The origin of a batch
    that is derived from the books still stands, and its rows add up to what was posted.
    """
    lines = load_comparisons(totals.loads)
    summary = count(
        "checksum", sum(load.loaded_checksum for load in totals.loads), sum(load.checksum for load in totals.loads)
    )
    if totals.origin is not None:
        origin = totals.origin
        state = "posted" if origin.stands else "not posted"
        summary = count(f"entries of {origin.name}", origin.posted_entries, origin.entries)
        lines = [
            Comparison(origin.name, "posted", state, "", passed=origin.stands),
            summary,
            count(f"lines of {origin.name}", origin.posted_lines, origin.lines),
            count(f"accounts of {origin.name} that differ", 0, origin.unequal_accounts),
        ]
    return conclude(
        "source_unchanged", lines, summary=summary, good="the source is as it was loaded", bad="the source has changed"
    )


def load_comparisons(loads: Sequence[LoadTotals]) -> list[Comparison]:
    """Each load, as it was loaded against as it is."""
    return [
        line
        for load in loads
        for line in (
            count(f"load {load.load_id} rows", load.loaded_count, load.count),
            count(f"load {load.load_id} checksum", load.loaded_checksum, load.checksum),
        )
    ]


GATES: Mapping[str, Callable[[ControlTotals], Verdict]] = {
    gate.__name__: gate
    for gate in (record_count, sequence_integrity, debit_credit_balance, fund_reconciliation, source_unchanged)
}


def evaluate(totals: ControlTotals) -> list[Verdict]:
    """All gates, in the order in which they are reported."""
    return [gate(totals) for gate in GATES.values()]
