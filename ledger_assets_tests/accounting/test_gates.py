"""The gates as functions: for any control totals, a gate passes exactly when what it promises is so.

The totals are those of random transactions, booked by hand and cut into workers, with random faults put in. What a gate
promises is stated here once more, in other words.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_assets.accounting.gates import (
    GATES,
    AccountTotals,
    ControlTotals,
    LoadTotals,
    SourceTotals,
    WorkerTotals,
    debit_credit_balance,
    evaluate,
    fund_reconciliation,
    record_count,
    sequence_integrity,
    source_unchanged,
)

COMPONENTS = ("tabarru_amount", "tanahud_amount", "ujroh_amount")


@dataclass(frozen=True)
class Kind:
    """An account of a small chart: a receipt into the operator's cash, what he owes the fund, what the fund is owed."""

    account_id: int
    code: str
    fund: str
    account_type: str
    mirror: str | None = None
    recognises: tuple[str, str] | None = None


CASH = Kind(1, "cash", "OPERATOR", "ASSET")
DUE_TO = Kind(2, "due-to", "OPERATOR", "LIABILITY", mirror="due-from")
FEES = Kind(3, "fees", "OPERATOR", "INCOME", recognises=("PREMIUM", "ujroh_amount"))
DUE_FROM = Kind(4, "due-from", "TABARRU", "ASSET", mirror="due-to")
INCOME = Kind(5, "income", "TABARRU", "INCOME", recognises=("PREMIUM", "tabarru_amount"))
CLAIMS = Kind(6, "claims", "TABARRU", "EXPENSE", recognises=("CLAIM", "tabarru_amount"))
CHART: Final = (CASH, DUE_TO, FEES, DUE_FROM, INCOME, CLAIMS)


def booked(tabarru: int, ujroh: int, claimed: int) -> dict[Kind, tuple[int, int]]:
    """What premiums and claims of the tabarru' fund do to the accounts: debit, credit."""
    return {
        CASH: (tabarru + ujroh, claimed),
        DUE_TO: (claimed, tabarru),
        FEES: (0, ujroh),
        DUE_FROM: (tabarru, claimed),
        INCOME: (0, tabarru),
        CLAIMS: (claimed, 0),
    }


@st.composite
def sound(draw: st.DrawFn) -> ControlTotals:
    """The totals of a batch in which everything is in order."""
    premiums, claims = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    tabarru, ujroh, claimed = (draw(st.integers(0, 1000)) for _ in range(3))
    cuts = sorted(draw(st.lists(st.integers(0, premiums + claims), max_size=3)))
    first = draw(st.integers(1, 100))
    accounts = [
        AccountTotals(
            kind.account_id, kind.code, kind.fund, kind.account_type, True, kind.mirror, kind.recognises, *amounts
        )
        for kind, amounts in booked(tabarru, ujroh, claimed).items()
        if any(amounts)
    ]
    workers = [
        _worker(number, first + start, first + end - 1, sum(a.debit for a in accounts) if number == 1 else 0)
        for number, (start, end) in enumerate(pairwise([0, *cuts, premiums + claims]), start=1)
    ]
    source = {
        "PREMIUM": SourceTotals(premiums, dict(zip(COMPONENTS, (tabarru, 0, ujroh), strict=True))),
        "CLAIM": SourceTotals(claims, dict(zip(COMPONENTS, (claimed, 0, 0), strict=True))),
    }
    return ControlTotals(
        batch_id="2024-01-MONTHEND",
        first_je_number=first,
        next_je_number=first,
        loads=[LoadTotals(load_id, 5, 10**20, 5, 10**20) for load_id in range(draw(st.integers(0, 2)))],
        source=source,
        staged={name: totals.count for name, totals in source.items()},
        workers=draw(st.permutations(workers)),
        accounts=accounts,
    )


def _worker(number: int, first: int, last: int, moved: int) -> WorkerTotals:
    entries = last - first + 1
    numbers = (first, last) if entries else None
    return WorkerTotals(number, numbers, entries, 8 * entries, numbers, entries, 8 * entries, moved, moved, 0, 0, 0, 0)


NUMBERS: Final = st.integers(-2, 2)


@st.composite
def faulty(draw: st.DrawFn) -> ControlTotals:
    """The totals of a sound batch with up to three faults, some of which make up for each other."""
    totals = draw(sound())
    for fault in draw(st.lists(st.sampled_from(FAULTS), max_size=3)):
        totals = fault(draw, totals)
    return totals


def _first_numbers(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    return replace(totals, next_je_number=totals.next_je_number + draw(NUMBERS))


def _staged(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    name = draw(st.sampled_from(["PREMIUM", "CLAIM", "REFUND"]))
    return replace(totals, staged={**totals.staged, name: totals.staged.get(name, 0) + draw(NUMBERS)})


def _source_count(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    name = draw(st.sampled_from(sorted(totals.source)))
    changed = replace(totals.source[name], count=totals.source[name].count + draw(NUMBERS))
    return replace(totals, source={**totals.source, name: changed})


def _source_component(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    name, component = draw(st.sampled_from(sorted(totals.source))), draw(st.sampled_from(COMPONENTS))
    source = totals.source[name]
    components = {**source.components, component: source.components[component] + draw(NUMBERS)}
    return replace(totals, source={**totals.source, name: replace(source, components=components)})


def _exceptions(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    return replace(totals, open_exceptions={"NO_TEMPLATE": draw(st.integers(1, 3))})


def _a_worker(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    workers = list(totals.workers)
    place = draw(st.integers(0, len(workers) - 1))
    name = draw(st.sampled_from([field.name for field in fields(WorkerTotals) if field.name != "worker_number"]))
    value: Any = getattr(workers[place], name)
    if isinstance(value, int):
        value = max(value + draw(NUMBERS), 0)
    elif value is not None:
        value = draw(st.sampled_from([None, (value[0], value[1] + 1), (value[0] + 1, value[1] + 1)]))
    workers[place] = replace(workers[place], **{name: value})
    return replace(totals, workers=workers)


def _a_worker_less(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    place = draw(st.integers(0, len(totals.workers) - 1))
    less = [worker for number, worker in enumerate(totals.workers) if number != place]
    return replace(totals, workers=less) if less else totals


def _an_account(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    if not totals.accounts:
        return totals
    accounts = list(totals.accounts)
    place = draw(st.integers(0, len(accounts) - 1))
    account = accounts[place]
    unknown = AccountTotals(99, None, None, None, False, None, None, account.debit, account.credit)
    changes = [
        replace(account, debit=account.debit + draw(NUMBERS)),
        replace(account, credit=account.credit + draw(NUMBERS)),
        replace(account, is_open=False),
        replace(account, fund="TANAHUD"),
        replace(account, account_type="EXPENSE"),
        replace(account, recognises=("CLAIM", "ujroh_amount")),
        unknown,
    ]
    accounts[place] = draw(st.sampled_from(changes))
    return replace(totals, accounts=accounts)


def _a_load(draw: st.DrawFn, totals: ControlTotals) -> ControlTotals:
    change = {"count": 5 + draw(NUMBERS), "checksum": 10**20 + draw(NUMBERS)}
    return replace(totals, loads=[replace(load, **change) for load in totals.loads])


FAULTS: Final = (
    _first_numbers,
    _staged,
    _source_count,
    _source_component,
    _exceptions,
    _a_worker,
    _a_worker_less,
    _an_account,
    _a_load,
)


# ------------------------------------------------------------------------------------------------ what gates promise


def every_transaction_is_journaled_once(totals: ControlTotals) -> bool:
    delivered = {name: source.count for name, source in totals.source.items() if source.count}
    journaled = {name: count for name, count in totals.staged.items() if count}
    return (
        delivered == journaled
        and not totals.open_exceptions
        and all(
            (worker.entries, worker.lines, worker.changes) == (worker.reported_entries, worker.reported_lines, 0)
            for worker in totals.workers
        )
    )


def numbers_run_on_without_gap_or_duplicate(totals: ControlTotals) -> bool:
    used = [worker for worker in totals.workers if worker.reserved or worker.numbers]
    ranges = sorted((worker.numbers or (0, 0), worker.entries) for worker in used)
    numbers = [number for (first, last), _ in ranges for number in range(first, last + 1)]
    return (
        totals.first_je_number == totals.next_je_number
        and numbers == list(range(totals.next_je_number, totals.next_je_number + len(numbers)))
        and all(worker.reserved == worker.numbers for worker in used)
        and all(entries == len(range(first, last + 1)) for (first, last), entries in ranges)
    )


def debits_are_credits(totals: ControlTotals) -> bool:
    balance: dict[str | None, int] = {}
    for account in totals.accounts:
        balance[account.fund] = balance.get(account.fund, 0) + account.debit - account.credit
    faults = [
        (worker.unbalanced_entries, worker.fund_unbalanced_entries, worker.header_line_mismatches)
        for worker in totals.workers
    ]
    return not any(balance.values()) and not any(map(any, faults))


def components_reach_their_funds(totals: ControlTotals) -> bool:
    missing = {
        (name, component): amount
        for name, source in totals.source.items()
        for component, amount in source.components.items()
    }
    net = {account.account_code: account.debit - account.credit for account in totals.accounts}
    for account in totals.accounts:
        if account.recognises is not None:
            sign = 1 if account.account_type == "EXPENSE" else -1
            missing[account.recognises] = missing.get(account.recognises, 0) - sign * (account.debit - account.credit)
    mirrored = all(
        net[account.account_code] + net.get(account.mirror_account_code, 0) == 0
        for account in totals.accounts
        if account.mirror_account_code is not None
    )
    return not any(missing.values()) and mirrored and all(account.is_open for account in totals.accounts)


def loads_are_as_loaded(totals: ControlTotals) -> bool:
    return all((load.count, load.checksum) == (load.loaded_count, load.loaded_checksum) for load in totals.loads)


PROMISES: Final[dict[str, Callable[[ControlTotals], bool]]] = {
    "record_count": every_transaction_is_journaled_once,
    "sequence_integrity": numbers_run_on_without_gap_or_duplicate,
    "debit_credit_balance": debits_are_credits,
    "fund_reconciliation": components_reach_their_funds,
    "source_unchanged": loads_are_as_loaded,
}


@pytest.mark.parametrize("gate", GATES)
@settings(deadline=None, max_examples=300)
@given(totals=faulty())
def test_a_gate_passes_exactly_when_its_promise_holds(gate: str, totals: ControlTotals) -> None:
    assert GATES[gate](totals).passed == PROMISES[gate](totals)


@settings(deadline=None)
@given(totals=sound())
def test_a_sound_batch_passes_all_gates(totals: ControlTotals) -> None:
    verdicts = evaluate(totals)
    assert [verdict.gate for verdict in verdicts] == list(GATES) == list(PROMISES)
    assert all(verdict.passed for verdict in verdicts)


@settings(deadline=None)
@given(totals=faulty())
def test_a_verdict_stands_on_its_lines(totals: ControlTotals) -> None:
    for verdict in evaluate(totals):
        failing = [line for line in verdict.comparisons if not line.passed]
        assert verdict.passed == (not failing)
        assert all((line.expected == line.actual) == line.passed for line in verdict.comparisons)
        assert verdict.passed or verdict.expected != verdict.actual
        assert all(line.measure in verdict.detail for line in failing[:5])


# ------------------------------------------------------------------------------------------------ what gates say


def batch(**changes: Any) -> ControlTotals:
    """Two premiums over two workers: 100.00 for the fund, 20.00 of fees."""
    accounts = [
        AccountTotals(
            kind.account_id, kind.code, kind.fund, kind.account_type, True, kind.mirror, kind.recognises, *amounts
        )
        for kind, amounts in booked(10_000, 2_000, 0).items()
        if any(amounts)
    ]
    totals = ControlTotals(
        batch_id="2024-01-MONTHEND",
        first_je_number=11,
        next_je_number=11,
        loads=[LoadTotals(1, 2, 77, 2, 77)],
        source={"PREMIUM": SourceTotals(2, dict(zip(COMPONENTS, (10_000, 0, 2_000), strict=True)))},
        staged={"PREMIUM": 2},
        workers=[_worker(1, 11, 11, 22_000), _worker(2, 12, 12, 0)],
        accounts=accounts,
    )
    return replace(totals, **changes)


def test_record_count_names_what_is_missing_and_why() -> None:
    verdict = record_count(batch(staged={"PREMIUM": 1}, open_exceptions={"NO_TEMPLATE": 1}))
    assert (verdict.expected, verdict.actual, verdict.difference) == ("2", "1", "-1")
    assert verdict.detail == (
        "counts differ: PREMIUM transactions journaled: expected 2, found 1; "
        "exceptions NO_TEMPLATE: expected 0, found 1"
    )


def test_record_count_refuses_a_type_that_was_not_delivered() -> None:
    verdict = record_count(batch(staged={"PREMIUM": 2, "REFUND": 3}))
    assert "REFUND transactions journaled: expected 0, found 3" in verdict.detail


def test_record_count_refuses_changes_that_no_total_shows() -> None:
    worker = replace(_worker(1, 11, 11, 22_000), changes=1)
    verdict = record_count(batch(workers=[worker, _worker(2, 12, 12, 0)]))
    assert verdict.detail == "counts differ: worker 1 changes by hand: expected 0, found 1"


def test_sequence_integrity_shows_where_the_next_worker_should_begin() -> None:
    verdict = sequence_integrity(batch(workers=[_worker(1, 11, 11, 0), _worker(2, 13, 13, 0)]))
    assert verdict.detail == "numbers are not in order: worker 2 reserved from: expected 12, found 13"


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"numbers": (11, 12)}, "worker 1 last number: expected 11, found 12"),
        ({"numbers": (10, 11)}, "worker 1 first number: expected 11, found 10"),
        ({"entries": 2}, "worker 1 numbers used: expected 1, found 2"),
        ({"numbers": None, "entries": 0}, "worker 1 first number: expected 11, found 0"),
    ],
)
def test_sequence_integrity_asks_for_first_last_and_count(change: dict[str, Any], shown: str) -> None:
    verdict = sequence_integrity(batch(workers=[replace(_worker(1, 11, 11, 0), **change)]))
    assert verdict.detail.startswith(f"numbers are not in order: {shown}")


def test_sequence_integrity_passes_by_workers_without_entries() -> None:
    idle = WorkerTotals(2, None, 0, 0, None, 0, 0, 0, 0, 0, 0, 0, 0)
    assert sequence_integrity(batch(workers=[_worker(1, 11, 11, 0), idle, _worker(3, 12, 12, 0)])).passed
    assert sequence_integrity(batch(workers=[])).passed


@pytest.mark.parametrize(
    ("measure", "shown"),
    [
        ("unbalanced_entries", "entries out of balance"),
        ("fund_unbalanced_entries", "entries out of balance within a fund"),
        ("header_line_mismatches", "entries that differ from their header"),
    ],
)
def test_debit_credit_balance_counts_entries(measure: str, shown: str) -> None:
    worker = replace(_worker(1, 11, 11, 22_000), **{measure: 3})
    verdict = debit_credit_balance(batch(workers=[worker]))
    assert verdict.detail == f"out of balance: worker 1 {shown}: expected 0, found 3"


def test_debit_credit_balance_asks_every_fund() -> None:
    accounts = [
        replace(account, fund="TANAHUD") if account.account_code == "income" else account
        for account in batch().accounts
    ]
    verdict = debit_credit_balance(batch(accounts=accounts))
    assert verdict.detail == (
        "out of balance: TABARRU debits = credits: expected 100.00, found 0.00; "
        "TANAHUD debits = credits: expected 0.00, found 100.00"
    )


def test_fund_reconciliation_shows_the_amount_that_lacks() -> None:
    source = {"PREMIUM": SourceTotals(2, dict(zip(COMPONENTS, (10_001, 0, 2_000), strict=True)))}
    verdict = fund_reconciliation(batch(source=source))
    assert (verdict.expected, verdict.actual, verdict.difference) == ("120.01", "120.00", "-0.01")
    assert verdict.detail == "funds differ: PREMIUM tabarru_amount: expected 100.01, found 100.00"


@pytest.mark.parametrize(("code", "name", "state"), [("income", "income", "closed"), (None, "5", "unknown")])
def test_fund_reconciliation_names_accounts_that_are_not_open(code: str | None, name: str, state: str) -> None:
    accounts = [
        replace(account, account_code=code, is_open=False) if account.account_code == "income" else account
        for account in batch().accounts
    ]
    assert fund_reconciliation(batch(accounts=accounts)).detail == (
        f"funds differ: account {name}: expected open, found {state}"
    )


def test_fund_reconciliation_asks_whether_pairs_mirror() -> None:
    accounts = [account for account in batch().accounts if account.account_code != "due-to"]
    assert fund_reconciliation(batch(accounts=accounts)).detail == (
        "funds differ: due-from against due-to: expected 0.00, found 100.00"
    )


def test_source_unchanged_shows_count_and_checksum_of_the_load() -> None:
    verdict = source_unchanged(batch(loads=[LoadTotals(1, 2, 77, 2, 77), LoadTotals(2, 5, 8_000, 4, 7_000)]))
    assert verdict.detail == (
        "the source has changed: load 2 rows: expected 5, found 4; load 2 checksum: expected 8,000, found 7,000"
    )


def test_the_summary_gives_way_to_a_failing_line_when_it_agrees_itself() -> None:
    loads = [LoadTotals(1, 2, 10, 2, 11), LoadTotals(2, 2, 10, 2, 9)]  # which make up for each other
    verdict = source_unchanged(batch(loads=loads))
    assert not verdict.passed
    assert (verdict.expected, verdict.actual, verdict.difference) == ("10", "11", "+1")
