"""One worked month: delivered, closed (through Dagster, and by the same steps without it), and looked at.

Here: what is done goes through the code of the product; what is seen, through SQL. Not here: ways to be wrong
(tampering), and the claims that are made of a month (test_month_close and its neighbours).

The months are those of 2024: Dagster's partitions start at LEDGER_FIRST_PERIOD as it is when they are imported.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from dagster import AssetSelection, DagsterInstance, ExecuteInProcessResult, materialize
from dagster._core.storage.tags import PARTITION_NAME_TAG
from psycopg.rows import dict_row

from ledger_assets import closing
from ledger_assets.accounting.balances import CONTROLS
from ledger_assets.accounting.deliveries import loads_intact, rejected_rows_resolved
from ledger_assets.accounting.errors import RuleError
from ledger_assets.accounting.generation import generate, write
from ledger_assets.accounting.rule_files import SHIPPED_RULES
from ledger_assets.accounting.source_mapping import SourceMapping
from ledger_assets.close_result import Outcome
from ledger_assets.definitions import defs
from ledger_assets.resources import LedgerResource
from ledger_assets.storage import rules
from ledger_assets.storage.balances import read_balances
from ledger_assets.storage.batches import Batch, PreflightFailed, latest_batch, open_batch, post_batch, take_snapshot
from ledger_assets.storage.database import connect, in_transaction
from ledger_assets.storage.deliveries import read_deliveries
from ledger_assets.storage.source_loads import LoadResult, ingest
from ledger_assets.storage.staging import stage
from ledger_assets.storage.validation import validate
from ledger_assets_tests.logins import superuser

FIRST_PERIOD: Final = "2024-01"
SECOND_PERIOD: Final = "2024-02"
ACTOR: Final = "tester"

ROWS: Final = 60
ROWS_PER_WORKER: Final = 25
"""A delivery makes three workers: two full ones and a rest."""


# ------------------------------------------------------------------------------------------------ the worked month


def store_rules(ledger_url: str) -> None:
    """The shipped rules, approved as shipped."""
    with connect(ledger_url) as connection:
        rules.store_directory(connection, SHIPPED_RULES)


def deliver(
    ledger_url: str, period: str, *, folder: Path, rows: int = ROWS, seed: int = 1, defects: Sequence[str] = ()
) -> LoadResult:
    """Generate a file of transactions and load it. Raises what `ingest` raises."""
    path = generated(folder, period, rows=rows, seed=seed, defects=defects)
    return load(ledger_url, path, period)


def generated(folder: Path, period: str, *, rows: int = ROWS, seed: int = 1, defects: Sequence[str] = ()) -> Path:
    """The file that `deliver` loads."""
    path = folder / f"{period}-{seed}-{'-'.join(defects) or 'good'}.csv"
    write(generate(period, rows, seed, defects), path, defects)
    return path


def load(
    ledger_url: str, path: Path, period: str, *, mapping: SourceMapping | None = None, currency: str | None = "IDR"
) -> LoadResult:
    """Load a file."""
    return in_transaction(
        ledger_url,
        lambda connection: ingest(
            connection, path, period=period, mapping=mapping or SourceMapping(), currency=currency, loaded_by=ACTOR
        ),
    )


def opened(
    ledger_url: str,
    period: str,
    *,
    rule_set: str = "combined",
    first_period: str = FIRST_PERIOD,
    kind: str = "MONTHEND",
    rows_per_worker: int = ROWS_PER_WORKER,
) -> tuple[Batch | None, rules.StoredRules]:
    """The batch that plans the month, and the rules that it will be journaled by. Raises PreflightFailed, RuleError."""
    stored = in_transaction(ledger_url, lambda connection: rules.usable(connection, rule_set))
    batch = in_transaction(
        ledger_url,
        lambda connection: open_batch(
            connection,
            period=period,
            kind=kind,
            rule_set=rule_set,
            rule_version=stored.rule_set.version,
            rows_per_worker=rows_per_worker,
            first_period=first_period,
            performed_by=ACTOR,
            run_id=None,
        ),
    )
    return batch, stored


def staged(ledger_url: str, period: str, **options: Any) -> Batch:
    """The month's new transactions, staged. There have to be some, or an empty month."""
    batch, stored = opened(ledger_url, period, **options)
    assert batch is not None, f"{period} has nothing to stage"
    stage(ledger_url, batch, stored.compiled(), performed_by=ACTOR)
    return batch


def post(ledger_url: str, batch: Batch, *, first_period: str = FIRST_PERIOD) -> bool:
    """Post a batch, as a client does that knows nothing of gates."""
    return in_transaction(
        ledger_url,
        lambda connection: post_batch(connection, batch.batch_id, first_period=first_period, performed_by=ACTOR),
    )


def failing_gates(ledger_url: str, batch: Batch) -> dict[str, Sequence[Mapping[str, str]]]:
    """Run the gates on a staged batch; those that fail, each with its offending rows."""
    gates = validate(ledger_url, batch, performed_by=ACTOR)
    return {gate.verdict.gate: gate.offending for gate in gates if not gate.verdict.passed}


@dataclass(frozen=True)
class Close:
    """How a close ended: as the command line tells it, and the names of the controls that refused it."""

    outcome: Outcome
    refused_by: frozenset[str] = frozenset()
    problem: str = ""


def close(ledger_url: str, period: str, *, first_period: str = FIRST_PERIOD, rule_set: str = "combined") -> Close:
    """Close the month as Dagster does it: the job month_close with all its assets and checks."""
    run = run_month_close(ledger_url, period, first_period=first_period, rule_set=rule_set)
    refused = frozenset(check.check_name for check in run.get_asset_check_evaluations() if not check.passed)
    return Close(closing._outcome(run), refused, "; ".join(closing._problems(run)))


def run_month_close(
    ledger_url: str,
    period: str,
    *,
    first_period: str = FIRST_PERIOD,
    rule_set: str = "combined",
    instance: DagsterInstance | None = None,
) -> ExecuteInProcessResult:
    """The run of the job itself; with an instance its log can be read afterwards."""
    with nullcontext(instance) if instance else DagsterInstance.ephemeral() as where:
        return defs.resolve_job_def("month_close").execute_in_process(
            partition_key=period,
            instance=where,
            resources=_resources(ledger_url, first_period=first_period, rule_set=rule_set),
            run_config=_QUIET,
            raise_on_error=False,
        )


def materialized(ledger_url: str, period: str, selection: AssetSelection) -> ExecuteInProcessResult:
    """A run of a part of the graph, as somebody may launch it by hand."""
    with DagsterInstance.ephemeral() as instance:
        return materialize(
            [*(defs.assets or ()), *(defs.asset_checks or ())],
            selection=selection,
            tags={PARTITION_NAME_TAG: period},  # partition_key= is refused where only checks are selected
            instance=instance,
            resources=_resources(ledger_url, first_period=FIRST_PERIOD, rule_set="combined"),
            run_config=_QUIET,
            raise_on_error=False,
        )


_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _resources(ledger_url: str, **options: str) -> dict[str, LedgerResource]:
    return {"ledger": LedgerResource(url=ledger_url, performed_by=ACTOR, **options)}


def close_directly(ledger_url: str, period: str, *, first_period: str = FIRST_PERIOD, **options: Any) -> Close:
    """Close the month by the same steps without Dagster, in a few tenths of a second. Wants the rules stored; `options`
    are those of `opened`.
    """
    deliveries = in_transaction(ledger_url, lambda connection: read_deliveries(connection, period))
    verdicts = [loads_intact(deliveries.loads), rejected_rows_resolved(deliveries.open_rejections)]
    if refused := _refusing(verdicts):
        return Close(Outcome.GATE_FAILED, refused)
    try:
        batch, stored = opened(ledger_url, period, first_period=first_period, **options)
    except (PreflightFailed, RuleError) as refusal:
        return Close(Outcome.PREFLIGHT_FAILED, problem=str(refusal))
    if batch is not None:
        stage(ledger_url, batch, stored.compiled(), performed_by=ACTOR)
        if refused := frozenset(failing_gates(ledger_url, batch)):
            return Close(Outcome.GATE_FAILED, refused)
        post(ledger_url, batch, first_period=first_period)
    in_transaction(
        ledger_url,
        lambda connection: take_snapshot(connection, period, first_period=first_period, performed_by=ACTOR),
    )
    if refused := failing_balance_controls(ledger_url, period):
        return Close(Outcome.GATE_FAILED, refused)
    return Close(Outcome.NOTHING_NEW if batch is None else Outcome.POSTED)


def failing_balance_controls(ledger_url: str, period: str) -> frozenset[str]:
    """The controls that the month's balances do not pass."""
    balances = in_transaction(ledger_url, lambda connection: read_balances(connection, period))
    return _refusing([control(balances) for control in CONTROLS.values()])


def _refusing(verdicts: Sequence[Any]) -> frozenset[str]:
    return frozenset(verdict.gate for verdict in verdicts if not verdict.passed)


# ------------------------------------------------------------------------------------------------ looking at it


def rows_of(ledger_url: str, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """The rows of a query as dicts."""
    with connect(superuser(ledger_url)) as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), arguments or None).fetchall()


def value_of(ledger_url: str, query: str, *arguments: Any) -> Any:
    """The one value of a query."""
    ((value,),) = (row.values() for row in rows_of(ledger_url, query, *arguments))
    return value


def execute(ledger_url: str, statements: str) -> None:
    """Do something to the database by hand, as the superuser, in one transaction."""
    with connect(superuser(ledger_url)) as connection:
        connection.execute(statements.encode())


def batch_of(ledger_url: str, period: str) -> Batch:
    """The newest batch of the month."""
    with connect(ledger_url) as connection:
        batch = latest_batch(connection, period)
    assert batch is not None, f"{period} has no batch"
    return batch


FINGERPRINTED: Final = {
    # A month that was opened, in which nothing was posted, is as good as none.
    "control.period": "SELECT * FROM control.period WHERE closed_at IS NOT NULL OR next_je_number > 1",
    "control.batch": "SELECT * FROM control.batch WHERE state IN ('COMMITTED', 'ROLLED_BACK')",
    "control.load_batch": "TABLE control.load_batch",
    "control.sequence_reservation_log": "TABLE control.sequence_reservation_log",
    "attached leaves": "SELECT oid::regclass, pg_get_expr(relpartbound, oid) FROM pg_class "
    "WHERE relnamespace = 'ledger'::regnamespace AND relispartition AND relkind = 'r'",
}


def fingerprint(ledger_url: str) -> dict[str, str]:
    """A digest of each thing that belongs to the books: every table of the schema ledger (with the leaf that each row
    lies in, whether a view shows it or not), which leaves are attached and where, which months are closed, the numbers
    taken, the loads marked as processed. Equal = byte for byte as it was.
    """
    with connect(superuser(ledger_url)) as connection:
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'ledger'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        contents = {name: f"SELECT tableoid::regclass, * FROM {name}" for (name,) in tables} | FINGERPRINTED
        return {name: _digest(connection, query) for name, query in contents.items()}


def _digest(connection: psycopg.Connection, query: str) -> str:
    lines = connection.execute(f"SELECT t::text FROM ({query}) AS t ORDER BY 1".encode()).fetchall()
    return f"{len(lines)} rows, {hashlib.sha256(repr(lines).encode()).hexdigest()}"


def staged_tables(ledger_url: str) -> list[str]:
    """The tables in which staged rows lie."""
    tables = rows_of(
        ledger_url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r' "
        "AND relname NOT IN ('je_header', 'je_line') ORDER BY relname",
    )
    return [table["relname"] for table in tables]


def trial_balance(ledger_url: str, period: str) -> dict[str, tuple[Any, ...]]:
    """Account -> opening balance, debit, credit, closing balance, as the ledger shows them."""
    balances = rows_of(ledger_url, "SELECT * FROM ledger.account_balance_snapshot WHERE period = %s", period)
    return {
        row["account_code"]: (row["opening_balance"], row["debit"], row["credit"], row["closing_balance"])
        for row in balances
    }
